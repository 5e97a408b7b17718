from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from core.audio.section import main_section
from core.audio.spectrogram import QuantizedMel, log_mel
from core.constants import SAMPLE_RATE, frame_to_seconds
from tests.core.songs import KINDS, Parts, compose
from tests.support.audio import make_song
from tests.support.data import gtzan_tracks

LIES_IN = 0.9
"""A section lies in a part if this share of it does: the part may begin between two cells."""


def gain(samples: np.ndarray, db: float) -> np.ndarray:
    return samples * 10 ** (db / 20)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE))


def start_of(samples: np.ndarray) -> float:
    return frame_to_seconds(main_section(log_mel([samples.astype(np.float32)])))


def shares(kind: str, tracks: Sequence[Path], parts: Parts) -> np.ndarray:
    songs = [compose(kind, track, parts) for track in tracks]
    return np.array([song.share(frame_to_seconds(main_section(song.recording))) for song in songs])


# What is not music must not be taken for the song. Which of two pieces of music stands for it, verse or chorus, is
# less sure: there most of the sections, and most of their time, must lie in the one that is repeated.
EXPECTED = {
    "quiet intro": (0.95, 0.97),
    "fades": (0.95, 0.97),
    "applause": (0.95, 0.97),
    "rain": (0.85, 0.9),
    "live": (0.8, 0.85),
    "spoken intro": (0.75, 0.8),
    "bridge": (0.6, 0.75),
    "verse and chorus": (0.5, 0.7),
}


class TestSongsOfParts:
    @pytest.fixture
    def parts(self, tracks: list[Path], speech: Sequence[Path], rain: Sequence[Path]) -> Parts:
        return Parts(gtzan_tracks() or tracks, speech, rain)

    def test_every_kind_is_expected_something_of(self) -> None:
        assert EXPECTED.keys() == KINDS.keys()

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_section_lies_in_the_part_that_stands_for_the_song(
        self, kind: str, tracks: list[Path], parts: Parts
    ) -> None:
        self.check(kind, tracks, parts)

    @pytest.mark.slow
    @pytest.mark.timeout(1_800)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.usefixtures("real_gtzan")
    def test_it_does_so_for_all_tracks(self, kind: str, parts: Parts) -> None:
        self.check(kind, parts.tracks, parts)

    def check(self, kind: str, tracks: Sequence[Path], parts: Parts) -> None:
        found = shares(kind, tracks, parts)
        lie_in, time = EXPECTED[kind]
        summary = f"{kind}: {(found >= LIES_IN).mean():.2f} lie in it, {found.mean():.3f} of their time"
        print(summary)
        assert (found >= LIES_IN).mean() >= lie_in, summary
        assert found.mean() >= time, summary


@pytest.mark.parametrize("seconds", [3, 12, 29.996, 30, 30.9])
def test_a_short_songs_section_starts_at_its_beginning(seconds: float) -> None:
    assert start_of(make_song(seconds)) == 0


@pytest.mark.parametrize(("before", "after"), [(40, 0), (0, 40), (20, 20)])
def test_silence_is_skipped(before: float, after: float) -> None:
    start = start_of(np.concatenate((silence(before), make_song(45), silence(after))))
    assert before - 1 <= start <= before + 16


@pytest.mark.parametrize("seconds", [31.0, 31.96, 45.5, 100.01])
def test_there_are_always_ten_segments(seconds: float) -> None:
    recording = log_mel([make_song(seconds)])
    assert len(recording.segment_starts(main_section(recording), 10)) == 10


def test_a_song_that_never_changes_has_a_section() -> None:
    tone = np.sin(np.arange(60 * SAMPLE_RATE) * 0.1)
    assert 0 <= start_of(tone) <= 30.1
    assert 0 <= start_of(np.zeros(60 * SAMPLE_RATE)) <= 30.1


def test_one_loud_click_does_not_hide_the_song() -> None:
    song = np.concatenate((silence(30), gain(make_song(60), -30), silence(30)))
    song[5 * SAMPLE_RATE] = 1.0
    assert 29 <= start_of(song) <= 61


def test_little_sound_in_much_silence_is_found() -> None:
    start = start_of(np.concatenate((silence(100), make_song(4), silence(60))))
    assert 73.9 <= start <= 100.1


def test_loudness_of_the_whole_does_not_matter() -> None:
    song = np.concatenate((gain(make_song(20, seed=3), -20), make_song(60, seed=4)))
    assert start_of(song) == start_of(gain(song, -20))


def test_a_stored_spectrogram_has_the_same_section() -> None:
    recording = log_mel([np.concatenate((gain(make_song(20, seed=3), -25), make_song(50, seed=4)))])
    stored = QuantizedMel.quantize(recording).dequantize()
    assert frame_to_seconds(main_section(stored)) == pytest.approx(frame_to_seconds(main_section(recording)), abs=1.1)
