"""A song's log-mel → its main section: the thirty seconds that stand best for the song.

Summarisation by self-similarity (Cooper & Foote, "Automatic Music Summarization via Similarity Analysis", ISMIR 2002):
of all windows that are not quiet, the one most like the whole song.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.audio.spectrogram import FloatArray, LogMel
from core.constants import DB_FLOOR, SECTION_SECONDS, seconds_to_frame

CELL_SECONDS: Final = 1.0
"""The song is compared with itself in cells of this length."""

QUIET_DB: Final = 15.0
"""A cell this much quieter than the song's loud ones (95th percentile) does not stand for the song: intros, fades."""

WINDOW_QUIET_SHARE: Final = 0.2
"""A window with a larger share of quiet cells is passed over while there is a better one."""

LOUDNESS_WEIGHT: Final = 0.015
"""What each decibel below the loud cells costs in similarity: of equals, a chorus goes before its verse."""


def main_section(recording: LogMel) -> int:
    """First frame of the section: 0 where the song is no longer than a section.

    Args:
        recording: the whole song.
    """
    window = round(SECTION_SECONDS / CELL_SECONDS)
    n_cells = int(recording.duration / CELL_SECONDS + 0.05)
    if n_cells <= window:
        return 0
    features, below = _cells(recording, n_cells)
    quiet = below > QUIET_DB
    score = _likeness(features, ~quiet) - LOUDNESS_WEIGHT * below
    score[quiet] = score.min()
    quiet_share = _window_means(quiet, window)
    means = _window_means(score, window)
    means -= np.where(quiet_share > WINDOW_QUIET_SHARE, 1_000 * quiet_share, 0)
    return seconds_to_frame(int(np.argmax(means)) * CELL_SECONDS)


def _cells(recording: LogMel, n_cells: int) -> tuple[FloatArray, FloatArray]:
    """Describe each cell: its sound, whatever its loudness, and its loudness.

    Returns:
        `(n_cells, 2 * N_MELS)`: mean spectrum and how much each band moves, dB;
        `(n_cells,)`: how far it is below the song's loud cells, dB, at least 0.
    """
    edges = [seconds_to_frame(index * CELL_SECONDS) for index in range(n_cells)]
    edges.append(recording.n_frames)
    loudest = recording.db.max()
    features = np.empty((n_cells, 2 * recording.db.shape[0]), np.float32)
    means = np.empty((n_cells, recording.db.shape[0]), np.float32)
    for index in range(n_cells):
        piece = np.maximum(recording.db[:, edges[index] : edges[index + 1]] - loudest, np.float32(DB_FLOOR))
        mean = piece.mean(axis=1)
        features[index] = np.concatenate((mean - mean.mean(), piece.std(axis=1)))
        means[index] = mean
    level = 10 * np.log10(np.power(10, means / 10).sum(axis=1))
    # A little sound in much silence is above the percentile: it is the loud part all the same.
    loud = max(np.percentile(level, 95), level.max() - 2 * QUIET_DB)
    return features, np.maximum(loud - level, 0).astype(np.float32)


def _likeness(features: FloatArray, heard: NDArray[np.bool_]) -> FloatArray:
    """Mean similarity of each cell to the song's cells that are `heard`, `(n_cells,)` from -1 to 1.

    The similarity of two cells is the cosine of the angle between their features, each without the song's mean. A mean
    of cosines is one product with the mean of the unit vectors, so that the matrix of all similarities is never made.
    """
    apart = features - features[heard].mean(axis=0)
    units = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-6)
    likeness: FloatArray = units @ units[heard].mean(axis=0)
    return likeness


def _window_means(values: NDArray[np.generic], window: int) -> NDArray[np.float64]:
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    means: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return means
