"""An audio file → mono samples, by an ffmpeg that can read nothing but that file.

There is no ffprobe (imageio-ffmpeg has none): duration and streams are parsed from what ffmpeg logs before it decodes.
The format is detected from the content, never from the name: ffmpeg gets an open descriptor.
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

from core.audio.cancel import CancelToken
from core.audio.ffmpeg import ffmpeg_path
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE
from core.errors import ErrorCode, GenreGenieError
from core.sandbox.cpu import CpuBudget
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
"""Decoders that ffmpeg may use: audio only, so that neither video nor cover art is ever decoded."""

MAX_STREAMS: Final = 64
ADDRESS_SPACE: Final = 1024**3
"""Bytes. ffmpeg needs about half of it; imageio's build fails at random with less."""

CPU_SECONDS: Final = 3.0
CPU_SECONDS_PER_MIB: Final = 0.25
CPU_SECONDS_PER_SECOND: Final = 0.1
"""ffmpeg's processor time: to begin with, for each MiB of the file, and for each second that it has decoded. It decodes
hundreds of seconds in one, also on a small machine; only what it reads in vain, like a million tags, takes longer."""

_BLOCK_BYTES: Final = 1 << 16
_LOG_BYTES: Final = 1 << 16

_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_AUDIO_STREAM = re.compile(r"^  Stream #0:\d+.*?: Audio: ", re.MULTILINE)
_ANY_STREAM = re.compile(r"^  Stream #0:\d+", re.MULTILINE)
_VIDEO_STREAM = re.compile(r"^  Stream #0:\d+.*?: Video: (?!.*\(attached pic\))", re.MULTILINE)
# A line of ffmpeg's own begins with the component that wrote it; a line from a file's tags never does.
_ESTIMATED_DURATION = re.compile(r"^\[.*Estimating duration from bitrate", re.MULTILINE)
_UNCERTAIN_FORMAT = re.compile(r"^\[.*misdetection possible", re.MULTILINE)
_TRUNCATED = re.compile(r"^\[.*(partial file|File ended prematurely)", re.MULTILINE)
_TOO_MANY_STREAMS = re.compile(r"^\[.*Number of (streams|tracks) exceeds max_streams", re.MULTILINE)

