from pathlib import Path

import numpy as np
import pytest

from core.constants import N_MELS, SECTION_FRAMES, SEGMENT_FRAMES
from tests.support.audio import make_song, write_wav
from tests.support.data import DATA, needs_not_music
from training import music_detector
from training.data.gtzan import to_db
from training.music_detector import Sounds


@pytest.fixture
def sounds() -> Sounds:
    """Six recordings of music, four of which are long, and six of noise."""
    mel = np.random.default_rng(0).integers(0, 255, (12, N_MELS, SECTION_FRAMES)).astype(np.uint8)
    is_music = np.arange(12) < 6
    labels = ("gtzan/archive",) * 4 + ("gtzan/as-is",) * 2 + ("rain/as-is",) * 3 + ("speech/as-is",) * 3
    return Sounds(mel, is_music, np.where(np.arange(12) < 4, 10, 1), labels)


@needs_not_music
def test_other_sound_is_divided_by_source_and_every_class_is_on_every_side() -> None:
    sides = music_detector.sound_files(DATA / "not_music")
    assert {label: len(files) for label, files in sides["train"].items()} == {
        "speech": 24,
        **dict.fromkeys(
            ["baby_cry", "chainsaw", "clock_tick", "dog_bark", "fire_crackling", "person_sneeze", "rain", "sea_waves"],
            12,
        ),
    }
    names = [{path.name for files in side.values() for path in files} for side in sides.values()]
    assert not names[0] & names[2]
    assert not names[0] & names[1]


def test_missing_sound_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither speech"):
        music_detector.sound_files(tmp_path)


def test_a_short_recording_is_repeated_and_its_segments_are_counted(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "short.wav", make_song(5))
    for codec in music_detector.CODECS:
        found = music_detector.heard(path, codec)
        assert found is not None, codec
        mel, count = found
        assert mel.shape == (N_MELS, SECTION_FRAMES)
        assert count == 1
    assert music_detector.heard(write_wav(tmp_path / "silent.wav", np.zeros(100_000)), music_detector.AS_IS) is None


def test_made_noise_differs_and_reaches_full_scale() -> None:
    noise = music_detector.made_noise(5, seed=3)
    assert noise.max(axis=(1, 2)).tolist() == [255] * 5
    assert len({noise[i].tobytes() for i in range(5)}) == 5
    np.testing.assert_array_equal(noise, music_detector.made_noise(5, seed=3))


def test_made_music_differs_and_lasts_thirty_seconds() -> None:
    songs = music_detector.made_music(3, seed=3)
    assert songs.shape == (3, N_MELS, SECTION_FRAMES)
    assert songs.max(axis=(1, 2)).tolist() == [255] * 3
    assert len({songs[i].tobytes() for i in range(3)}) == 3


def test_background_is_quieter_than_the_music_that_it_is_added_to(sounds: Sounds) -> None:
    mixed = music_detector.with_background(sounds, seed=0)
    assert len(mixed) == 14
    assert mixed.music[12:].all()
    assert {label.partition("/")[2] for label in mixed.label[12:]} == {"background"}
    # Some original differs from its copy only where it is quiet.
    copy = to_db(mixed.mel[12])
    distances = [np.abs(copy - to_db(sounds.mel[i]))[to_db(sounds.mel[i]) > -6].mean() for i in range(6)]
    assert min(distances) < 2


def test_segments_are_cut_where_the_recording_has_not_repeated(sounds: Sounds) -> None:
    segments, of = music_detector.segments_of(sounds)
    assert segments.shape == (4 * 10 + 8, N_MELS, SEGMENT_FRAMES)
    assert np.bincount(of).tolist() == [10] * 4 + [1] * 8
    np.testing.assert_array_equal(segments[1], to_db(sounds.mel[0][:, 72:144]))


def test_song_probability_is_the_mean_of_its_segments() -> None:
    probabilities = np.array([[0.2], [0.4], [0.9]], np.float32)
    np.testing.assert_allclose(
        music_detector.song_probabilities(probabilities, np.array([0, 0, 1])), [0.3, 0.9], rtol=1e-6
    )


def test_the_threshold_spares_music_first() -> None:
    apart = music_detector.choose_threshold(np.linspace(0.8, 1, 200), np.linspace(0, 0.2, 100))
    assert 0.2 < apart < 0.8
    mixed_up = music_detector.choose_threshold(np.linspace(0.3, 1, 200), np.linspace(0, 0.6, 100))
    assert (np.linspace(0.3, 1, 200) < mixed_up).mean() <= 0.01
    assert mixed_up > 0.3


def test_refusals_are_counted_by_class_and_codec(sounds: Sounds) -> None:
    probabilities = np.where(sounds.music, 0.9, 0.1)
    probabilities[0], probabilities[6] = 0.2, 0.7
    counted = music_detector.refusals(sounds, probabilities, 0.5)
    assert counted["music_refused"] == pytest.approx(1 / 6, abs=1e-4)
    assert counted["other_refused"] == pytest.approx(5 / 6, abs=1e-4)
    assert counted["by_class"]["rain"] == {"recordings": 3, "refused": 2}
    assert counted["by_codec"]["gtzan/archive"] == {"recordings": 4, "refused": 1}
