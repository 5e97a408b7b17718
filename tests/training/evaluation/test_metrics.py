import json

import numpy as np
import pytest

from core.constants import GENRES
from training.data.gtzan import DataError
from training.evaluation.metrics import calibration, fit_temperature, largest_confusions, measure, vote


def confident(genres: list[int], probability: float = 0.91) -> np.ndarray:
    """Probabilities of segments: this much for each given genre, the rest in equal parts."""
    probabilities = np.full((len(genres), len(GENRES)), (1 - probability) / 9)
    probabilities[np.arange(len(genres)), genres] = probability
    return probabilities


def test_figures_of_three_songs_match_a_count_by_hand() -> None:
    # Song 0 (blues): predicted blues, blues, rock; song 1 (blues): rock, rock, blues; song 2 (rock): rock, rock, rock.
    labels = np.array([0] * 6 + [9] * 3)
    tracks = np.repeat([0, 1, 2], 3)
    figures = measure(confident([0, 0, 9, 9, 9, 0, 9, 9, 9]), labels, tracks)
    assert figures.accuracy.value == pytest.approx(6 / 9)
    assert figures.macro_recall.value == pytest.approx((3 / 6 + 1) / 2)
    assert figures.loss is not None
    assert figures.loss.value == pytest.approx(-(6 * np.log(0.91) + 3 * np.log(0.01)) / 9)
    assert figures.vote_accuracy is not None
    assert figures.vote_accuracy.value == pytest.approx(2 / 3)
    assert figures.vote_macro_recall is not None
    assert figures.vote_macro_recall.value == pytest.approx((0.5 + 1) / 2)
    assert figures.genres["blues"].recall == pytest.approx(0.5)
    assert figures.genres["blues"].precision == pytest.approx(1)
    assert figures.genres["rock"].precision == pytest.approx(0.5)
    assert figures.genres["rock"].f1 == pytest.approx(2 / 3)
    assert figures.genres["blues"].vote_recall == pytest.approx(0.5)
    assert figures.confusion[0][9] == 3
    assert figures.vote_confusion is not None
    assert figures.vote_confusion[0][9] == 1
    assert json.loads(json.dumps(figures.to_json()))["accuracy"]["value"] == 0.6667


def test_intervals_are_over_tracks_and_contain_the_figure() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10).repeat(4), 10)
    tracks = np.arange(40).repeat(10)
    predicted = np.where(generator.random(40).repeat(10) < 0.7, labels, (labels + 1) % 10)
    figures = measure(confident(predicted.tolist()), labels, tracks)
    assert figures.accuracy.low < figures.accuracy.value < figures.accuracy.high
    # All ten segments of a track are right or wrong together: the error is that of 40 songs, not of 400 segments.
    share = figures.accuracy.value
    expected = 1.96 * np.sqrt(share * (1 - share) / 40)
    assert (figures.accuracy.high - figures.accuracy.low) / 2 == pytest.approx(expected, rel=0.25)


def test_ties_of_votes_go_to_the_larger_sum() -> None:
    probabilities = np.concatenate([confident([3], 0.5), confident([7], 0.9)])
    votes = vote(probabilities, np.array([7, 7]), np.array([5, 5]))
    assert votes.genre.tolist() == [7]
    assert votes.confidence[0] == pytest.approx((0.9 + 0.5 / 9) / 2)


def test_songs_in_several_subsets_have_no_vote() -> None:
    figures = measure(confident([0, 1]), np.array([0, 1]), np.array([0, 1]), songs=False)
    assert figures.vote_accuracy is None
    assert figures.vote_confusion is None
    assert figures.calibration is None


def test_measuring_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="no segments"):
        measure(np.zeros((0, 10)), np.zeros(0, int), np.zeros(0, int))


def test_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    confidence = np.concatenate([np.full(50, 0.6), np.full(50, 0.9)])
    correct = np.concatenate([np.arange(50) < 10, np.arange(50) < 45])
    measured = calibration(confidence, correct, bins=2)
    assert measured.ece == pytest.approx((0.4 + 0.0) / 2)
    assert measured.accuracy == pytest.approx((0.2, 0.9))
    assert measured.count == (50, 50)


def test_a_calibrated_model_lies_in_the_range_that_chance_gives() -> None:
    generator = np.random.default_rng(1)
    confidence = generator.uniform(0.2, 1, 300)
    measured = calibration(confidence, generator.random(300) < confidence)
    assert measured.ideal.low < measured.ece < measured.ideal.high
    assert measured.ideal.value < 0.08


def test_an_overconfident_model_gets_a_temperature_above_one() -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 10, 400)
    predicted = np.where(generator.random(400) < 0.6, labels, generator.integers(0, 10, 400))
    tracks = np.arange(400)
    assert fit_temperature(confident(predicted.tolist(), 0.98), labels, tracks) > 1.5
    assert fit_temperature(confident(predicted.tolist(), 0.3), labels, tracks) < 0.8


def test_confusions_count_both_directions() -> None:
    matrix = np.zeros((10, 10), int)
    matrix[3, 7], matrix[7, 3], matrix[6, 9] = 4, 3, 5
    assert largest_confusions(matrix.tolist(), 2) == [("disco", "pop", 7), ("metal", "rock", 5)]
