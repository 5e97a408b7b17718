"""A song's log-mel → its main section: the thirty seconds that represent the song best.

Summarisation by self-similarity (Cooper & Foote, "Automatic Music Summarization via Similarity Analysis", ISMIR 2002):
of all windows that are not quiet, the one most similar to the whole song.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.audio.spectrogram import FloatArray, LogMel
from core.constants import DB_FLOOR, SECTION_SECONDS, seconds_to_frame

CELL_SECONDS: Final = 1.0
"""The similarity matrix compares cells of this length, seconds."""

QUIET_DB: Final = 15.0
"""A cell this much quieter than the song's loud ones (95th percentile) does not represent the song: intros, fades."""

WINDOW_QUIET_SHARE: Final = 0.2
"""A window with a larger share of quiet cells is taken only where there is no better one."""

LOUDNESS_WEIGHT: Final = 0.015
"""Similarity that each decibel below the loud cells costs: of equals, a chorus wins over its verse."""


def main_section(recording: LogMel) -> int:
    """Return the first frame of the main section; 0 where the song is no longer than a section.

    Args:
        recording: the whole song.
    """
    window = round(SECTION_SECONDS / CELL_SECONDS)
    n_cells = int(recording.duration / CELL_SECONDS + 0.05)
    if n_cells <= window:
        return 0
    features, below = _cells(recording, n_cells)
    quiet = below > QUIET_DB
    score = _similarity(features, ~quiet) - LOUDNESS_WEIGHT * below
    score[quiet] = score.min()
    quiet_share = _window_means(quiet, window)
    means = _window_means(score, window)
    means -= np.where(quiet_share > WINDOW_QUIET_SHARE, 1_000 * quiet_share, 0)
    return seconds_to_frame(int(np.argmax(means)) * CELL_SECONDS)


def _cells(recording: LogMel, n_cells: int) -> tuple[FloatArray, FloatArray]:
    """Compute each cell's timbre, independent of its loudness, and its loudness.

    Returns:
        features: float32 `(n_cells, 2 * N_MELS)`: mean and standard deviation of each band, dB;
        below: float32 `(n_cells,)`: how far the cell is below the song's loud cells, dB, at least 0.
    """
    edges = [seconds_to_frame(index * CELL_SECONDS) for index in range(n_cells)]
    edges.append(recording.n_frames)
    loudest = recording.db.max()
    features = np.empty((n_cells, 2 * recording.db.shape[0]), np.float32)
    means = np.empty((n_cells, recording.db.shape[0]), np.float32)
    for index in range(n_cells):
        cell = np.maximum(recording.db[:, edges[index] : edges[index + 1]] - loudest, np.float32(DB_FLOOR))
        mean = cell.mean(axis=1)
        features[index] = np.concatenate((mean - mean.mean(), cell.std(axis=1)))
        means[index] = mean
    level = 10 * np.log10(np.power(10, means / 10).sum(axis=1))
    # Where a little sound is in much silence, the percentile is silence: the sound is the loud part all the same.
    loud = max(np.percentile(level, 95), level.max() - 2 * QUIET_DB)
    return features, np.maximum(loud - level, 0).astype(np.float32)


def _similarity(features: FloatArray, reference: NDArray[np.bool_]) -> FloatArray:
    """Return the mean similarity of each cell to the `reference` cells, float32 `(n_cells,)` from -1 to 1.

    The similarity of two cells is the cosine between their features, centred on the reference cells' mean. A mean of
    cosines is one product with the mean unit vector, so the whole self-similarity matrix is never computed.
    """
    centred = features - features[reference].mean(axis=0)
    units = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    similarity: FloatArray = units @ units[reference].mean(axis=0)
    return similarity


def _window_means(values: NDArray[np.generic], window: int) -> NDArray[np.float64]:
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    means: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return means
