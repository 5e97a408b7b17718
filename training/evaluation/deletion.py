"""Does `--why` mark what matters? Deletion of the marked cells against deletion of random ones.

Faithfulness of an explanation by deletion (Samek et al. 2017, arXiv:1509.06321): without the fifth of a segment's cells
that are marked most, the genre's probability has to fall more than without as many cells at random.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import track as progress_bar

from core.audio.section import main_section
from core.audio.spectrogram import FloatArray, segments_db
from core.constants import GENRES, SECTION_SEGMENTS, SEGMENT_FRAMES
from core.inference import occlusion
from core.inference.classifier import Classifier
from core.inference.pipeline import Models
from core.verdict import Segment, tally
from training.data.teacher import load_labelled
from training.evaluation.metrics import RESAMPLES, Estimate

DELETED_SHARE: Final = 0.2
RANDOM_DRAWS: Final = 5
"""Random deletions per segment, of which the mean is taken."""


@dataclass(frozen=True)
class DeletionFall:
    """Fall of the genre's probability, mean over segments: without the marked cells, and without random ones."""

    marked: float
    random: float


def delete_cells(segments: FloatArray, cells: NDArray[np.bool_]) -> FloatArray:
    """Silence cells of segments, as `occlusion.occlude` does with one.

    Args:
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.
        cells: bool `(n, BAND_CELLS, TIME_CELLS)`.
    """
    bins = cells.repeat(occlusion.BANDS, axis=1).repeat(occlusion.FRAMES, axis=2)
    deleted: FloatArray = np.where(bins, segments.min(axis=(1, 2), keepdims=True), segments)
    return deleted


def deletion_fall(segments: FloatArray, genre: str, classifier: Classifier, seed: int) -> DeletionFall:
    """Measure the fall of a genre's probability for the segments of a song.

    Args:
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.
        genre: that the song was classified as.
        classifier: a model of genres.
        seed: of the random deletions.
    """
    generator = np.random.default_rng(seed)
    column = GENRES.index(genre)
    importance = occlusion.importance(segments, genre, classifier)
    count = round(DELETED_SHARE * importance[0].size)

    def probability(values: FloatArray) -> float:
        """Mean probability of the genre after the `count` cells of the highest value are deleted."""
        ranks = np.argsort(np.argsort(-values.reshape(len(values), -1), axis=1), axis=1)
        cells = (ranks < count).reshape(values.shape)
        return float(classifier.probabilities(delete_cells(segments, cells))[:, column].mean())

    before = float(classifier.probabilities(segments)[:, column].mean())
    drawn = [probability(generator.random(importance.shape).astype(np.float32)) for _ in range(RANDOM_DRAWS)]
    return DeletionFall(before - probability(importance), before - float(np.mean(drawn)))


def bootstrap_mean(values: NDArray[np.floating[Any]], seed: int = 0) -> Estimate:
    """Mean of one value per song, with a 95% interval over resamples of the songs."""
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def evaluate_deletion(model: str, file: Path, out: Path) -> dict[str, Any]:
    """Measure the deletion of marked cells over labelled songs and write `deletion-MODEL.json`.

    Args:
        model: a name under `models/`, or a file.
        file: `labelled.npz`.
        out: folder of the figures.

    Returns:
        What was written: `model`, `songs`, and the mean fall of the genre's probability with its 95% interval:
        `marked`, `random`, and their `difference`.

    Raises:
        FileNotFoundError: there are no songs.
        DataError: the file is not what it should be.
        ConfigurationError: the model knows no genres.
    """
    classifier = Models().genre(model)
    falls = []
    for number, recording in enumerate(progress_bar(load_labelled(file).recordings, "deletion", transient=True)):
        starts = recording.segment_starts(main_section(recording), SECTION_SEGMENTS)
        loud = [i for i, start in enumerate(starts) if not recording.is_silent(start, start + SEGMENT_FRAMES)]
        segments = segments_db(recording, starts)[loud]
        rows = classifier.probabilities(segments)
        genre, _, _ = tally([Segment(0.0, 3.0, tuple(map(float, row))) for row in rows])
        # As `--why` does: only segments that voted for the genre are explained.
        voters = rows.argmax(axis=1) == GENRES.index(genre)
        falls.append(deletion_fall(segments[voters], genre, classifier, number))
    marked, random = (np.array([getattr(fall, name) for fall in falls]) for name in ("marked", "random"))
    figures = {"marked": marked, "random": random, "difference": marked - random}
    measured: dict[str, Any] = {"model": classifier.card.name, "version": classifier.card.version, "songs": len(falls)}
    for name, values in figures.items():
        estimate = bootstrap_mean(values)
        measured[name] = {key: round(getattr(estimate, key), 4) for key in ("value", "low", "high")}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"deletion-{classifier.card.name}.json").write_text(json.dumps(measured, indent=1) + "\n")
    return measured
