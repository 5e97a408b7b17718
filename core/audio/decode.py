"""Any audio file → mono samples, by an ffmpeg that can read nothing else.

There is no ffprobe here (imageio-ffmpeg has none): duration and streams are read from what ffmpeg itself says before
it decodes. What is in a file is decided by its content, never by its name: ffmpeg gets an open descriptor.
"""

import contextlib
import os
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Final

import ffmpeg
import numpy as np

from core.audio.ffmpeg import ffmpeg_path
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE
from core.errors import ErrorCode, GenreGenieError
from core.sandbox.launcher import EXIT_NOT_STARTED
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.processes import group_options, kill_group

FORMATS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
)
"""Containers that ffmpeg may open. None of them refers to another file: no playlist, concat script or image series."""

CODECS: Final = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,alac,amrnb,amrwb,ape,eac3,flac,gsm,gsm_ms,mp1,mp1float,mp2,"
    "mp2float,mp3,mp3float,opus,pcm_alaw,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,"
    "pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s8,pcm_u8,tta,vorbis,wavpack,wmalossless,wmapro,wmav1,wmav2"
)
"""Decoders that ffmpeg may use: sound only, so that a film's picture or a cover never meets a decoder."""

MAX_STREAMS: Final = 64
ADDRESS_SPACE: Final = 1024**3
"""Bytes. ffmpeg needs about half of it; imageio's build fails at random with less."""

_BLOCK_BYTES: Final = 1 << 16
_LOG_BYTES: Final = 1 << 16

_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_AUDIO_STREAM = re.compile(r"^  Stream #0:\d+.*?: Audio: ", re.MULTILINE)
_ANY_STREAM = re.compile(r"^  Stream #0:\d+", re.MULTILINE)
_MOVING_PICTURE = re.compile(r"^  Stream #0:\d+.*?: Video: (?!.*\(attached pic\))", re.MULTILINE)
# What ffmpeg itself says begins a line with the name of a part of it; what a file's tags say never does.
_GUESSED_DURATION = re.compile(r"^\[.*Estimating duration from bitrate", re.MULTILINE)
_GUESSED_FORMAT = re.compile(r"^\[.*misdetection possible", re.MULTILINE)
_CUT_OFF = re.compile(r"^\[.*(partial file|File ended prematurely)", re.MULTILINE)

_LOUDEST: Final = 100.0
"""Far beyond any codec's overshoot, and far from where a power overflows."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds for one file: bytes of the file, seconds of sound, seconds of work."""

    max_bytes: int
    max_seconds: float
    timeout_s: float


class CancelToken:
    """What a control thread raises to end the work of another: the child at work is killed at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._code: ErrorCode | None = None
        self._pid: int | None = None

    def set(self, code: ErrorCode = ErrorCode.CANCELLED) -> None:
        """End the work with an error of this code; the first call counts."""
        with self._lock:
            self._code = self._code or code
            if self._pid is not None:
                kill_group(self._pid)

    def check(self) -> None:
        """Raise the error if the work has been ended.

        Raises:
            GenreGenieError: with the code given to `set`.
        """
        if self._code is not None:
            raise GenreGenieError(self._code)

    @contextlib.contextmanager
    def child(self, pid: int) -> Iterator[None]:
        """Kill this child with the work, while the context lasts."""
        with self._lock:
            self._pid = pid
            if self._code is not None:
                kill_group(pid)
        try:
            yield
        finally:
            with self._lock:
                self._pid = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What ffmpeg said of a file before decoding it.

    Attributes:
        duration: seconds; None where the file does not say.
        exact: False where ffmpeg only guessed the duration from the bit rate.
    """

    duration: float | None
    exact: bool


