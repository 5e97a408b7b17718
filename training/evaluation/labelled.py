"""Real songs of known genre, classified by the pipeline that serves: the figures that members will notice."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import track as progress_bar

from core.constants import GENRES
from core.errors import GenreGenieError
from core.inference.pipeline import ClassifyOptions, Models, classify_spectrogram
from core.verdict import CERTAINTIES
from training.data.teacher import LabelledSongs, load_labelled
from training.evaluation.metrics import calibration

BAND_EDGES: Final = (*sorted(CERTAINTIES.values()), 1.0)
"""Between these lie the bands of confidence for which the bot has words."""


@dataclass(frozen=True)
class LabelledPrediction:
    """What was predicted for a song.

    Attributes:
        source: of the song.
        genre: the true one.
        predicted: the predicted one, or the code of the error in brackets.
        confidence: mean probability of the predicted genre; 0 if there is none.
        outside: the kind of music outside the ten genres that the song is said to be, if any.
    """

    source: str
    genre: str
    predicted: str
    confidence: float
    outside: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the predicted genre is the true one."""
        return self.predicted == self.genre


@dataclass(frozen=True)
class ConfidenceBand:
    """Songs whose confidence lies in a band, `low` included, and how many of them are classified correctly."""

    low: float
    high: float
    songs: int
    correct: int

    def to_json(self) -> dict[str, float]:
        """Return plain numbers, as the model card carries them."""
        return {"from": self.low, "to": self.high, "songs": self.songs, "correct": self.correct}


def predict_labelled(songs: LabelledSongs, model: str, models: Models | None = None) -> list[LabelledPrediction]:
    """Classify the songs' main sections.

    Args:
        songs: with their genres.
        model: a name under `models/`, or a file.
        models: loaded models; None loads them.
    """
    models = models or Models()
    predictions = []
    listed = zip(songs.recordings, songs.genre, songs.source, strict=True)
    for recording, genre, source in progress_bar(list(listed), "labelled songs", transient=True):
        try:
            found = classify_spectrogram(recording, ClassifyOptions(model=model), models=models).prediction
        except GenreGenieError as error:
            predictions.append(LabelledPrediction(source, GENRES[genre], f"({error.code})", 0.0))
        else:
            outside = found.outside.name if found.outside else None
            predictions.append(LabelledPrediction(source, GENRES[genre], found.genre, found.confidence, outside))
    return predictions


def confidence_bands(confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> list[ConfidenceBand]:
    """Count the correct songs in each band of confidence.

    Args:
        confidence: of each song, `(n,)`.
        correct: whether it is classified correctly, `(n,)`.
    """
    bands = []
    for low, high in zip(BAND_EDGES[:-1], BAND_EDGES[1:], strict=True):
        inside = (confidence >= low) & ((confidence < high) | (high == BAND_EDGES[-1]))
        bands.append(ConfidenceBand(low, high, int(inside.sum()), int(correct[inside].sum())))
    return bands


def labelled_figures(predictions: Sequence[LabelledPrediction]) -> dict[str, Any]:
    """Sum predictions up, in plain numbers.

    Returns:
        `songs`, `correct`, `refused` (no genre), `outside` (said to be outside the ten genres); `genres`: name →
        `{"songs", "correct"}`; `confusion`: true genre → predicted → songs; `bands` as of `ConfidenceBand`; `ece` and
        `ece_ideal` as in `metrics.Calibration`.
    """
    classified = [prediction for prediction in predictions if prediction.predicted in GENRES]
    confidence = np.array([prediction.confidence for prediction in classified])
    correct = np.array([prediction.correct for prediction in classified], bool)
    measured = calibration(confidence, correct) if classified else None
    genres = {
        genre: {
            "songs": sum(p.genre == genre for p in predictions),
            "correct": sum(p.genre == genre and p.correct for p in predictions),
        }
        for genre in GENRES
    }
    confusion = {genre: dict(Counter(p.predicted for p in predictions if p.genre == genre)) for genre in GENRES}
    return {
        "songs": len(predictions),
        "correct": int(correct.sum()),
        "refused": len(predictions) - len(classified),
        "outside": sum(prediction.outside is not None for prediction in predictions),
        "genres": {genre: row for genre, row in genres.items() if row["songs"]},
        "confusion": {genre: row for genre, row in confusion.items() if row},
        "bands": [band.to_json() for band in confidence_bands(confidence, correct)],
        "ece": None if measured is None else round(measured.ece, 4),
        "ece_ideal": None if measured is None else round(measured.ideal.value, 4),
    }


def evaluate_labelled(model: str, file: Path, out: Path) -> dict[str, Any]:
    """Measure a model on labelled songs and write `labelled-MODEL.json`.

    Args:
        model: a name under `models/`, or a file.
        file: `labelled.npz`.
        out: folder of the figures.

    Returns:
        What was written: `model`, its `version`, and what `labelled_figures` gives.

    Raises:
        FileNotFoundError: there are no songs.
        DataError: the file is not what it should be.
    """
    songs, models = load_labelled(file), Models()
    card = models.genre(model).card
    figures = labelled_figures(predict_labelled(songs, model, models))
    measured = {"model": card.name, "version": card.version, **figures}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"labelled-{card.name}.json").write_text(json.dumps(measured, indent=1) + "\n")
    return measured
