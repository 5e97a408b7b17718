"""What a model says of a song (`Prediction`), and the answer that people get (`Verdict`)."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, pairwise
from typing import Any, Final, TypeVar

from core.constants import GENRES, SEGMENT_SECONDS

Read = TypeVar("Read")

CERTAINTIES: Final = {"high": 0.8, "good": 0.6, "fair": 0.4, "low": 0.0}
"""Words for the confidence (very sure, not quite sure, a guess), and the least that each stands for."""


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
    """The part of the song that was classified, in seconds from its beginning."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model voted: its name, its version, and the sha256 of its file (cache keys use it)."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        """Name and version, as people read them."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Outside:
    """A kind of music outside the ten genres, and how likely the song is of it."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which bands and times spoke for the genre voted for.

    Attributes:
        bands: upper edge of each group of mel bands in Hz, from the lowest up.
        segments: start of each segment explained, seconds from the beginning of the song.
        importance: fall of the genre's log-probability without a cell, nats: one row a group of bands, one column a
            half second; the columns of all segments follow each other.
    """

    bands: tuple[float, ...]
    segments: tuple[float, ...]
    importance: tuple[tuple[float, ...], ...]

    def by_band(self) -> list[tuple[float, float, float]]:
        """Share of each group of bands in what spoke for the genre: `(from Hz, to Hz, share)`, the largest first."""
        sums = [sum(max(value, 0.0) for value in row) for row in self.importance]
        total = sum(sums) or 1.0
        edges = (0.0, *self.bands)
        shares = [(low, high, value / total) for low, high, value in zip(edges, self.bands, sums, strict=False)]
        return sorted(shares, key=lambda share: -share[2])

    def by_time(self) -> list[tuple[float, float, float]]:
        """Share of each half second: `(from second, to second, share)`, the largest first."""
        sums = [sum(max(row[i], 0.0) for row in self.importance) for i in range(len(self.importance[0]))]
        total = sum(sums) or 1.0
        cells = len(sums) // len(self.segments)
        cell_seconds = SEGMENT_SECONDS / cells
        starts = [start + cell_seconds * i for start in self.segments for i in range(cells)]
        shares = [(start, start + cell_seconds, value / total) for start, value in zip(starts, sums, strict=True)]
        return sorted(shares, key=lambda share: -share[2])


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one song: the same for everyone who asks, whatever they call it.

    Attributes:
        duration: of the whole song, seconds.
        music: probability that the section is music at all; None where no model can tell.
        genre: what most segments name; ties go to the larger summed probability.
        votes: genre → number of segments, most first.
        probabilities: mean of the segments' after the card's temperature, in the order of `GENRES`.
        section: the part classified; all of the song where the whole was asked for.
        segments: the voters, in time order.
        model: which one voted.
        tags: what else the model is certain of (`electric guitar`) → mean probability, the likeliest first; None
            where the model knows no tags.
        outside: the kind of music that the song is of, where it is none of the ten genres.
        embedding: mean of the segments', of length 1; songs that sound alike lie close. Empty where there is none.
        why: which bands and times spoke for the genre, where that was asked for.
        very_sure_from: confidence from which nine in ten real songs are classified correctly by this model.
        cut_off: whether the file ends before its sound does; what there is was classified.
        track: which of the file's audio tracks was classified, from 1.
        tracks: how many audio tracks the file has.
    """

    duration: float
    music: float | None
    genre: str
    votes: Mapping[str, int]
    probabilities: tuple[float, ...]
    section: Section
    segments: tuple[Segment, ...]
    model: ModelInfo
    tags: Mapping[str, float] | None = None
    outside: Outside | None = None
    embedding: tuple[float, ...] = ()
    why: Explanation | None = None
    very_sure_from: float = CERTAINTIES["high"]
    cut_off: bool = False
    track: int = 1
    tracks: int = 1

    @property
    def confidence(self) -> float:
        """Mean probability of the genre voted for."""
        return self.probability(self.genre)

    @property
    def certainty(self) -> str:
        """Key of the word for the confidence in `CERTAINTIES`; `high` is for no song that is outside the ten genres."""
        certainty = next(word for word, least in CERTAINTIES.items() if self.confidence >= least)
        if certainty == "high" and (self.outside is not None or self.confidence < self.very_sure_from):
            return "good"
        return certainty

    def probability(self, genre: str) -> float:
        """Mean probability of a genre."""
        return self.probabilities[GENRES.index(genre)]

    def to_dict(self) -> dict[str, Any]:
        """Return it as types that JSON has, for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> "Prediction":
        """Read what `to_dict` gave, after JSON; keys that this release does not know are passed over.

        Raises:
            ValueError: it is none.
        """
        try:
            return _read_prediction(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a prediction: {type(error).__name__}") from None


@dataclass(frozen=True, slots=True)
class SongInfo:
    """What a song is called.

    Attributes:
        source: what was asked about, as the asker wrote it.
        title: the song's title where the source names one.
        uploader: who published it where the source says.
        note: key of a sentence about the source (`note.playlist-first`), or None.
    """

    source: str
    title: str | None = None
    uploader: str | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        """What to call it: the title, or what was asked about."""
        return self.title or self.source


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Seconds that each step took; a step that a cached answer spared took none."""

    fetch: float = 0.0
    decode: float = 0.0
    features: float = 0.0
    classify: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one request: what the model says, what the asker calls the song, and what it cost."""

    prediction: Prediction
    song: SongInfo
    elapsed: Elapsed = field(default_factory=Elapsed)

    def to_json(self) -> dict[str, Any]:
        """Return the contract of `--json`."""
        prediction, song = self.prediction, self.song
        answer: dict[str, Any] = {
            "source": song.source,
            "title": song.title,
            "duration": round(prediction.duration, 2),
            "music": None if prediction.music is None else round(prediction.music, 4),
            "genre": prediction.genre,
            "confidence": round(prediction.confidence, 4),
            "votes": dict(prediction.votes),
            "probabilities": _by_genre(prediction.probabilities),
            "section": {"start": round(prediction.section.start, 2), "end": round(prediction.section.end, 2)},
            "segments": [
                {
                    "start": round(segment.start, 2),
                    "end": round(segment.end, 2),
                    "genre": segment.genre,
                    "probability": round(segment.probability, 4),
                    "probabilities": _by_genre(segment.probabilities),
                }
                for segment in prediction.segments
            ],
            "model": {"name": prediction.model.name, "version": prediction.model.version},
            "elapsed": {step: round(seconds, 3) for step, seconds in asdict(self.elapsed).items()},
        }
        if prediction.tags is not None:
            answer["tags"] = {tag: round(p, 4) for tag, p in prediction.tags.items()}
            outside = prediction.outside
            answer["outside"] = outside and {"name": outside.name, "probability": round(outside.probability, 4)}
        if prediction.why is not None:
            answer["why"] = _why(prediction.why)
        if prediction.cut_off:
            answer["cut_off"] = True
        if prediction.tracks > 1:
            answer |= {"track": prediction.track, "tracks": prediction.tracks}
        if song.uploader is not None:
            answer["uploader"] = song.uploader
        if song.note is not None:
            answer["note"] = song.note
        return answer


def _why(why: Explanation) -> dict[str, Any]:
    return {
        "bands": [{"from": round(low), "to": round(high), "share": round(s, 4)} for low, high, s in why.by_band()],
        "times": [{"start": round(t, 2), "end": round(end, 2), "share": round(s, 4)} for t, end, s in why.by_time()],
    }


def _by_genre(probabilities: Sequence[float]) -> dict[str, float]:
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


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring segments of the same genre.

    Attributes:
        start: seconds from the beginning of the song.
        end: seconds from the beginning of the song.
        genre: what most of them name.
        votes: how many these are.
        segments: of how many.
    """

    start: float
    end: float
    genre: str
    votes: int
    segments: int


