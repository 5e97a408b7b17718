import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from tests.training.made_teacher import write_labelled
from training.evaluation.labelled import LabelledPrediction, confidence_bands, evaluate_labelled, labelled_figures

PREDICTIONS = [
    LabelledPrediction("a", "rock", "rock", 0.9),
    LabelledPrediction("b", "rock", "metal", 0.5),
    LabelledPrediction("c", "jazz", "jazz", 0.7, outside="latin"),
    LabelledPrediction("d", "jazz", "(not-music)", 0.0),
]


def test_predictions_are_summed_up() -> None:
    figures = labelled_figures(PREDICTIONS)
    assert (figures["songs"], figures["correct"], figures["refused"], figures["outside"]) == (4, 2, 1, 1)
    assert figures["genres"] == {"jazz": {"songs": 2, "correct": 1}, "rock": {"songs": 2, "correct": 1}}
    assert figures["confusion"]["rock"] == {"rock": 1, "metal": 1}
    assert figures["confusion"]["jazz"] == {"jazz": 1, "(not-music)": 1}
    assert [(band["songs"], band["correct"]) for band in figures["bands"]] == [(0, 0), (1, 0), (1, 1), (1, 1)]
    assert figures["ece"] == pytest.approx((0.1 + 0.5 + 0.3) / 3, abs=1e-3)


def test_every_song_is_in_one_band_up_to_full_confidence() -> None:
    bands = confidence_bands(np.array([0.0, 0.4, 0.6, 0.8, 1.0]), np.array([True, True, False, False, True]))
    assert [band.to_json() for band in bands] == [
        {"from": 0.0, "to": 0.4, "songs": 1, "correct": 1},
        {"from": 0.4, "to": 0.6, "songs": 1, "correct": 1},
        {"from": 0.6, "to": 0.8, "songs": 1, "correct": 0},
        {"from": 0.8, "to": 1.0, "songs": 2, "correct": 1},
    ]


def test_no_song_that_is_classified_has_no_calibration() -> None:
    refused = [replace(prediction, predicted="(silent)") for prediction in PREDICTIONS]
    figures = labelled_figures(refused)
    assert (figures["correct"], figures["refused"], figures["ece"]) == (0, 4, None)


def test_songs_go_through_the_pipeline_that_serves(model: Path, tmp_path: Path) -> None:
    write_labelled(tmp_path / "labelled.npz", ("jazz", "rock", "metal"))
    measured = evaluate_labelled(str(model), tmp_path / "labelled.npz", tmp_path)
    assert measured["model"] == "small"
    assert measured["songs"] == 3
    predicted = [genre for row in measured["confusion"].values() for genre in row]
    assert all(genre in GENRES or genre == "(not-music)" for genre in predicted)
    assert json.loads((tmp_path / "labelled-small.json").read_text()) == measured
