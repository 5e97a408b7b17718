"""Which bands and times speak for a genre: occlusion (Zeiler & Fergus 2014, arXiv:1311.2901).

A cell of a segment's spectrogram is silenced and the model asked again: the more the genre's probability falls, the
more that cell spoke for it. It needs nothing but forward passes, so that it works with any model.
"""

from typing import Final

import numpy as np

from core.audio.spectrogram import FloatArray
from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from core.errors import ConfigurationError
from core.inference.classifier import Classifier

BAND_CELLS: Final = 8
TIME_CELLS: Final = 6
BANDS: Final = N_MELS // BAND_CELLS
"""Mel bands in a cell."""

FRAMES: Final = SEGMENT_FRAMES // TIME_CELLS
"""Frames in a cell: half a second."""

_SMALLEST: Final = 1e-6


def occlude(segments: FloatArray, band: int, time: int) -> FloatArray:
    """Silence one cell of each segment: it falls to the segment's quietest bin.

    Args:
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.
        band: number of the cell from the lowest bands up.
        time: number of the cell from the segment's start.

    Returns:
        A copy of the same shape.
    """
    occluded = segments.copy()
    rows, columns = slice(band * BANDS, (band + 1) * BANDS), slice(time * FRAMES, (time + 1) * FRAMES)
    occluded[:, rows, columns] = segments.min(axis=(1, 2), keepdims=True)
    return occluded


def importance(segments: FloatArray, genre: str, classifier: Classifier) -> FloatArray:
    """Measure how much each cell speaks for a genre.

    Args:
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.
        genre: one of `GENRES`.
        classifier: a model of genres.

    Returns:
        Fall of the genre's log-probability without the cell, nats, float32 `(n, BAND_CELLS, TIME_CELLS)`; below 0
        where the cell speaks against the genre.

    Raises:
        ConfigurationError: the model knows no genres.
    """
    if not classifier.card.classifies:
        raise ConfigurationError(f"{classifier.card.name} is no model of genres")
    before = _log_probability(segments, genre, classifier)
    falls = np.empty((len(segments), BAND_CELLS, TIME_CELLS), np.float32)
    for band in range(BAND_CELLS):
        for time in range(TIME_CELLS):
            falls[:, band, time] = before - _log_probability(occlude(segments, band, time), genre, classifier)
    return falls


def _log_probability(segments: FloatArray, genre: str, classifier: Classifier) -> FloatArray:
    probabilities = classifier.probabilities(segments)[:, GENRES.index(genre)]
    logs: FloatArray = np.log(np.maximum(probabilities, np.float32(_SMALLEST)))
    return logs
