from pathlib import Path

import pytest

from benchmarks import songs
from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.constants import SAMPLE_RATE


def seconds(path: Path) -> float:
    limits = DecodeLimits(max_bytes=10**8, max_seconds=3600, timeout_s=60)
    return sum(len(block) for block in FfmpegDecoder(path, limits)) / SAMPLE_RATE


def test_without_gtzan_clips_are_made_of_the_demo_song_and_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(songs, "gtzan_tracks", tuple)
    clips = songs.make_clips(tmp_path, 2)
    assert songs.origin() == "the demo song"
    assert [seconds(clip) for clip in clips] == pytest.approx([30, 30], abs=0.2)
    assert clips[0].read_bytes() != clips[1].read_bytes()


def test_without_gtzan_a_long_song_is_the_demo_song_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(songs, "gtzan_tracks", tuple)
    assert seconds(songs.make_song(tmp_path / "long.mp3", 100)) == pytest.approx(100, abs=0.2)


def test_with_gtzan_a_long_song_is_made_of_its_tracks(
    tmp_path: Path, tracks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(songs, "gtzan_tracks", lambda: tuple(tracks))
    assert songs.origin() == "GTZAN"
    assert seconds(songs.make_song(tmp_path / "long.mp3", 45)) == pytest.approx(45, abs=0.2)
