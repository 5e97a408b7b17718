"""Whether files of the suffixes that are taken for media can be decoded, and those of rarer codecs."""

import struct
from pathlib import Path

import numpy as np
import pytest

from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.audio.suffixes import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES, media_suffix
from core.constants import SAMPLE_RATE
from tests.support.audio import encode, heard_pitches, mixed

AAC = ("-c:a", "aac")
MUXERS = {
    ".3g2": ("3g2", *AAC),
    ".3ga": ("3gp", *AAC),
    ".3gp": ("3gp", *AAC),
    ".ac3": ("ac3",),
    ".adts": ("adts", *AAC),
    ".aifc": ("aiff", "-c:a", "pcm_mulaw"),
    ".au": ("au",),
    ".caf": ("caf",),
    ".dts": ("dts", "-strict", "-2", "-c:a", "dca"),
    ".ec3": ("eac3", "-c:a", "eac3"),
    ".eac3": ("eac3", "-c:a", "eac3"),
    ".g722": ("g722", "-ar", "16000"),
    ".g726": ("g726", "-ar", "8000"),
    ".gsm": ("gsm", "-c:a", "libgsm", "-ar", "8000"),
    ".m4b": ("ipod", *AAC),
    ".m4r": ("ipod", *AAC),
    ".mlp": ("mlp", "-strict", "-2"),
    ".mp2": ("mp2",),
    ".mpga": ("mp3",),
    ".oga": ("ogg", "-c:a", "flac"),
    ".snd": ("au",),
    ".spx": ("spx", "-c:a", "libspeex", "-ar", "16000"),
    ".thd": ("truehd", "-strict", "-2"),
    ".tta": ("tta",),
    ".w64": ("w64",),
    ".wave": ("wav",),
    ".weba": ("webm", "-c:a", "libopus"),
    ".wv": ("wv",),
    ".asf": ("asf",),
    ".avi": ("avi",),
    ".f4v": ("f4v", *AAC),
    ".flv": ("flv", *AAC, "-ar", "44100"),
    ".m2ts": ("mpegts", "-c:a", "ac3"),
    ".m4v": ("mp4", *AAC),
    ".mpg": ("mpeg",),
    ".mts": ("mpegts", "-mpegts_m2ts_mode", "1", "-c:a", "ac3"),
    ".ogv": ("ogv", "-c:a", "libvorbis"),
    ".qt": ("mov",),
    ".ts": ("mpegts", *AAC),
    ".vob": ("vob", "-c:a", "ac3"),
    ".wmv": ("asf", "-c:a", "wmav2"),
}
"""ffmpeg's muxer and options for a file of a suffix, where it has one; see `test_decode` for the commonest."""


def test_every_suffix_is_listed_once() -> None:
    assert len(set(MEDIA_SUFFIXES)) == len(MEDIA_SUFFIXES)
    assert not set(AUDIO_SUFFIXES) & set(VIDEO_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("Song.GSM", ".gsm"), ("../a.b/song.mp3", ".mp3"), ("song.mp3/../x", ""), ("x.sh", ""), (".mp3", ""), (None, "")],
)
def test_only_suffixes_of_ours_come_into_a_path(name: str | None, suffix: str) -> None:
    assert media_suffix(name) == suffix


@pytest.mark.parametrize("suffix", MUXERS)
def test_files_of_a_suffix_are_decoded(tmp_path: Path, suffix: str) -> None:
    assert suffix in MEDIA_SUFFIXES
    muxer, *options = MUXERS[suffix]
    path = encode(tmp_path / f"song{suffix}", "-f", "lavfi", "-i", "sine=440:r=48000", "-t", "3", *options, "-f", muxer)
    limits = DecodeLimits(max_bytes=10**8, max_seconds=60, timeout_s=30)
    assert sum(len(block) for block in FfmpegDecoder(path, limits)) == pytest.approx(3 * SAMPLE_RATE, rel=0.1)


