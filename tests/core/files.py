"""Files to decode: each format by name, and each kind of bad input with the error that it has."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import ErrorCode
from tests.support.audio import encode, make_song, write_wav
from tests.support.seeds import corpus_random

FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "vbr.mp3": ("-c:a", "libmp3lame", "-q:a", "4"),
    "cbr-without-header.mp3": ("-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0"),
    "index-at-the-end.m4a": ("-c:a", "aac"),
    "index-at-the-start.m4a": ("-c:a", "aac", "-movflags", "+faststart"),
    "lossless.m4a": ("-c:a", "alac"),
    "adts.aac": ("-c:a", "aac"),
    "vorbis.ogg": ("-c:a", "libvorbis"),
    "opus.ogg": ("-c:a", "libopus"),
    "opus.opus": ("-c:a", "libopus"),
    "flac.flac": ("-c:a", "flac"),
    "16-bit.wav": ("-c:a", "pcm_s16le"),
    "24-bit.wav": ("-c:a", "pcm_s24le"),
    "float.wav": ("-c:a", "pcm_f32le"),
    "aiff.aiff": (),
    "wma.wma": ("-c:a", "wmav2"),
    "opus.webm": ("-c:a", "libopus"),
    "vorbis.mka": ("-c:a", "libvorbis"),
}
"""Sound alone: name → ffmpeg's options."""

VIDEOS: Final[dict[str, tuple[str, ...]]] = {
    "film.mp4": ("-c:v", "mpeg4", "-c:a", "aac"),
    "film-index-at-the-start.mp4": ("-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+faststart"),
    "film.mov": ("-c:v", "mpeg4", "-c:a", "aac"),
    "film.webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    "film.mkv": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
}

SUFFIXES: Final = [
    ".mp3",
    ".m4a",
    ".aac",
    ".ogg",
    ".opus",
    ".flac",
    ".wav",
    ".aiff",
    ".wma",
    ".webm",
    ".mka",
    ".mkv",
    ".mp4",
    ".mov",
    ".avi",
    ".amr",
    ".ape",
    ".ac3",
    ".au",
    ".caf",
    ".flv",
    ".tta",
    ".ts",
    ".w64",
    ".wv",
    ".m3u8",
    ".pls",
    ".txt",
]


def picture(seconds: float) -> tuple[str, ...]:
    """Options for a moving test picture as one more input."""
    return ("-f", "lavfi", "-i", f"testsrc=d={seconds}:s=128x96:r=10")


def encoded(folder: Path, name: str, wav: Path, seconds: float) -> Path:
    """One of `FORMATS` or `VIDEOS`, made from a WAV."""
    if name in FORMATS:
        return encode(folder / name, "-i", wav, *FORMATS[name])
    return encode(folder / name, *picture(seconds), "-i", wav, *VIDEOS[name])


def cut(path: Path, share: float = 0.5) -> Path:
    """The beginning of a file under another name."""
    data = path.read_bytes()
    target = path.with_name(f"cut-{path.name}")
    target.write_bytes(data[: int(len(data) * share)])
    return target


def random_files(folder: Path, count: int, seed: int) -> list[Path]:
    """Files of random bytes under every known suffix in turn."""
    rng = corpus_random(seed)
    paths = []
    for index in range(count):
        path = folder / f"random-{index}{SUFFIXES[index % len(SUFFIXES)]}"
        path.write_bytes(rng.randbytes(rng.choice((1, 10, 100, 1_000, 5_000, 65_536, 300_000))))
        paths.append(path)
    return paths