class FfmpegDecoder:
    """One ffmpeg at work on one file: iterate for blocks of samples, once.

    Args:
        path: the file. Its name plays no part.
        limits: bounds.
        stop: ends the work from another thread.
    """

    def __init__(self, path: Path, limits: DecodeLimits, stop: CancelToken | None = None) -> None:
        self._path = path
        self._limits = limits
        self._stop = stop or CancelToken()
        self.announced = StreamInfo(None, exact=False)

    def __iter__(self) -> Iterator[FloatArray]:
        """Decode.

        Yields:
            float32 `(n,)`, mono, `SAMPLE_RATE`, full scale 1 (beyond it where a lossy codec overshoots).

        Raises:
            GenreGenieError: `not-found`, `not-audio`, `no-audio-track`, `too-large`, `too-long`, `damaged`, `timeout`,
                or what `stop` was set to.
        """
        self._stop.check()
        with opened(self._path, self._limits.max_bytes) as source:
            yield from self._run(source)

    def _run(self, source: IO[bytes]) -> Iterator[FloatArray]:
        confined = SandboxPolicy(
            read=(self._path,),
            limits=ResourceLimits(
                address_space=ADDRESS_SPACE, cpu_seconds=int(self._limits.timeout_s) + 1, file_size=0
            ),
        )
        process = subprocess.Popen(  # noqa: S603 - a fixed command; the file is an open descriptor
            sandboxed_command(_ffmpeg_command(self._limits, self._path), confined),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=minimal_environment(Path(os.devnull).parent),
            **group_options(),
        )
        told = _Log(process.stderr)
        timer = threading.Timer(self._limits.timeout_s, self._stop.set, (ErrorCode.TIMEOUT,))
        timer.daemon = True
        timer.start()
        decoded = 0
        try:
            with self._stop.child(process.pid):
                told.wait_for_header()
                self.announced = told.announced()
                self._check_announced()
                for block in _blocks(process.stdout):
                    decoded += block.size
                    self._check_decoded(decoded)
                    yield block
                process.wait()
            self._stop.check()
        finally:
            timer.cancel()
            kill_group(process.pid)  # also what it may have started, when it has ended itself
            process.wait()
            told.close()
            if process.stdout is not None:
                process.stdout.close()
        self._check_outcome(decoded / SAMPLE_RATE, told.text(), process.returncode)

    def _check_announced(self) -> None:
        duration, exact = self.announced.duration, self.announced.exact
        if duration is not None and exact:
            self._check_decoded(int(duration * SAMPLE_RATE))

    def _check_decoded(self, samples: int) -> None:
        if samples > (self._limits.max_seconds + 0.5) * SAMPLE_RATE:
            raise GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=_minutes(self._limits.max_seconds))

    def _check_outcome(self, decoded: float, told: str, returncode: int) -> None:
        """Tell from ffmpeg's words why there are no samples, or fewer than announced."""
        if returncode == EXIT_NOT_STARTED:
            raise GenreGenieError(ErrorCode.INTERNAL)
        if returncode < 0:  # it crashed on the file, or one of its limits killed it
            raise GenreGenieError(ErrorCode.DAMAGED)
        if _GUESSED_FORMAT.search(told):  # a few bytes that look like MP3 among noise
            raise GenreGenieError(ErrorCode.NOT_AUDIO)
        if decoded == 0:
            raise GenreGenieError(_why_nothing(told))
        if self._is_cut_off(decoded, told):
            raise GenreGenieError(ErrorCode.DAMAGED)

    def _is_cut_off(self, decoded: float, told: str) -> bool:
        """Tell whether much of the announced sound is missing; a film's duration may be its picture's alone."""
        announced = self.announced
        if announced.duration is None or not announced.exact or decoded >= 0.9 * announced.duration - 1:
            return False
        return not _MOVING_PICTURE.search(told) or bool(_CUT_OFF.search(told))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f}" if seconds >= 60 else f"{seconds / 60:.1f}"


@contextlib.contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[FileIO]:
    """Open a regular file of a bounded size; a pipe or a device is never waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):  # ValueError: a null byte in the name
        raise GenreGenieError(ErrorCode.NOT_FOUND) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(descriptor)
        raise GenreGenieError(ErrorCode.NOT_AUDIO)
    with FileIO(descriptor, "rb") as source:
        if status.st_size > max_bytes:
            raise GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=max_bytes // 1024**2)
        yield source


def _ffmpeg_command(limits: DecodeLimits, path: Path) -> list[str]:
    where = f"file:{path.resolve()}" if os.name == "nt" else "file:/dev/fd/0"
    opened = ffmpeg.input(
        where,
        format_whitelist=FORMATS,
        codec_whitelist=CODECS,
        protocol_whitelist="file",
        max_streams=MAX_STREAMS,
        threads=1,
    )
    # One second more than allowed tells a song of just the allowed length from a longer one.
    written = ffmpeg.output(
        opened["a:0"], "pipe:1", format="f32le", ac=1, ar=SAMPLE_RATE, t=limits.max_seconds + 1, threads=1
    )
    plain = written.global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-filter_threads", "1")
    command: list[str] = plain.compile(cmd=ffmpeg_path())
    return command


def _blocks(pipe: IO[bytes] | None) -> Iterator[FloatArray]:
    """Read float32 samples; what is not a number counts as silence, what no converter could play is cut off."""
    if pipe is None:  # pragma: no cover - Popen was asked for a pipe
        return
    while data := pipe.read(_BLOCK_BYTES):
        block = np.frombuffer(data, "<f4", len(data) // 4)
        yield np.clip(np.nan_to_num(block, nan=0, posinf=0, neginf=0), -_LOUDEST, _LOUDEST)


class _Log:
    """Reads what ffmpeg says to the end and keeps its beginning; knows when the description of the input is over."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = pipe
        self._kept = bytearray()
        self._described = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        pipe = self._pipe
        with contextlib.suppress(ValueError, OSError):  # closed under our hands
            while pipe is not None and (data := os.read(pipe.fileno(), 4096)):
                if len(self._kept) < _LOG_BYTES:
                    self._kept += data
                    if b"\nOutput #0" in self._kept:
                        self._described.set()
                else:
                    self._described.set()
        self._described.set()

    def wait_for_header(self) -> None:
        self._described.wait()

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")

    def announced(self) -> StreamInfo:
        told = self.text()
        match = _DURATION.search(told)
        if match is None:
            return StreamInfo(None, exact=False)
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        return StreamInfo(seconds, exact=_GUESSED_DURATION.search(told) is None)

    def close(self) -> None:
        self._thread.join(timeout=5)
        if self._pipe is not None:
            self._pipe.close()


def _why_nothing(told: str) -> ErrorCode:
    if "moov atom not found" in told:
        return ErrorCode.DAMAGED
    if _AUDIO_STREAM.search(told):
        return ErrorCode.NOT_AUDIO if "not on whitelist" in told else ErrorCode.DAMAGED
    return ErrorCode.NO_AUDIO_TRACK if _ANY_STREAM.search(told) else ErrorCode.NOT_AUDIO
