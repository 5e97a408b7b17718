"""Figures of a model per segment and per song, with intervals from a bootstrap over tracks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, recall_score

from core.constants import GENRES
from core.inference.classifier import apply_temperature
from core.verdict import Segment, tally
from training.data.gtzan import DataError

RESAMPLES: Final = 2_000
CALIBRATION_BINS: Final = 5

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Estimate:
    """A figure and the range that holds 95% of the bootstrap's resamples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Format as `0.72 (0.69–0.75)`."""
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass(frozen=True)
class GenreFigures:
    """One genre's recall, precision and F1 over segments, and its recall over songs, classified by vote."""

    recall: float
    precision: float
    f1: float
    vote_recall: float | None


@dataclass(frozen=True)
class Calibration:
    """How well the songs' confidence agrees with their accuracy (Guo et al. 2017, arXiv:1706.04599).

    Attributes:
        ece: expected calibration error: mean distance of confidence and accuracy over bins of equal mass.
        ideal: the ECE of a perfectly calibrated model with the same confidences: mean and 95% range.
        confidence: mean confidence in each bin.
        accuracy: share of songs classified correctly in each bin.
        count: songs in each bin.
    """

    ece: float
    ideal: Estimate
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class Figures:
    """All figures of a model on one subset of a split.

    Attributes:
        segments: number of segments.
        tracks: number of tracks.
        accuracy: share of segments classified correctly.
        macro_recall: mean of the genres' recalls over segments.
        loss: mean negative log-likelihood of a segment in nats, before the temperature; None if the model gives no
            probabilities.
        vote_accuracy: share of songs classified correctly by vote; None if a song's segments are in several subsets.
        vote_macro_recall: mean of the genres' recalls over songs; None likewise.
        genres: figures by genre.
        confusion: segments; rows are true genres, columns predicted ones, in the order of `GENRES`.
        vote_confusion: songs, likewise.
        calibration: of the songs' confidence, after the temperature.
    """

    segments: int
    tracks: int
    accuracy: Estimate
    macro_recall: Estimate
    loss: Estimate | None
    vote_accuracy: Estimate | None
    vote_macro_recall: Estimate | None
    genres: dict[str, GenreFigures]
    confusion: tuple[tuple[int, ...], ...]
    vote_confusion: tuple[tuple[int, ...], ...] | None
    calibration: Calibration | None

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, rounded to four digits."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


@dataclass(frozen=True, eq=False)
class Votes:
    """Songs, classified by the votes of their segments.

    Attributes:
        genre: index of the predicted genre, `(n_songs,)`.
        confidence: mean probability of that genre, `(n_songs,)`.
        labels: index of the true genre, `(n_songs,)`.
    """

    genre: IntArray
    confidence: FloatArray
    labels: IntArray


def vote(probabilities: FloatArray, labels: IntArray, tracks: IntArray) -> Votes:
    """Classify songs by the same vote as in serving (`core.verdict.tally`).

    Args:
        probabilities: `(n_segments, genres)`, after the temperature.
        labels: true genre of each segment.
        tracks: song of each segment.
    """
    genres, confidences, truth = [], [], []
    for track in np.unique(tracks):
        rows = np.flatnonzero(tracks == track)
        segments = [Segment(0.0, 3.0, tuple(probabilities[row].tolist())) for row in rows]
        winner, _, means = tally(segments)
        genres.append(GENRES.index(winner))
        confidences.append(means[GENRES.index(winner)])
        truth.append(labels[rows[0]])
    return Votes(np.array(genres), np.array(confidences), np.array(truth))


def fit_temperature(probabilities: FloatArray, labels: IntArray, tracks: IntArray) -> float:
    """Find the temperature at which the songs' mean probabilities have the highest likelihood.

    Args:
        probabilities: of validation segments, `(n_segments, genres)`, before any temperature.
        labels: true genre of each segment.
        tracks: song of each segment.
    """
    songs, first, of_song = np.unique(tracks, return_index=True, return_inverse=True)

    def loss(temperature: float) -> float:
        sums = np.zeros((len(songs), probabilities.shape[1]))
        np.add.at(sums, of_song, apply_temperature(probabilities, temperature))
        means = sums / sums.sum(axis=1, keepdims=True)
        return float(-np.log(means[np.arange(len(songs)), labels[first]]).mean())

    candidates = np.geomspace(0.2, 5, 200)
    return float(candidates[np.argmin([loss(candidate) for candidate in candidates])])


def calibration(
    confidence: FloatArray, correct: NDArray[np.bool_], bins: int = CALIBRATION_BINS, seed: int = 0
) -> Calibration:
    """Measure the expected calibration error of songs, and what a calibrated model would show by chance.

    Args:
        confidence: of each song, `(n_songs,)`.
        correct: whether it was classified correctly, `(n_songs,)`.
        bins: number of bins of equal mass.
        seed: of the simulation.
    """
    groups = [group for group in np.array_split(np.argsort(confidence, kind="stable"), bins) if group.size]

    def error(outcomes: NDArray[np.bool_]) -> float:
        gaps = [abs(confidence[g].mean() - outcomes[g].mean()) * g.size for g in groups]
        return float(sum(gaps) / confidence.size)

    generator = np.random.default_rng(seed)
    chance = [error(generator.random(confidence.size) < confidence) for _ in range(RESAMPLES)]
    low, high = np.quantile(chance, (0.025, 0.975))
    return Calibration(
        error(correct),
        Estimate(float(np.mean(chance)), float(low), float(high)),
        tuple(float(confidence[g].mean()) for g in groups),
        tuple(float(correct[g].mean()) for g in groups),
        tuple(int(g.size) for g in groups),
    )