_MAX_SAMPLE: Final = 100.0
"""Far beyond any codec's overshoot, and far below what overflows when it is squared."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits for one file.

    Attributes:
        max_bytes: size of the file.
        max_seconds: duration of its audio.
        timeout_s: seconds that decoding may take.
    """

    max_bytes: int
    max_seconds: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What ffmpeg reports of a file before decoding it.

    Attributes:
        duration: seconds; None where the file has none.
        exact: False where ffmpeg only estimated the duration from the bit rate.
    """

    duration: float | None
    exact: bool


class FfmpegDecoder:
    """Decodes one file with one ffmpeg: iterate once for blocks of samples.

    Args:
        path: the file; its name does not matter.
        limits: bytes, seconds and time.
        cancel_token: cancels decoding from another thread.

    Attributes:
        stream_info: what ffmpeg reports of the file; known once the first block has come.
    """

    def __init__(self, path: Path, limits: DecodeLimits, cancel_token: CancelToken | None = None) -> None:
        self._path = path
        self._limits = limits
        self._cancel_token = cancel_token or CancelToken()
        self.stream_info = StreamInfo(None, exact=False)

    def __iter__(self) -> Iterator[FloatArray]:
        """Decode.

        Yields:
            float32 `(n,)`, mono, `SAMPLE_RATE`, full scale 1 (beyond it where a lossy codec overshoots).

        Raises:
            GenreGenieError: `not-found`, `not-audio`, `no-audio-track`, `too-large`, `too-long`, `damaged`, `timeout`,
                or the code that `cancel_token` was set to.
        """
        self._cancel_token.check()
        with opened(self._path, self._limits.max_bytes) as source:
            yield from self._run(source)

    def _run(self, source: IO[bytes]) -> Iterator[FloatArray]:
        policy = SandboxPolicy(
            read=(self._path,),
            limits=ResourceLimits(
                address_space=ADDRESS_SPACE, cpu_seconds=int(self._limits.timeout_s) + 1, file_size=0
            ),
        )
        process = subprocess.Popen(  # noqa: S603 - a fixed command; the file is an open descriptor
            sandboxed_command(_ffmpeg_command(self._limits, self._path), policy),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=minimal_environment(Path(os.devnull).parent),
            **group_options(),
        )
        log = _LogReader(process.stderr)
        timer = threading.Timer(self._limits.timeout_s, self._cancel_token.set, (ErrorCode.TIMEOUT,))
        timer.daemon = True
        timer.start()
        decoded = 0
        try:
            with self._cancel_token.child(process.pid), self._cpu_budget(process.pid, source) as budget:
                log.wait_for_input()
                self.stream_info = log.stream_info()
                self._check_announced_duration()
                for block in _blocks(process.stdout):
                    decoded += block.size
                    budget.grant(CPU_SECONDS_PER_SECOND * block.size / SAMPLE_RATE)
                    self._check_length(decoded)
                    yield block
                process.wait()
            self._cancel_token.check()
        finally:
            timer.cancel()
            kill_group(process.pid)  # also whatever it started, even if it has ended itself
            process.wait()
            log.close()
            if process.stdout is not None:
                process.stdout.close()
        self._check_exit(decoded / SAMPLE_RATE, log.text(), process.returncode)

    def _cpu_budget(self, pid: int, source: IO[bytes]) -> CpuBudget:
        mebibytes = os.fstat(source.fileno()).st_size / 1024**2
        seconds = CPU_SECONDS + CPU_SECONDS_PER_MIB * mebibytes
        return CpuBudget(pid, seconds, lambda: self._cancel_token.set(ErrorCode.TIMEOUT))

    def _check_announced_duration(self) -> None:
        duration, exact = self.stream_info.duration, self.stream_info.exact
        if duration is not None and exact:
            self._check_length(int(duration * SAMPLE_RATE))

    def _check_length(self, samples: int) -> None:
        if samples > (self._limits.max_seconds + 0.5) * SAMPLE_RATE:
            raise GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=_minutes(self._limits.max_seconds))

    def _check_exit(self, decoded: float, log: str, returncode: int) -> None:
        """Raise the error for an ffmpeg that failed, or decoded nothing or less than announced (`decoded`: seconds)."""
        if returncode == EXIT_NOT_STARTED:
            raise GenreGenieError(ErrorCode.INTERNAL)
        if returncode < 0:  # it crashed on the file, or one of its limits killed it
            raise GenreGenieError(ErrorCode.DAMAGED)
        if _UNCERTAIN_FORMAT.search(log):  # a few bytes of noise that look like MP3
            raise GenreGenieError(ErrorCode.NOT_AUDIO)
        if _TOO_MANY_STREAMS.search(log):  # ffmpeg 5 stops there; later ones go on, and decode garbage
            raise GenreGenieError(ErrorCode.NOT_AUDIO)
        if decoded == 0:
            raise GenreGenieError(_nothing_decoded_code(log))
        if self._is_truncated(decoded, log):
            raise GenreGenieError(ErrorCode.DAMAGED)

    def _is_truncated(self, decoded: float, log: str) -> bool:
        """Return whether much of the announced audio is missing; a video's duration may be its picture's alone."""
        info = self.stream_info
        if info.duration is None or not info.exact or decoded >= 0.9 * info.duration - 1:
            return False
        return not _VIDEO_STREAM.search(log) or bool(_TRUNCATED.search(log))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f}" if seconds >= 60 else f"{seconds / 60:.1f}"


@contextlib.contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[FileIO]:
    """Open a regular file of at most `max_bytes`; a pipe or a device is never waited for.

    Raises:
        GenreGenieError: `not-found`; `not-audio`: empty, or not a regular file; `too-large`.
    """
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
    url = f"file:{path.resolve()}" if os.name == "nt" else "file:/dev/fd/0"
    source = ffmpeg.input(
        url,
        format_whitelist=FORMATS,
        codec_whitelist=CODECS,
        protocol_whitelist="file",
        max_streams=MAX_STREAMS,
        threads=1,
    )
    # One second more than allowed, to distinguish a song of exactly the allowed length from a longer one.
    output = ffmpeg.output(
        source["a:0"], "pipe:1", format="f32le", ac=1, ar=SAMPLE_RATE, t=limits.max_seconds + 1, threads=1
    )
    output = output.global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-filter_threads", "1")
    command: list[str] = output.compile(cmd=ffmpeg_path())
    return command


def _blocks(pipe: IO[bytes] | None) -> Iterator[FloatArray]:
    """Read float32 samples; NaN and infinity become silence, absurdly large samples are clipped."""
    if pipe is None:  # pragma: no cover - Popen was asked for a pipe
        return
    while data := pipe.read(_BLOCK_BYTES):
        block = np.frombuffer(data, "<f4", len(data) // 4)
        yield np.clip(np.nan_to_num(block, nan=0, posinf=0, neginf=0), -_MAX_SAMPLE, _MAX_SAMPLE)


class _LogReader:
    """Reads ffmpeg's log to its end in a thread of its own, and keeps the beginning."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = pipe
        self._text = bytearray()
        self._input_logged = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        pipe = self._pipe
        with contextlib.suppress(ValueError, OSError):  # closed while we read
            while pipe is not None and (data := os.read(pipe.fileno(), 4096)):
                if len(self._text) < _LOG_BYTES:
                    self._text += data
                    if b"\nOutput #0" in self._text:
                        self._input_logged.set()
                else:
                    self._input_logged.set()
        self._input_logged.set()

    def wait_for_input(self) -> None:
        """Wait until ffmpeg has described its input, or ended."""
        self._input_logged.wait()

    def text(self) -> str:
        return self._text.decode("utf-8", "replace")

    def stream_info(self) -> StreamInfo:
        log = self.text()
        match = _DURATION.search(log)
        if match is None:
            return StreamInfo(None, exact=False)
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        return StreamInfo(seconds, exact=_ESTIMATED_DURATION.search(log) is None)

    def close(self) -> None:
        self._thread.join(timeout=5)
        if self._pipe is not None:
            self._pipe.close()


def _nothing_decoded_code(log: str) -> ErrorCode:
    """Return the code for a file of which ffmpeg decoded no sample."""
    if "moov atom not found" in log:
        return ErrorCode.DAMAGED
    if _AUDIO_STREAM.search(log):
        return ErrorCode.NOT_AUDIO if "not on whitelist" in log else ErrorCode.DAMAGED
    return ErrorCode.NO_AUDIO_TRACK if _ANY_STREAM.search(log) else ErrorCode.NOT_AUDIO