def runs(segments: Sequence[Segment], most: int) -> tuple[list[Run], bool]:
    """Give the runs of genre over time, and whether they are exact.

    Where there are more than `most`, the song is divided into that many stretches of the same length, each with the
    genre that most of its votes name.
    """
    exact = _joined([[segment] for segment in segments])
    if len(exact) <= most:
        return exact, True
    edges = [round(i * len(segments) / most) for i in range(most + 1)]
    return _joined([segments[first:last] for first, last in pairwise(edges)]), False


def _joined(stretches: Sequence[Sequence[Segment]]) -> list[Run]:
    found = []
    for genre, group in groupby(stretches, key=lambda stretch: tally(stretch)[0]):
        voters = [segment for stretch in group for segment in stretch]
        votes = sum(segment.genre == genre for segment in voters)
        found.append(Run(voters[0].start, voters[-1].end, genre, votes, len(voters)))
    return found


def _read_prediction(data: Any) -> Prediction:  # noqa: ANN401 - anything that JSON can hold
    segments = tuple(
        Segment(_number(segment["start"]), _number(segment["end"]), _probabilities(segment["probabilities"]))
        for segment in data["segments"]
    )
    votes = {_genre(genre): int(count) for genre, count in data["votes"].items()}
    if not segments or not votes:
        raise ValueError("a prediction without votes")
    return Prediction(
        duration=_number(data["duration"]),
        music=None if data["music"] is None else _number(data["music"]),
        genre=_genre(data["genre"]),
        votes=votes,
        probabilities=_probabilities(data["probabilities"]),
        section=Section(_number(data["section"]["start"]), _number(data["section"]["end"])),
        segments=segments,
        model=ModelInfo(*(_text(data["model"][key]) for key in ("name", "version", "sha256"))),
        tags=_optional(data.get("tags"), lambda tags: {_text(tag): _number(p) for tag, p in tags.items()}),
        outside=_optional(data.get("outside"), lambda o: Outside(_text(o["name"]), _number(o["probability"]))),
        embedding=tuple(map(_number, data.get("embedding", ()))),
        why=_optional(data.get("why"), _read_explanation),
        very_sure_from=_number(data.get("very_sure_from", CERTAINTIES["high"])),
        cut_off=data.get("cut_off", False) is True,
        track=int(_number(data.get("track", 1))),
        tracks=int(_number(data.get("tracks", 1))),
    )


def _read_explanation(data: Mapping[str, Any]) -> Explanation:
    importance = tuple(tuple(map(_number, row)) for row in data["importance"])
    bands, segments = tuple(map(_number, data["bands"])), tuple(map(_number, data["segments"]))
    if len(importance) != len(bands) or not segments or {len(row) % len(segments) for row in importance} != {0}:
        raise ValueError("an explanation of another shape")
    return Explanation(bands, segments, importance)


def _optional(value: Any, read: Callable[[Any], Read]) -> Read | None:  # noqa: ANN401 - anything that JSON can hold
    return None if value is None else read(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _genre(value: object) -> str:
    if value not in GENRES:
        raise ValueError("not a genre")
    return str(value)


def _probabilities(values: Sequence[object]) -> tuple[float, ...]:
    if len(values) != len(GENRES):
        raise ValueError("not a probability for each genre")
    return tuple(map(_number, values))
