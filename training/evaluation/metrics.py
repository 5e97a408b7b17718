"""How good a model is: figures per segment and per song, with the uncertainty that the number of tracks leaves."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
    """A figure and the range in which 95% of the bootstrap's resamples (of tracks) lie."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As a table prints it: `0.72 (0.69–0.75)`."""
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass(frozen=True)
class GenreFigures:
    """One genre's: recall, precision and F1 of the segments, recall of the songs' votes where songs vote."""

    recall: float
    precision: float
    f1: float
    vote_recall: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether the confidence is the share of right answers (Guo et al. 2017, arXiv:1706.04599).

    Attributes:
        ece: expected calibration error: mean distance of confidence and accuracy over bins of equal mass.
        ideal: what a perfectly calibrated model with the same confidences would show: mean and 95% range.
        confidence: mean confidence in each bin.
        accuracy: share of right answers in each bin.
        count: songs in each bin.
    """

    ece: float
    ideal: Estimate
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class Figures:
    """All figures of a model on one side of a split.

    Attributes:
        segments: number of segments.
        tracks: number of tracks.
        accuracy: share of segments told right.
        macro_recall: mean of the genres' recalls.
        loss: mean negative log-likelihood of a segment in nats, before the temperature; None where the model
            gives no probabilities.
        vote_accuracy: share of songs whose vote is right; None where a song's segments are on several sides.
        vote_macro_recall: likewise by genre.
        genres: by name.
        confusion: segments, rows are true genres, columns the model's, in the order of `GENRES`.
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
        """Plain numbers, rounded to four digits."""
        return {key: _rounded(value) for key, value in asdict(self).items()}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


@dataclass(frozen=True, eq=False)
class Votes:
    """Songs after the tally of their segments' votes.

    Attributes:
        genre: index of the genre voted for, `(n_songs,)`.
        confidence: mean probability of that genre, `(n_songs,)`.
        labels: index of the true genre, `(n_songs,)`.
    """

    genre: IntArray
    confidence: FloatArray
    labels: IntArray


def vote(probabilities: FloatArray, labels: IntArray, tracks: IntArray) -> Votes:
    """Count each song's votes by the rule that serving counts with (`core.verdict.tally`).

    Args:
        probabilities: `(n_segments, genres)`, after the temperature.
        labels: true genre of each segment.
        tracks: song of each segment.
    """
    genres, confidences, truth = [], [], []
    for track in np.unique(tracks):
        rows = np.flatnonzero(tracks == track)
        heard = [Segment(0.0, 3.0, tuple(probabilities[row].tolist())) for row in rows]
        winner, _, means = tally(heard)
        genres.append(GENRES.index(winner))
        confidences.append(means[GENRES.index(winner)])
        truth.append(labels[rows[0]])
    return Votes(np.array(genres), np.array(confidences), np.array(truth))


def fit_temperature(probabilities: FloatArray, labels: IntArray, tracks: IntArray) -> float:
    """Temperature at which the songs' mean probabilities have the highest likelihood.

    Args:
        probabilities: of validation segments, `(n_segments, genres)`, as the model gives them.
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
    confidence: FloatArray, right: NDArray[np.bool_], bins: int = CALIBRATION_BINS, seed: int = 0
) -> Calibration:
    """Measure the expected calibration error of songs, beside what a calibrated model would show by chance.

    Args:
        confidence: of each song, `(n_songs,)`.
        right: whether the answer is right, `(n_songs,)`.
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
        error(right),
        Estimate(float(np.mean(chance)), float(low), float(high)),
        tuple(float(confidence[g].mean()) for g in groups),
        tuple(float(right[g].mean()) for g in groups),
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
    """Measure a model's answers.

    Args:
        probabilities: `(n_segments, genres)`, as the model gives them.
        labels: true genre of each segment, `(n_segments,)`.
        tracks: song of each segment, `(n_segments,)`.
        temperature: the model card's; it changes the songs' confidence and decides ties.
        songs: whether songs are whole on this side of the split, so that they can vote.
        likelihood: whether the probabilities are such, so that they have a loss.
        seed: of the bootstrap.

    Raises:
        DataError: there are no segments.
    """
    if not len(labels):
        raise DataError("no segments to measure")
    told = probabilities.argmax(axis=1)
    names, first, of_track = np.unique(tracks, return_index=True, return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    track_labels = labels[first]
    right = np.bincount(of_track, told == labels, len(names)).astype(float)
    count = np.bincount(of_track, minlength=len(names)).astype(float)
    nats: FloatArray = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1))
    lost = np.bincount(of_track, nats, len(names)).astype(float)
    voted = vote(apply_temperature(probabilities, temperature), labels, tracks) if songs else None
    vote_right = (voted.genre == voted.labels).astype(float) if voted else None
    confusion = _confusion(labels, told)
    vote_confusion = _confusion(voted.labels, voted.genre) if voted else None
    return Figures(
        len(labels),
        len(names),
        _ratio(right, count, draws),
        _mean_ratio(right, count, track_labels, draws),
        _ratio(lost, count, draws) if likelihood else None,
        None if vote_right is None else _ratio(vote_right, np.ones(len(names)), draws),
        None if vote_right is None else _mean_ratio(vote_right, np.ones(len(names)), track_labels, draws),
        _by_genre(confusion, vote_confusion),
        _rows(confusion),
        None if vote_confusion is None else _rows(vote_confusion),
        calibration(voted.confidence, voted.genre == voted.labels) if voted and likelihood else None,
    )


def _estimate(value: float, resampled: FloatArray) -> Estimate:
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def _ratio(part: FloatArray, whole: FloatArray, draws: IntArray) -> Estimate:
    return _estimate(float(part.sum() / whole.sum()), (draws @ part) / (draws @ whole))


def _mean_ratio(part: FloatArray, whole: FloatArray, labels: IntArray, draws: IntArray) -> Estimate:
    """Mean over the genres that occur."""
    values, resampled = [], []
    for genre in np.unique(labels):
        of_genre = labels == genre
        values.append(part[of_genre].sum() / whole[of_genre].sum())
        drawn = draws[:, of_genre] @ whole[of_genre]
        resampled.append((draws[:, of_genre] @ part[of_genre]) / np.where(drawn, drawn, np.nan))
    return _estimate(float(np.mean(values)), np.nanmean(resampled, axis=0))


def _confusion(labels: IntArray, told: IntArray) -> IntArray:
    matrix = np.zeros((len(GENRES), len(GENRES)), np.int64)
    np.add.at(matrix, (labels, told), 1)
    return matrix


def _rows(matrix: IntArray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _by_genre(confusion: IntArray, vote_confusion: IntArray | None) -> dict[str, GenreFigures]:
    figures = {}
    for index, genre in enumerate(GENRES):
        recall = _share(confusion[index, index], confusion[index].sum())
        precision = _share(confusion[index, index], confusion[:, index].sum())
        f1 = _share(2 * confusion[index, index], confusion[index].sum() + confusion[:, index].sum())
        voted = None if vote_confusion is None else _share(vote_confusion[index, index], vote_confusion[index].sum())
        figures[genre] = GenreFigures(recall, precision, f1, voted)
    return figures


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def largest_confusions(matrix: Sequence[Sequence[int]], most: int = 5) -> list[tuple[str, str, int]]:
    """List the pairs of genres most often taken for each other, both ways together, most first."""
    pairs = [
        (GENRES[i], GENRES[j], matrix[i][j] + matrix[j][i])
        for i in range(len(GENRES))
        for j in range(i + 1, len(GENRES))
    ]
    return sorted(pairs, key=lambda pair: pair[2], reverse=True)[:most]
