"""Audio files as serving hears them."""

from concurrent.futures import Executor, ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Final

from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.audio.spectrogram import LogMel, log_mel

LIMITS: Final = DecodeLimits(max_bytes=500 * 1024**2, max_seconds=3_600, timeout_s=600)


def hear(path: Path) -> LogMel:
    """Decode a file and make its spectrogram, by the functions that serving calls.

    Raises:
        GenreGenieError: the file cannot be heard.
    """
    return log_mel(FfmpegDecoder(path, LIMITS))


def in_parallel(workers: int | None = None) -> Executor:
    """Make a pool for `hear`: threads, since the decoder is a process of its own and NumPy's transforms let go.

    Args:
        workers: at a time; None takes one a core.
    """
    return ThreadPoolExecutor(workers or cpu_count())
