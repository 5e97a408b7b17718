"""Whether files of the suffixes that are taken for media can be decoded."""

from pathlib import Path

import pytest

from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.audio.suffixes import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES
from core.constants import SAMPLE_RATE
from tests.support.audio import encode

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
    ".ec3": ("eac3", "-c:a", "eac3"),
    ".eac3": ("eac3", "-c:a", "eac3"),
    ".m4b": ("ipod", *AAC),
    ".m4r": ("ipod", *AAC),
    ".mp2": ("mp2",),
    ".mpga": ("mp3",),
    ".oga": ("ogg", "-c:a", "flac"),
    ".snd": ("au",),
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


@pytest.mark.parametrize("suffix", MUXERS)
def test_files_of_a_suffix_are_decoded(tmp_path: Path, suffix: str) -> None:
    assert suffix in MEDIA_SUFFIXES
    muxer, *options = MUXERS[suffix]
    path = encode(tmp_path / f"song{suffix}", "-f", "lavfi", "-i", "sine=440:r=48000", "-t", "3", *options, "-f", muxer)
    limits = DecodeLimits(max_bytes=10**8, max_seconds=60, timeout_s=30)
    assert sum(block.size for block in FfmpegDecoder(path, limits)) == pytest.approx(3 * SAMPLE_RATE, rel=0.1)