def measure(
    probabilities: FloatArray,
    labels: IntArray,
    tracks: IntArray,
    *,
    temperature: float = 1.0,
    songs: bool = True,
    likelihood: bool = True,
    seed: int = 0,
) -> Figures:
    """Compute all figures from a model's probabilities.

    Args:
        probabilities: `(n_segments, genres)`, before the temperature.
        labels: true genre of each segment, `(n_segments,)`.
        tracks: song of each segment, `(n_segments,)`.
        temperature: of the model card; it changes the songs' confidence and decides ties.
        songs: whether the subset has whole songs, which can be classified by vote.
        likelihood: whether these are real probabilities, which have a likelihood.
        seed: of the bootstrap.

    Raises:
        DataError: there are no segments.
    """
    if not len(labels):
        raise DataError("no segments to measure")
    predicted = probabilities.argmax(axis=1)
    names, first, of_track = np.unique(tracks, return_index=True, return_inverse=True)
    resampled = _Bootstrap(labels[first], seed)
    segments = np.bincount(of_track).astype(float)
    correct = np.bincount(of_track, predicted == labels).astype(float)
    loss = None
    if likelihood:
        nats: FloatArray = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1))
        track_nats = np.bincount(of_track, nats).astype(float)
        loss = Estimate(float(nats.mean(dtype=float)), *resampled.ratio(track_nats, segments))
    votes = vote(apply_temperature(probabilities, temperature), labels, tracks) if songs else None
    vote_accuracy = vote_macro_recall = None
    if votes:
        vote_correct, ones = (votes.genre == votes.labels).astype(float), np.ones(len(names))
        vote_accuracy = Estimate(accuracy_score(votes.labels, votes.genre), *resampled.ratio(vote_correct, ones))
        vote_macro_recall = Estimate(macro_recall(votes.labels, votes.genre), *resampled.macro(vote_correct, ones))
    return Figures(
        segments=len(labels),
        tracks=len(names),
        accuracy=Estimate(accuracy_score(labels, predicted), *resampled.ratio(correct, segments)),
        macro_recall=Estimate(macro_recall(labels, predicted), *resampled.macro(correct, segments)),
        loss=loss,
        vote_accuracy=vote_accuracy,
        vote_macro_recall=vote_macro_recall,
        genres=_by_genre(labels, predicted, votes),
        confusion=_confusion(labels, predicted),
        vote_confusion=_confusion(votes.labels, votes.genre) if votes else None,
        calibration=calibration(votes.confidence, votes.genre == votes.labels) if votes and likelihood else None,
    )


class _Bootstrap:
    """2,000 resamples of the tracks, the same for every figure.

    Whole tracks are drawn, since the segments of one track are not independent.

    Args:
        labels: genre of each track, `(n_tracks,)`.
        seed: of the draws.
    """

    def __init__(self, labels: IntArray, seed: int) -> None:
        n = len(labels)
        self._labels = labels
        self._draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES)

    def ratio(self, part: FloatArray, whole: FloatArray) -> tuple[float, float]:
        """95% range of the sum of `part` over the sum of `whole`, both by track, `(n_tracks,)`."""
        return _range((self._draws @ part) / (self._draws @ whole))

    def macro(self, part: FloatArray, whole: FloatArray) -> tuple[float, float]:
        """Likewise, of the mean over genres of each genre's ratio."""
        ratios = []
        for genre in np.unique(self._labels):
            of_genre = self._labels == genre
            drawn = self._draws[:, of_genre] @ whole[of_genre]
            ratios.append((self._draws[:, of_genre] @ part[of_genre]) / np.where(drawn, drawn, np.nan))
        return _range(np.nanmean(ratios, axis=0))


def _range(resampled: FloatArray) -> tuple[float, float]:
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return float(low), float(high)


def macro_recall(labels: IntArray, predicted: IntArray) -> float:
    """Mean recall of the genres that occur."""
    return float(recall_score(labels, predicted, labels=np.unique(labels), average="macro"))


def _confusion(labels: IntArray, predicted: IntArray) -> tuple[tuple[int, ...], ...]:
    matrix = confusion_matrix(labels, predicted, labels=range(len(GENRES)))
    return tuple(tuple(row) for row in matrix.tolist())


def _by_genre(labels: IntArray, predicted: IntArray, votes: Votes | None) -> dict[str, GenreFigures]:
    genres = range(len(GENRES))
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=genres, zero_division=0)
    vote_recall: Sequence[float | None] = [None] * len(GENRES)
    if votes:
        vote_recall = recall_score(votes.labels, votes.genre, labels=genres, average=None, zero_division=0).tolist()
    rows = zip(recall.tolist(), precision.tolist(), f1.tolist(), vote_recall, strict=True)
    return {genre: GenreFigures(*row) for genre, row in zip(GENRES, rows, strict=True)}


def largest_confusions(matrix: Sequence[Sequence[int]], most: int = 5) -> list[tuple[str, str, int]]:
    """List the pairs of genres that are most often confused, counted in both directions, most first."""
    pairs = [
        (GENRES[i], GENRES[j], matrix[i][j] + matrix[j][i])
        for i in range(len(GENRES))
        for j in range(i + 1, len(GENRES))
    ]
    return sorted(pairs, key=lambda pair: pair[2], reverse=True)[:most]
