"""An audio file → samples of two channels, by an ffmpeg that can read nothing but that file.

There is no ffprobe (imageio-ffmpeg has none): tracks and duration are parsed from what ffmpeg logs before it decodes,
and from nothing that a file can put there.
ffmpeg gets an open descriptor, and detects the format from the content; see `core.audio.sniff` for where that fails.
What a header says of the duration is believed nowhere: the duration is what was decoded.
"""

import contextlib
import mmap
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import IO, Final

import ffmpeg
import numpy as np

from core.audio.cancel import CancelToken
from core.audio.ffmpeg import ffmpeg_path
from core.audio.sniff import InputGuess, guesses
from core.audio.spectrogram import FloatArray
from core.audio.truncation import is_cut_off
from core.constants import SAMPLE_RATE
from core.errors import ErrorCode, GenreGenieError, too_long
from core.sandbox.cpu import CpuBudget
from core.sandbox.launcher import EXIT_NOT_STARTED
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.processes import group_options, kill_group

FORMATS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,g722,g723_1,g726,g726le,g729,gsm,iff,m4a,matroska,"
    "mlp,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,ogg,truehd,tta,w64,wav,webm,wv"
)
"""Containers that ffmpeg may open. None of them refers to another file: no playlist, concat script or image series."""

CODECS: Final = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,alac,amrnb,amrwb,ape,dca,dsd_lsbf,dsd_lsbf_planar,dsd_msbf,"
    "dsd_msbf_planar,dst,eac3,flac,g722,g723_1,g726,g726le,g729,gsm,gsm_ms,mlp,mp1,mp1float,mp2,mp2float,mp3,mp3float,"
    "mpc7,mpc8,opus,pcm_alaw,pcm_bluray,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,"
    "pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s8,pcm_u8,s302m,speex,truehd,tta,vorbis,wavpack,wmalossless,wmapro,"
    "wmav1,wmav2"
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

LOWEST_RATE: Final = 1_000
HIGHEST_RATE: Final = 12_000_000
"""Sample rates that are decoded: telephones have 8,000 Hz, DSD512 is 2.8 million bytes a second. For a rate of 1 Hz
ffmpeg's resampler would take 700 MB."""

CHANNELS: Final = 2
"""Channels that are decoded: one is repeated, more than two are mixed down by ffmpeg."""

_BLOCK_BYTES: Final = 1 << 17
_MESSAGE_BYTES: Final = 1 << 17
"""Longer than anything that one read of the log gives."""
_CUT_BYTES: Final = (1 << 16) - 2
"""Messages of at least this length were cut by ffmpeg, and have lost the end of their line."""
_LINE_BYTES: Final = 4096
_NEWLINES_TO_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")
_DESCRIPTION_BYTES: Final = 1 << 16

