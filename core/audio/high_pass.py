"""Samples without what lies below hearing: a constant (DC), rumble, warped records, wind.

Such sound may carry most of a recording's power. It would be the loudest bin that all dB are relative to.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE

CUTOFF_HZ: Final = 20.0
"""Attenuated by 6 dB, by 60 dB from 17 Hz down; from 23 Hz up nothing changes. A piano begins at 27.5 Hz."""

_DECIMATION: Final = 128
"""What is below 20 Hz needs no more than every 128th sample: 172 a second."""

_KERNEL_ROWS: Final = 8
_TAPS: Final = 129
_CONTEXT_ROWS: Final = _TAPS // 2 + _KERNEL_ROWS - 1
CONTEXT: Final = _CONTEXT_ROWS * _DECIMATION
"""Samples on both sides that one sample of the result depends on: 0.41 s."""

_CHUNK: Final = 1 << 16
"""Samples that are filtered at a time."""


def _low_pass_taps(count: int, cutoff: float, attenuation: float) -> NDArray[np.float64]:
    """Design a linear-phase low-pass filter by Kaiser's window, with a gain of 1 at 0 Hz.

    Args:
        count: number of taps.
        cutoff: where the gain is one half, in cycles per sample.
        attenuation: of the stop band, dB; from 50 on.
    """
    time = np.arange(count) - (count - 1) / 2
    taps: NDArray[np.float64] = np.sinc(2 * cutoff * time) * np.kaiser(count, 0.1102 * (attenuation - 8.7))
    taps /= taps.sum()
    return taps


@cache
def _filters() -> tuple[FloatArray, NDArray[np.float64]]:
    """Compute the filter that reduces and restores the sample rate, and the one between them.

    Returns:
        float32 `(_KERNEL_ROWS, _DECIMATION)`, and float64 `(_TAPS,)`.
    """
    kernel = _low_pass_taps(_KERNEL_ROWS * _DECIMATION, 0.5 / _DECIMATION, 80)
    taps = _low_pass_taps(_TAPS, CUTOFF_HZ * _DECIMATION / SAMPLE_RATE, 60)
    return kernel.reshape(_KERNEL_ROWS, _DECIMATION).astype(np.float32), taps


def _infrasound(samples: FloatArray) -> FloatArray:
    """Return what lies below `CUTOFF_HZ`, for all samples but `CONTEXT` at each end.

    A linear-phase filter at a reduced sample rate (Crochiere & Rabiner, "Multirate Digital Signal Processing", 1983).

    Args:
        samples: float32 `(n,)`, `n` a multiple of `_DECIMATION`.
    """
    kernel, taps = _filters()
    partial = samples.reshape(-1, _DECIMATION) @ kernel.T
    count = len(partial) - _KERNEL_ROWS + 1
    reduced = np.zeros(count)
    for row in range(_KERNEL_ROWS):
        reduced += partial[row : row + count, row]
    smooth = np.convolve(reduced, taps, "valid").astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(smooth, _KERNEL_ROWS)
    restored: FloatArray = (windows @ (kernel[::-1] * np.float32(_DECIMATION))).ravel()
    return restored


class HighPass:
    """Removes what lies below `CUTOFF_HZ` from samples that arrive in blocks, with a delay and in bounded memory.

    Both ends are continued by their mirror image, so that a constant neither begins nor ends with a click.
    """

    def __init__(self) -> None:
        self._blocks: list[FloatArray] = []
        self._size = 0
        self._started = False

    def feed(self, block: FloatArray) -> FloatArray:
        """Add the next samples, float32 `(n,)`, and return those that are done, float32 `(m,)`."""
        self._blocks.append(block)
        self._size += block.size
        if self._size < 2 * CONTEXT + _CHUNK:
            return block[:0]
        return self._filter(self._pending())

    def finish(self) -> FloatArray:
        """Return the remaining samples, float32 `(m,)`: in all there are as many as were added."""
        if not self._size:
            return np.zeros(0, np.float32)
        pending = self._pending()
        left = pending.size - CONTEXT
        return self._filter(np.pad(pending, (0, CONTEXT + -left % _DECIMATION), "reflect"))[:left]

    def _pending(self) -> FloatArray:
        """Join the samples that are not done, after those that the first of them depends on."""
        pending = np.concatenate(self._blocks)
        if not self._started:
            self._started = True
            pending = np.pad(pending, (CONTEXT, 0), "reflect")
        return pending

    def _filter(self, pending: FloatArray) -> FloatArray:
        """Filter all pending samples but `CONTEXT` at each end, and keep what the next ones depend on."""
        count = (pending.size - 2 * CONTEXT) // _DECIMATION * _DECIMATION
        self._blocks = [pending[count:]]
        self._size = pending.size - count
        filtered = pending[CONTEXT : CONTEXT + count]
        if not pending.any():  # the difference of two equal channels
            return filtered
        return filtered - _infrasound(pending[: count + 2 * CONTEXT])
