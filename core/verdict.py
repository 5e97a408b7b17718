"""What was heard: segments, the section that they come from, and the tally of their votes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.constants import GENRES


@dataclass(frozen=True, slots=True)
class Segment:
    """Three seconds and what the model makes of them.

    Attributes:
        start: seconds from the beginning of the song.
        end: seconds from the beginning of the song.
        probabilities: the model's, in the order of `GENRES`.
    """

    start: float
    end: float
    probabilities: tuple[float, ...]

    @property
    def genre(self) -> str:
        """The most likely genre: this segment's vote."""
        return GENRES[max(range(len(GENRES)), key=self.probabilities.__getitem__)]

    @property
    def probability(self) -> float:
        """Probability of the genre voted for."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the song that was heard, in seconds from its beginning."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ModelName:
    """Which model voted: its name, version, and the sha256 of its file (cache keys use it)."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Seconds that each step took."""

    fetch: float = 0.0
    decode: float = 0.0
    features: float = 0.0
    classify: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer about one song.

    Attributes:
        source: what was asked, as the asker wrote it.
        title: the song's title where the source tells one.
        uploader: who published it where the source tells.
        duration: of the whole song, seconds.
        music: probability that the section is music at all; None where no model can tell.
        genre: what most segments name; ties go to the larger summed probability.
        votes: genre → number of segments, most first.
        probabilities: mean of the segments' after the card's temperature, in the order of `GENRES`.
        section: the part heard; all of the song where the whole was asked for.
        segments: the voters, in time order.
        note: key of a sentence in `core/i18n/locales/` about the source (`note.playlist-first`), or None.
    """

    source: str
    title: str | None
    duration: float
    music: float | None
    genre: str
    votes: Mapping[str, int]
    probabilities: tuple[float, ...]
    section: Section
    segments: tuple[Segment, ...]
    model: ModelName
    elapsed: Elapsed
    uploader: str | None = None
    note: str | None = None

    @property
    def confidence(self) -> float:
        """Mean probability of the genre voted for."""
        return self.probabilities[GENRES.index(self.genre)]

    @property
    def runner_up(self) -> str:
        """The second genre: by votes, then by probability."""
        return ranking(self.votes, self.probabilities)[1]

    def to_json(self) -> dict[str, Any]:
        """Return the contract of `--json`."""
        answer: dict[str, Any] = {
            "source": self.source,
            "title": self.title,
            "duration": round(self.duration, 2),
            "music": None if self.music is None else round(self.music, 4),
            "genre": self.genre,
            "confidence": round(self.confidence, 4),
            "votes": dict(self.votes),
            "probabilities": _named(self.probabilities),
            "section": {"start": round(self.section.start, 2), "end": round(self.section.end, 2)},
            "segments": [
                {
                    "start": round(segment.start, 2),
                    "end": round(segment.end, 2),
                    "genre": segment.genre,
                    "probability": round(segment.probability, 4),
                    "probabilities": _named(segment.probabilities),
                }
                for segment in self.segments
            ],
            "model": {"name": self.model.name, "version": self.model.version},
            "elapsed": {
                "fetch": round(self.elapsed.fetch, 3),
                "decode": round(self.elapsed.decode, 3),
                "features": round(self.elapsed.features, 3),
                "classify": round(self.elapsed.classify, 3),
                "total": round(self.elapsed.total, 3),
            },
        }
        if self.uploader is not None:
            answer["uploader"] = self.uploader
        if self.note is not None:
            answer["note"] = self.note
        return answer


def _named(probabilities: Sequence[float]) -> dict[str, float]:
    return {genre: round(p, 4) for genre, p in zip(GENRES, probabilities, strict=True)}


def ranking(votes: Mapping[str, int], summed: Sequence[float]) -> list[str]:
    """All ten genres, best first: by votes, ties by probability (`summed`, in the order of `GENRES`)."""
    by_genre = dict(zip(GENRES, summed, strict=True))
    return sorted(GENRES, key=lambda genre: (votes.get(genre, 0), by_genre[genre]), reverse=True)


def tally(segments: Sequence[Segment]) -> tuple[str, dict[str, int], tuple[float, ...]]:
    """Count the votes.

    Returns:
        The genre that most segments name (ties by summed probability), the votes with most first, and the
        mean probabilities in the order of `GENRES`.

    Raises:
        ValueError: there are no segments.
    """
    if not segments:
        raise ValueError("no segments to count")
    summed = [sum(segment.probabilities[i] for segment in segments) for i in range(len(GENRES))]
    counts = Counter(segment.genre for segment in segments)
    order = ranking(counts, summed)
    votes = {genre: counts[genre] for genre in order if counts[genre]}
    return order[0], votes, tuple(p / len(segments) for p in summed)
