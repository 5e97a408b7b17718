from dataclasses import replace

import numpy as np
import pytest

from training import not_music
from training.data.other_sounds import Recordings


def test_the_probability_of_a_recording_is_the_mean_of_its_segments() -> None:
    probabilities = np.array([[0.2], [0.4], [0.9]], np.float32)
    np.testing.assert_allclose(
        not_music.recording_probabilities(probabilities, np.array([0, 0, 1])), [0.3, 0.9], rtol=1e-6
    )


def test_the_threshold_favours_music() -> None:
    separate = not_music.choose_threshold(np.linspace(0.8, 1, 200), np.linspace(0, 0.2, 100))
    assert 0.2 < separate < 0.8
    overlapping = not_music.choose_threshold(np.linspace(0.3, 1, 200), np.linspace(0, 0.6, 100))
    assert (np.linspace(0.3, 1, 200) < overlapping).mean() <= 0.01
    assert overlapping > 0.3


def test_refusals_are_counted_by_class_and_codec(recordings: Recordings) -> None:
    probabilities = np.where(recordings.is_music, 0.9, 0.1)
    probabilities[0], probabilities[6] = 0.2, 0.7
    counted = not_music.refusals(recordings, probabilities, 0.5)
    assert counted["music_refused"] == pytest.approx(1 / 6, abs=1e-4)
    assert counted["other_refused"] == pytest.approx(5 / 6, abs=1e-4)
    assert counted["by_class"]["rain"] == {"recordings": 3, "refused": 2}
    assert counted["by_codec"]["gtzan/archive"] == {"recordings": 4, "refused": 1}


def test_half_of_what_is_drawn_is_music_and_songs_as_often_as_the_archive(recordings: Recordings) -> None:
    without = not_music.sampling_weights(recordings)
    assert without.sum() == pytest.approx(1)
    assert without[recordings.is_music].sum() == pytest.approx(0.5)
    assert without[:4].sum() == pytest.approx(0.35)
    with_songs = not_music.sampling_weights(
        replace(recordings, labels=("songs/as-is", "gtzan/archive", *recordings.labels[2:]))
    )
    assert with_songs[recordings.is_music].sum() == pytest.approx(0.5)
    assert with_songs[0] == pytest.approx(with_songs[1:4].sum())
    assert with_songs[4:6].sum() == pytest.approx(0.5 * 0.15 / 0.85)