CODECS = {
    "dts.mkv": ("matroska", "-strict", "-2", "-c:a", "dca"),
    "truehd.mkv": ("matroska", "-strict", "-2", "-c:a", "truehd"),
    "dvd.vob": ("vob", "-c:a", "pcm_dvd"),
    "avchd.mts": ("mpegts", "-mpegts_m2ts_mode", "1", "-ac", "2", "-c:a", "pcm_bluray"),
    "broadcast.ts": ("mpegts", "-strict", "-2", "-ac", "2", "-c:a", "s302m"),
    "g726.wav": ("wav", "-ar", "8000", "-c:a", "g726"),
    "g723.wav": ("wav", "-ar", "8000", "-c:a", "g723_1", "-b:a", "6300"),
    "gsm.wav": ("wav", "-ar", "8000", "-c:a", "libgsm_ms"),
}


def pitch_of(path: Path) -> float:
    limits = DecodeLimits(max_bytes=10**8, max_seconds=60, timeout_s=30)
    samples = mixed(np.concatenate(list(FfmpegDecoder(path, limits))))
    assert samples.size == pytest.approx(3 * SAMPLE_RATE, rel=0.1)
    return heard_pitches(samples)[1]


@pytest.mark.parametrize("name", CODECS)
def test_rarer_codecs_are_decoded(each_ffmpeg: str, tmp_path: Path, name: str) -> None:
    muxer, *options = CODECS[name]
    path = encode(tmp_path / name, "-f", "lavfi", "-i", "sine=440:r=48000", "-t", "3", *options, "-f", muxer)
    assert pitch_of(path) == pytest.approx(440, abs=4)


@pytest.mark.parametrize("suffix", [".g722", ".gsm"])
def test_the_name_says_what_a_file_without_a_header_is(each_ffmpeg: str, tmp_path: Path, suffix: str) -> None:
    muxer, *options = MUXERS[suffix]
    tone = ("-f", "lavfi", "-i", "sine=440:r=48000", "-t", "3")
    assert pitch_of(encode(tmp_path / f"song{suffix}", *tone, *options, "-f", muxer)) == pytest.approx(440, abs=4)


def _one_bit(seconds: int) -> bytes:
    """A tone as 1-bit samples at 64 times 44.1 kHz, the first in the lowest bit."""
    rate = 64 * 44_100
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(seconds * rate) / rate)
    return np.packbits(np.random.default_rng(0).random(wave.size) < (1 + wave) / 2, bitorder="little").tobytes()


@pytest.mark.parametrize("kind", ["dsf", "dff"])
def test_dsd_is_decoded(each_ffmpeg: str, tmp_path: Path, kind: str) -> None:
    bits, rate = _one_bit(3), 64 * 44_100
    if kind == "dsf":
        bits = bits.ljust(-(-len(bits) // 4_096) * 4_096, b"\x69")
        form = struct.pack("<IIIIIIQII", 1, 0, 1, 1, rate, 1, 3 * rate, 4_096, 0)
        chunks = b"fmt " + struct.pack("<Q", 52) + form + b"data" + struct.pack("<Q", 12 + len(bits)) + bits
        content = b"DSD " + struct.pack("<QQQ", 28, 28 + len(chunks), 0) + chunks
    else:
        bits = np.packbits(np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")).tobytes()

        def chunk(name: bytes, data: bytes) -> bytes:
            return name + struct.pack(">Q", len(data)) + data + b"\0" * (len(data) % 2)

        properties = (
            chunk(b"FS  ", struct.pack(">I", rate))
            + chunk(b"CHNL", struct.pack(">H", 1) + b"C   ")
            + chunk(b"CMPR", b"DSD \x0enot compressed")
        )
        body = chunk(b"FVER", b"\1\5\0\0") + chunk(b"PROP", b"SND " + properties) + chunk(b"DSD ", bits)
        content = chunk(b"FRM8", b"DSD " + body)
    path = tmp_path / f"song.{kind}"
    path.write_bytes(content)
    assert pitch_of(path) == pytest.approx(440, abs=4)