def _text(content: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_text(content)
        return path

    return make


def _samples(make: Callable[[], np.ndarray], rate: int = 22_050) -> Callable[[Path], Path]:
    return lambda path: write_wav(path, make(), rate)


def _encoded(*arguments: str) -> Callable[[Path], Path]:
    return lambda path: encode(path, *arguments)


def _cut_song(share: float) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        wav = write_wav(path.with_name("whole.wav"), make_song(12))
        whole = encode(path.with_name(f"whole-{path.name}"), "-i", wav)
        path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        return path

    return make


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _link(target: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.symlink_to(target)
        return path

    return make


SONG: Final = "song.wav"
"""A sound file that lies beside the bad ones, for those that point at another."""

_SHORT: Final = ("-f", "lavfi", "-i", "sine=440:d=0.5")

BAD: Final[dict[str, tuple[Callable[[Path], Path], ErrorCode]]] = {
    "missing.mp3": (lambda path: path, ErrorCode.NOT_FOUND),
    "dangling.mp3": (_link("nowhere"), ErrorCode.NOT_FOUND),
    "empty.mp3": (_text(""), ErrorCode.NOT_AUDIO),
    "text.mp3": (_text("This is not a song. " * 1000), ErrorCode.NOT_AUDIO),
    "page.mp3": (_text("<!doctype html><title>404</title>" * 50), ErrorCode.NOT_AUDIO),
    "playlist.mp3": (_text(f"#EXTM3U\n#EXTINF:12,\n{SONG}\n"), ErrorCode.NOT_AUDIO),
    "hls.mp3": (
        _text(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:12\n#EXT-X-MEDIA-SEQUENCE:0\n"
            f"#EXTINF:12.0,\n{SONG}\n#EXT-X-ENDLIST\n"
        ),
        ErrorCode.NOT_AUDIO,
    ),
    "concat.mp3": (_text(f"ffconcat version 1.0\nfile {SONG}\n"), ErrorCode.NOT_AUDIO),
    "dash.m4a": (_text('<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>'), ErrorCode.NOT_AUDIO),
    "subtitles.mp3": (_text("1\n00:00:00,000 --> 00:00:05,000\nla la la\n" * 50), ErrorCode.NOT_AUDIO),
    "picture.mp3": (
        _encoded("-f", "lavfi", "-i", "testsrc=d=0.1:s=64x64:r=10", "-frames:v", "1", "-f", "image2"),
        ErrorCode.NOT_AUDIO,
    ),
    "film-without-sound.mp4": (_encoded(*picture(5), "-c:v", "mpeg4"), ErrorCode.NO_AUDIO_TRACK),
    "film-without-sound.webm": (_encoded(*picture(5), "-c:v", "libvpx"), ErrorCode.NO_AUDIO_TRACK),
    "half-a-second.mp3": (_encoded(*_SHORT), ErrorCode.TOO_SHORT),
    "half-a-second.flac": (_encoded(*_SHORT), ErrorCode.TOO_SHORT),
    "silence.wav": (_samples(lambda: np.zeros(22_050 * 10)), ErrorCode.SILENT),
    "nearly-silence.wav": (_samples(lambda: 0.0009 * make_song(10)), ErrorCode.SILENT),
    "three-hours.flac": (
        _encoded("-f", "lavfi", "-i", "anullsrc=r=1000:cl=mono", "-t", "10800", "-c:a", "flac"),
        ErrorCode.TOO_LONG,
    ),
    "cut.m4a": (_cut_song(0.5), ErrorCode.DAMAGED),  # its index was at the end
    "stump.mp3": (_cut_song(0.15), ErrorCode.DAMAGED),
    "stump.flac": (_cut_song(0.15), ErrorCode.DAMAGED),
    "stump.mka": (_cut_song(0.15), ErrorCode.DAMAGED),
    "directory.mp3": (_directory, ErrorCode.NOT_AUDIO),
    "pipe.mp3": (_fifo, ErrorCode.NOT_AUDIO),
    "device.mp3": (_link("/dev/zero"), ErrorCode.NOT_AUDIO),
}
"""Name → how it is made and the error that it has."""

UNDECODABLE: Final = [
    name
    for name, (_, code) in BAD.items()
    if code not in (ErrorCode.TOO_SHORT, ErrorCode.SILENT) and not name.startswith("stump")
]
"""Those of which nothing is decoded; from the others something comes, but not enough of it."""


def make_bad(folder: Path, name: str) -> tuple[Path, ErrorCode]:
    """One of `BAD`, with a sound file beside it."""
    if not (folder / SONG).exists():
        write_wav(folder / SONG, make_song(12))
    make, code = BAD[name]
    return make(folder / name), code
