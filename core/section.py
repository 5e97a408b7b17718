"""A song's log-mel → its main section: the thirty seconds that stand best for the song.

Summarisation by self-similarity (Cooper & Foote, "Automatic Music Summarization via Similarity Analysis", ISMIR 2002):
of all windows that are not silent, the one most like the rest of the song.
"""

from typing import Final

import numpy as np

from core.constants import DB_FLOOR, SECTION_SECONDS, seconds_to_frame
from core.spectrogram import FloatArray, LogMel

CELL_SECONDS: Final = 1.0
"""The song is compared with itself in averages over this long."""

QUIET_DB: Final = 30.0
"""A cell this much quieter than the song's loud ones (95th percentile) does not stand for the song."""

WINDOW_QUIET_SHARE: Final = 0.2
"""A window with a larger share of quiet cells is passed over while there is a better one."""


def main_section(recording: LogMel) -> int:
    """First frame of the section: 0 where the song is no longer than a section.

    Args:
        recording: the whole song.
    """
    window = round(SECTION_SECONDS / CELL_SECONDS)
    n_cells = int(recording.duration / CELL_SECONDS + 0.05)
    if n_cells <= window:
        return 0
    cells, quiet = _cells(recording, n_cells)
    likeness = _likeness(cells, quiet)
    # Running sums give each window's total at once.
    score = _window_sums(likeness, window) / window
    quiet_share = _window_sums(quiet.astype(np.float32), window) / window
    score -= np.where(quiet_share > WINDOW_QUIET_SHARE, quiet_share, 0)
    return seconds_to_frame(int(np.argmax(score)) * CELL_SECONDS)


def _cells(recording: LogMel, n_cells: int) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Mean spectrum of each cell in dB below the song's loudest bin `(n_cells, N_MELS)`, and which are quiet."""
    edges = [seconds_to_frame(index * CELL_SECONDS) for index in range(n_cells)]
    edges.append(recording.n_frames)
    loudest = recording.db.max()
    cells = np.empty((n_cells, recording.db.shape[0]), np.float32)
    for index in range(n_cells):
        piece = recording.db[:, edges[index] : max(edges[index + 1], edges[index] + 1)] - loudest
        cells[index] = np.maximum(piece, np.float32(DB_FLOOR)).mean(axis=1)
    level = 10 * np.log10(np.power(10, cells / 10).sum(axis=1))
    return cells, level < np.percentile(level, 95) - QUIET_DB


def _likeness(cells: FloatArray, quiet: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> FloatArray:
    """Mean similarity of each cell to the song's cells that are not quiet, `(n_cells,)`.

    The similarity of two cells is the cosine of the angle between their spectra, each without the song's typical
    spectrum, and nothing where they point apart: what belongs together counts, the more the more of it there is.
    """
    heard = cells[~quiet] if not quiet.all() else cells
    shapes = cells - np.median(heard, axis=0)
    norms = np.linalg.norm(shapes, axis=1, keepdims=True)
    shapes /= np.maximum(norms, 1e-6)
    similarity = np.maximum(shapes @ shapes[~quiet if not quiet.all() else slice(None)].T, 0)
    mean: FloatArray = similarity.mean(axis=1)
    mean[quiet] = 0
    return mean


def _window_sums(values: FloatArray, window: int) -> FloatArray:
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    return (sums[window:] - sums[:-window]).astype(np.float32)
