"""Spectrograms of audio files, by the same functions as serving."""

from concurrent.futures import Executor, ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Final

from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.audio.spectrogram import LogMel, log_mel

LIMITS: Final = DecodeLimits(max_bytes=500 * 1024**2, max_seconds=3_600, timeout_s=600)


def log_mel_from_file(path: Path) -> LogMel:
    """Decode a file and compute its log-mel spectrogram.

    Raises:
        GenreGenieError: the file cannot be decoded.
    """
    return log_mel(FfmpegDecoder(path, LIMITS))


def feature_pool(workers: int | None = None) -> Executor:
    """Make a pool for `log_mel_from_file`.

    Threads are enough: ffmpeg runs as a process of its own, and NumPy releases the GIL during its transforms.

    Args:
        workers: files at a time; None takes one per core.
    """
    return ThreadPoolExecutor(workers or cpu_count())
