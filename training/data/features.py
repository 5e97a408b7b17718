"""Spectrograms of audio files, by the same functions as serving."""

from concurrent.futures import Executor, ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Final

import numpy as np

from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.audio.front_end import decoded_log_mel
from core.audio.spectrogram import FloatArray, LogMel

LIMITS: Final = DecodeLimits(max_bytes=500 * 1024**2, max_seconds=3_600, timeout_s=600)


def log_mel_from_file(path: Path) -> LogMel:
    """Decode a file and compute its log-mel spectrogram.

    Raises:
        GenreGenieError: the file cannot be decoded.
    """
    return decoded_log_mel(FfmpegDecoder(path, LIMITS))


def decoded_mono(path: Path) -> FloatArray:
    """Decode a file of one channel, float32 `(n,)`.

    Raises:
        GenreGenieError: the file cannot be decoded.
    """
    stereo = np.concatenate(list(FfmpegDecoder(path, LIMITS)))
    mono: FloatArray = stereo.sum(axis=1) * np.float32(0.5**0.5)
    return mono


def feature_pool(workers: int | None = None) -> Executor:
    """Make a pool for `log_mel_from_file`.

    Threads are enough: ffmpeg runs as a process of its own, and NumPy releases the GIL during its transforms.

    Args:
        workers: files at a time; None takes one per core.
    """
    return ThreadPoolExecutor(workers or cpu_count())