_INPUT = re.compile(r"^Input #0, (\S+), from ", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
# Greedy, for the language, which is the file's own text, stands before the kind.
_STREAM = re.compile(r"^  Stream #0:\d+.*: (?P<kind>[A-Z][a-z]+): (?P<codec>\w+)(?P<rest>.*)$", re.MULTILINE)
_KBPS = re.compile(r", (\d+) kb/s")
_RATE = re.compile(r", (\d+) Hz")
_AFTER_INPUT: Final = ("Stream mapping:", "Output #0")
_LEVEL: Final = "[info] "
_LINE_START = re.compile(rb"\[(?:[a-z]+|[^\]]+ @ 0x[0-9a-f]+)\] ")
"""What ffmpeg writes by itself at the beginning of a line: the level, or the component."""
_DESCRIBING: Final = ("Input #0, ", "  Duration: ", "  Stream #0:")
"""How the lines begin that describe the input; those with its tags, which may be many, do not."""

# A line of ffmpeg's own begins with the components that wrote it. What it says is matched from its beginning: further
# on, a file's own words may stand in it.
_NOTES = re.compile(
    r"(?:\[[^\]]+\] )+(?:"
    r"(?P<uncertain>Format \S+ detected only with low score of \d+, misdetection possible!)"
    r"|(?P<estimated>Estimating duration from bitrate)"
    r"|(?P<truncated>(?:stream \d+, offset 0x\w+|root atom offset 0x\w+): partial file|File ended prematurely)"
    r"|(?P<corrupt>Packet corrupt \(stream = )"
    r"|(?P<streams>Number of (?:streams|tracks) exceeds max_streams)"
    r"|(?P<forbidden>(?:Codec \(\w+\)|Format) not on whitelist)"
    r"|(?P<moov>moov atom not found)"
    r")"
)

_BARE_FRAMES: Final = frozenset(("aac", "ac3", "eac3", "mp3"))

_COUNTS_ITS_SOUND: Final = frozenset(("ape", "au", "dsf", "flac", "mp3", "mpc", "mpc8", "tta", "wv"))
"""Containers of one track, whose headers count its samples or frames."""

_REPORTS_LAST_PACKET: Final = frozenset(("flv",))
"""Containers in which a corrupt packet can only be the last one, for ffmpeg resynchronises silently."""

MISSING_SECONDS: Final = 0.5
"""What an announced duration may count that is not decoded: an encoder's delay, a last packet."""

MOST_TRACKS: Final = 8
"""Tracks that are tried, one after the other, where they are silent or cannot be decoded."""

_MAX_SAMPLE: Final = 2.0**32
"""Beyond the range of any integer that a float may stand for, and far below what overflows when it is squared."""

_GLITCH: Final = 100.0
"""A sample is bounded by this many times full scale, or by as many times what 99% of those around it stay under."""


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
class AudioTrack:
    """One of a file's audio tracks.

    Attributes:
        codec: ffmpeg's name of it.
        default: whether the file marks it as the one to play.
        kbps: bits that it takes, in thousands a second; 0 where that is not known.
        rate: samples a second; 0 where that is not known.
    """

    codec: str
    default: bool
    kbps: int
    rate: int = 0


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What ffmpeg reports of a file before decoding it, and whether the file turned out to end too early.

    Attributes:
        container: ffmpeg's name of it, or several: `mov,mp4,m4a,3gp,3g2,mj2`.
        duration: seconds that the file announces; None where it announces none. Good for showing progress.
        estimated: whether ffmpeg computed the duration from the bit rate.
        tracks: the audio tracks.
        streams: how many streams there are of any kind.
        track: which of the tracks was decoded, from 0.
        cut_off: whether the file ends before its sound does; known after the last block.
    """

    container: str = ""
    duration: float | None = None
    estimated: bool = False
    tracks: tuple[AudioTrack, ...] = ()
    streams: int = 0
    track: int = 0
    cut_off: bool = False


class _UnrecognizedError(GenreGenieError):
    """Nothing was decoded, and the file may be of another format."""


class _UndecodableError(GenreGenieError):
    """Nothing was decoded of this track."""


class _OtherTrackError(Exception):
    """Another track is to be decoded."""


class FfmpegDecoder:
    """Decodes one track of a file with one ffmpeg: iterate for blocks of samples.

    The track is the one that the file marks as its default, else the first; where it cannot be decoded, the next that
    can. `next_track` goes on to another one, for those who find that one silent.

    Args:
        path: the file. Its name is a hint only where its bytes are not clear.
        limits: bytes, seconds and time; the time is that of all tracks together.
        cancel_token: cancels decoding from another thread.

    Attributes:
        stream_info: what ffmpeg reports of the file; known once the first block has come.
    """

    def __init__(self, path: Path, limits: DecodeLimits, cancel_token: CancelToken | None = None) -> None:
        self._path = path
        self._limits = limits
        self._cancel_token = cancel_token or CancelToken()
        self._guess: InputGuess | None = None
        self._deadline: float | None = None
        self._tracks_left: list[int] | None = None
        self.stream_info = StreamInfo()

    def __iter__(self) -> Iterator[FloatArray]:
        """Decode.

        Yields:
            float32 `(n, 2)`, left and right, `SAMPLE_RATE`. A mono file is on both, 3 dB quieter.
            Full scale is 1; codecs overshoot it a little, and floats may be of any scale.

        Raises:
            GenreGenieError: `not-found`, `not-audio`, `no-audio-track`, `too-large`, `too-long`, `damaged`, `timeout`,
                or the code that `cancel_token` was set to.
        """
        self._cancel_token.check()
        if self._deadline is None:
            self._deadline = time.monotonic() + self._limits.timeout_s
        with opened(self._path, self._limits.max_bytes) as source:
            if self._guess is not None:
                yield from self._decode(source, self._guess)
                return
            first: GenreGenieError | None = None
            for guess in guesses(source, self._path.suffix):
                try:
                    yield from self._decode(source, guess)
                except _UnrecognizedError as error:
                    first = first or error
                    self._guess = None
                else:
                    return
            raise GenreGenieError(first.code if first is not None else ErrorCode.NOT_AUDIO)

    def next_track(self) -> bool:
        """Have the next iteration decode another track, and return whether there is one left."""
        if not self._tracks_left:
            return False
        self.stream_info = replace(self.stream_info, track=self._tracks_left.pop(0), cut_off=False)
        return True

    def _decode(self, source: FileIO, guess: InputGuess) -> Iterator[FloatArray]:
        """Decode the first track that can be decoded, of those that are left."""
        first: GenreGenieError | None = None
        while True:
            try:
                yield from self._run(source, guess)
            except _OtherTrackError:
                continue
            except _UndecodableError as error:
                first = first or error
                if self.next_track():
                    continue
                # Anything may be taken for frames without a container, behind a tag for instance.
                if self.stream_info.container in _BARE_FRAMES:
                    raise _UnrecognizedError(first.code) from None
                raise GenreGenieError(first.code) from None
            else:
                return

    def _run(self, source: FileIO, guess: InputGuess) -> Iterator[FloatArray]:
        decoded = 0
        with self._ffmpeg(source, guess) as (process, log), self._cpu_budget(process.pid, source) as budget:
            log.wait_for_input()
            self._choose_track(log, guess)
            self._check_rate()
            self._check_announced_length(os.fstat(source.fileno()).st_size)
            for block in _blocks(process.stdout):
                decoded += len(block)
                budget.grant(CPU_SECONDS_PER_SECOND * len(block) / SAMPLE_RATE)
                self._check_length(decoded)
                yield block
            process.wait()
        self._cancel_token.check()
        self._check_exit(decoded, log.notes, process.returncode)
        cut_off = self._is_cut_off(decoded / SAMPLE_RATE, log.notes, source, guess)
        self.stream_info = replace(self.stream_info, cut_off=cut_off)

    @contextlib.contextmanager
    def _ffmpeg(self, source: FileIO, guess: InputGuess) -> "Iterator[tuple[subprocess.Popen[bytes], LogReader]]":
        """Start an ffmpeg that ends with the context, or when the time is over."""
        policy = SandboxPolicy(
            read=(self._path,),
            limits=ResourceLimits(
                address_space=ADDRESS_SPACE, cpu_seconds=int(self._limits.timeout_s) + 1, file_size=0
            ),
        )
        source.seek(0)  # where /dev/fd/0 is a duplicate, ffmpeg goes on from here
        ours, theirs = log_pipe()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - a fixed command; the file is an open descriptor
                    sandboxed_command(_ffmpeg_command(self._path, guess, self.stream_info.track), policy),
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=theirs,
                    env=minimal_environment(Path(os.devnull).parent),
                    **group_options(),
                )
            except BaseException:
                ours.close()
                raise
        log = LogReader(ours)
        left = (self._deadline or 0) - time.monotonic()
        timer = threading.Timer(max(0.0, left), self._cancel_token.set, (ErrorCode.TIMEOUT,))
        timer.daemon = True
        timer.start()
        try:
            with self._cancel_token.child(process.pid):
                yield process, log
        finally:
            timer.cancel()
            kill_group(process.pid)  # also whatever it started, even if it has ended itself
            process.wait()
            log.close()
            if process.stdout is not None:
                process.stdout.close()

    def _cpu_budget(self, pid: int, source: IO[bytes]) -> CpuBudget:
        mebibytes = os.fstat(source.fileno()).st_size / 1024**2
        seconds = CPU_SECONDS + CPU_SECONDS_PER_MIB * mebibytes
        return CpuBudget(pid, seconds, lambda: self._cancel_token.set(ErrorCode.TIMEOUT))

    def _choose_track(self, log: "LogReader", guess: InputGuess) -> None:
        """Take what ffmpeg says of the file, the first time.

        Raises:
            _UnrecognizedError: it is not what ffmpeg takes it for.
            _OtherTrackError: another track than the one that is being decoded comes first.
        """
        if guess.demuxer is None and "uncertain" in log.notes:  # a few bytes of noise that look like MP3
            raise _UnrecognizedError(ErrorCode.NOT_AUDIO)
        info = read_stream_info(log.description(), estimated="estimated" in log.notes)
        if self._guess is not None or not info.container:
            return
        self._guess = guess
        order = sorted(range(len(info.tracks)), key=lambda number: not info.tracks[number].default)
        self.stream_info = replace(info, track=order[0] if order else 0)
        self._tracks_left = order[1:MOST_TRACKS]
        if self.stream_info.track != 0:
            raise _OtherTrackError

    def _check_rate(self) -> None:
        """Refuse a track whose rate is none of sound, before ffmpeg makes a resampler for it."""
        info = self.stream_info
        rate = info.tracks[info.track].rate if info.track < len(info.tracks) else 0
        if rate and not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise _UndecodableError(ErrorCode.DAMAGED)

    def _check_announced_length(self, size: int) -> None:
        """Refuse at once what is certainly too long: uncompressed sound, announced and as large as that takes."""
        info = self.stream_info
        if info.duration is None or len(info.tracks) != 1 or info.streams != 1:
            return
        track = info.tracks[0]
        if track.codec.startswith("pcm_") and track.kbps:
            self._check_length(int(min(info.duration, size / ((track.kbps + 1) * 125)) * SAMPLE_RATE))

    def _check_length(self, samples: int) -> None:
        if samples > (self._limits.max_seconds + 0.5) * SAMPLE_RATE:
            raise too_long(self._limits.max_seconds)

    def _check_exit(self, decoded: int, notes: AbstractSet[str], returncode: int) -> None:
        """Raise the error for an ffmpeg that failed, or decoded nothing (`decoded`: samples)."""
        if returncode == EXIT_NOT_STARTED:
            raise GenreGenieError(ErrorCode.INTERNAL)
        if returncode < 0:  # it crashed on the file, or one of its limits killed it
            raise GenreGenieError(ErrorCode.DAMAGED)
        if "streams" in notes:  # ffmpeg 5 stops there; later ones go on, and decode garbage
            raise GenreGenieError(ErrorCode.NOT_AUDIO)
        if decoded:
            return
        if self.stream_info.tracks:
            raise _UndecodableError(ErrorCode.NOT_AUDIO if "forbidden" in notes else ErrorCode.DAMAGED)
        if self.stream_info.streams:
            raise GenreGenieError(ErrorCode.NO_AUDIO_TRACK)
        raise _UnrecognizedError(ErrorCode.DAMAGED if "moov" in notes else ErrorCode.NOT_AUDIO)

    def _is_cut_off(self, decoded: float, notes: AbstractSet[str], source: FileIO, guess: InputGuess) -> bool:
        """Return whether the file ends before its sound does (`decoded`: seconds).

        The container tells, ffmpeg does, or a header that counts this sound alone and more of it than there is. A
        duration of the whole file says nothing: it may be that of pictures or lyrics, or begin at any time.
        """
        info = self.stream_info
        if is_cut_off(source, info.container, guess.start) or "truncated" in notes:
            return True
        if info.container in _COUNTS_ITS_SOUND and info.duration is not None and not info.estimated:
            return decoded < info.duration - MISSING_SECONDS
        return "corrupt" in notes and info.container in _REPORTS_LAST_PACKET


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


def _ffmpeg_command(path: Path, guess: InputGuess, track: int) -> list[str]:
    url = f"file:{path.resolve()}" if os.name == "nt" else "file:/dev/fd/0"
    if guess.start:
        url = f"subfile,,start,{guess.start},end,0,,:{url}"
    demuxer = {"format": guess.demuxer} if guess.demuxer is not None else {}
    source = ffmpeg.input(
        url,
        format_whitelist=FORMATS,
        codec_whitelist=CODECS,
        protocol_whitelist="file,subfile" if guess.start else "file",
        max_streams=MAX_STREAMS,
        threads=1,
        **demuxer,
    )
    # Not bounded by `t`, which goes by timestamps, and those may begin or jump anywhere: who reads counts samples.
    output = ffmpeg.output(source[f"a:{track}"], "pipe:1", format="f32le", ac=CHANNELS, ar=SAMPLE_RATE, threads=1)
    output = output.global_args(
        "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-filter_threads", "1"
    )
    command: list[str] = output.compile(cmd=ffmpeg_path())
    return command


def _blocks(pipe: IO[bytes] | None) -> Iterator[FloatArray]:
    """Read float32 samples `(n, CHANNELS)`, each within bounds."""
    if pipe is None:  # pragma: no cover - Popen was asked for a pipe
        return
    while data := pipe.read(_BLOCK_BYTES):
        yield bounded(np.frombuffer(data, "<f4", len(data) // 4 // CHANNELS * CHANNELS)).reshape(-1, CHANNELS)


def bounded(samples: FloatArray) -> FloatArray:
    """Turn what is no number, or none of a sample, into silence, and bound glitches; floats of any scale stay."""
    magnitude = np.abs(samples)
    if magnitude.max(initial=0) <= _GLITCH:  # False also for NaN
        return samples
    numbers = magnitude <= _MAX_SAMPLE
    samples, magnitude = np.where(numbers, samples, 0), np.where(numbers, magnitude, 0)
    bound = _GLITCH * max(1.0, float(np.percentile(magnitude, 99)))
    within: FloatArray = np.clip(samples, -bound, bound)
    return within


def log_pipe() -> tuple[FileIO, FileIO]:
    """Open a pipe for ffmpeg's log, and return both ends; under Linux it keeps each write of ffmpeg's apart."""
    # Packet mode, pipe(2). Not a socket: a worker has none.
    ours, theirs = os.pipe2(os.O_DIRECT | os.O_CLOEXEC) if sys.platform == "linux" else os.pipe()
    return FileIO(ours, "rb"), FileIO(theirs, "wb")


class LogReader:
    """Reads ffmpeg's log to its end in a thread of its own, and keeps what decides.

    ffmpeg writes the names of tags, languages and the like as they stand in the file, newlines too, by which a file
    could say what ffmpeg says. Each of its writes is one message or a part of one, and a line ends only where a message
    does. (Where writes cannot be told apart, outside Linux, a file can do that.)

    Args:
        pipe: our end of `log_pipe`.

    Attributes:
        notes: which of the groups of `_NOTES` ffmpeg has logged so far.
    """

    def __init__(self, pipe: FileIO) -> None:
        self.notes: set[str] = set()
        self._pipe = pipe
        self._line = b""
        self._message_bytes = 0
        self._may_have_ended = False
        self._description = ""
        self._input_logged = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        take = self._take_packet if sys.platform == "linux" else self._take
        with contextlib.suppress(ValueError, OSError):  # closed while we read
            while data := os.read(self._pipe.fileno(), _MESSAGE_BYTES):
                take(data)
        self._take(b"\n")
        self._input_logged.set()

    def _take_packet(self, packet: bytes) -> None:
        """Take a message, or a page of a longer one; of its newlines only one at the end ends a line."""
        if self._may_have_ended and _LINE_START.fullmatch(packet):
            self._take(b"\n")
        self._message_bytes += len(packet)
        is_whole = len(packet) != mmap.PAGESIZE
        ends_line = packet.endswith(b"\n")
        self._may_have_ended = ends_line and not is_whole
        is_end = is_whole and (ends_line or self._message_bytes >= _CUT_BYTES)
        self._take(packet.removesuffix(b"\n").translate(_NEWLINES_TO_SPACES) + (b"\n" if is_end else b""))
        if is_whole:
            self._message_bytes = 0

    def _take(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_LINE_BYTES]
        for line in lines:
            self._take_line(line[:_LINE_BYTES].decode("utf-8", "replace"))

    def _take_line(self, line: str) -> None:
        line = line.removeprefix(_LEVEL)
        if line.startswith(_AFTER_INPUT):
            self._input_logged.set()
        elif self._input_logged.is_set() or not line.startswith(_DESCRIBING):
            if note := _NOTES.match(line):
                self.notes.add(note.lastgroup or "")
        elif len(self._description) < _DESCRIPTION_BYTES:
            self._description += line + "\n"

    def wait_for_input(self) -> None:
        """Wait until ffmpeg has described its input, or ended."""
        self._input_logged.wait()

    def description(self) -> str:
        """Return the lines that describe the input, without its tags."""
        return self._description

    def close(self) -> None:
        """Wait for the log's end, and close our end of it."""
        self._thread.join(timeout=5)
        self._pipe.close()


def read_stream_info(description: str, *, estimated: bool = False) -> StreamInfo:
    """Read what ffmpeg logs of its input.

    Args:
        description: the lines of the log that describe it.
        estimated: whether ffmpeg says that it has computed the duration from the bit rate.
    """
    container, duration = _INPUT.search(description), _DURATION.search(description)
    streams = list(_STREAM.finditer(description))
    return StreamInfo(
        container=container[1] if container is not None else "",
        duration=int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration is not None else None,
        estimated=estimated,
        tracks=tuple(_audio_track(stream) for stream in streams if stream["kind"] == "Audio"),
        streams=len(streams),
    )


def _audio_track(stream: re.Match[str]) -> AudioTrack:
    rest = stream["rest"]
    kbps, rate = _KBPS.search(rest), _RATE.search(rest)
    return AudioTrack(
        stream["codec"],
        "(default)" in rest,
        int(kbps[1]) if kbps is not None else 0,
        int(rate[1]) if rate is not None else 0,
    )
