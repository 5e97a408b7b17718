"""Decoded samples → the log-mel spectrogram that models are trained on and served with."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from core.audio.high_pass import HighPass
from core.audio.spectrogram import FloatArray, LogMel, MelStream, below_full_scale
from core.constants import HOP_LENGTH


class FrontEnd:
    """Computes the spectrogram of samples that arrive in blocks: without infrasound, then of both channels together."""

    def __init__(self) -> None:
        self._mid = HighPass()
        self._side = HighPass()
        self._mel = MelStream()
        self._peaks = _PeakStream()

    def feed(self, block: FloatArray) -> None:
        """Add the next samples, float32 `(n, 2)`: left and right, as decoded."""
        left, right = block.T * block.dtype.type(math.sqrt(0.5))
        mid, side = left + right, left - right
        self._peaks.feed(np.maximum(np.abs(mid), np.abs(side)))
        self._mel.feed(self._mid.feed(mid), self._side.feed(side))

    def finish(self) -> LogMel:
        """Return the recording: without samples, one of no frames."""
        self._mel.feed(self._mid.finish(), self._side.finish())
        recording = self._mel.finish()
        # The filter rings into silence, and a constant is no sound: silent is what is so before it or after it.
        before = self._peaks.finish(recording.n_frames)
        return replace(recording, peaks=np.minimum(recording.peaks, before))


class _PeakStream:
    """Finds the peak of the hop around each frame's centre, as `LogMel.peaks`, of magnitudes that arrive in blocks."""

    def __init__(self) -> None:
        self._pending = np.zeros(HOP_LENGTH // 2, np.float32)
        self._peaks: list[FloatArray] = []

    def feed(self, magnitudes: FloatArray) -> None:
        """Add the next magnitudes, float32 `(n,)`."""
        pending = np.concatenate((self._pending, magnitudes))
        whole = pending.size // HOP_LENGTH * HOP_LENGTH
        self._peaks.append(pending[:whole].reshape(-1, HOP_LENGTH).max(axis=1))
        self._pending = pending[whole:]

    def finish(self, n_frames: int) -> FloatArray:
        """Return the peaks of all frames, float32 `(n_frames,)`."""
        last = self._pending.max(initial=0, keepdims=True)
        return below_full_scale(np.concatenate((*self._peaks, last))[:n_frames])


def decoded_log_mel(blocks: Iterable[FloatArray]) -> LogMel:
    """Compute the spectrogram of decoded blocks, each float32 `(n, 2)`."""
    front_end = FrontEnd()
    for block in blocks:
        front_end.feed(block)
    return front_end.finish()
