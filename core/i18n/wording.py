"""Sentences that several faces say alike. Genre, votes and how sure the model is never contradict each other."""

from collections.abc import Sequence
from typing import Final

from core.i18n.catalog import translate
from core.i18n.formatting import clock, percent
from core.verdict import Outside, Prediction, Verdict

_WORDS: Final = {"high": "high", "good": "fair", "fair": "fair", "low": "low"}
"""Word for each of `core.verdict.CERTAINTIES`; `docs/figures.md` has the share of real songs that is right in each."""

_NAMED_FROM: Final = 0.2
"""Share of the votes from which on a genre that has not won is named beside the one that has."""

_MIXED_BELOW: Final = 0.4
"""Share of the votes under which no genre has won, although one has the most."""

_MOST_TIED: Final = 3
_MOST_NAMED: Final = 3

MOST_TAGS: Final = 6
"""Tags that are named."""


def outside_sentence(outside: Outside, locale: str | None = None) -> str:
    """Say what kind of music, outside the ten genres, a song sounds like."""
    share = percent(outside.probability, locale or "en")
    return translate("outside.sentence", locale, kind=_kind(outside, locale), share=share)


def headline(prediction: Prediction, locale: str | None = None) -> str:
    """Name what a song is, in as many genres as its votes do: `rock, with some country`, `mixed: blues, jazz and pop`.

    Where the model can tell that the song is none of the ten genres, they are not named.
    """
    if prediction.outside is not None:
        return translate("headline.outside", locale, kind=_kind(prediction.outside, locale))
    return _votes_in_words(prediction, locale)


def nearest(prediction: Prediction, locale: str | None = None) -> str | None:
    """Say which of the ten genres a song is nearest to that is none of them; None where it is one."""
    if prediction.outside is None:
        return None
    return translate("headline.nearest", locale, genres=_votes_in_words(prediction, locale))


def confidence_words(prediction: Prediction, locale: str | None = None) -> str:
    """Say in words and as a number how sure the model is of the genre voted for.

    It is a guess, however large the number, where the votes are tied or scattered, where another genre is more probable
    than the one voted for, and where the song is none of the ten.
    """
    won = _won(prediction) and prediction.outside is None and prediction.confidence >= max(prediction.probabilities)
    word = _WORDS[prediction.certainty] if won else "low"
    return translate(f"confidence.{word}", locale, share=percent(prediction.confidence, locale or "en"))


def votes_text(prediction: Prediction, locale: str | None = None) -> str:
    """Count the votes, most first: `rock 7, metal 3`."""
    return ", ".join(f"{translate(f'genre.{genre}', locale)} {n}" for genre, n in prediction.votes.items())


def tag_names(prediction: Prediction, locale: str | None = None) -> list[str]:
    """Names of the likeliest tags in a language; one that no language knows is named as the model does."""
    return [_tag_name(tag, locale) for tag in list(prediction.tags or ())[:MOST_TAGS]]


def _tag_name(tag: str, locale: str | None) -> str:
    try:
        return translate(f"tag.{tag.lower()}", locale)
    except KeyError:
        return tag.lower()


def _votes_in_words(prediction: Prediction, locale: str | None) -> str:
    names = [translate(f"genre.{genre}", locale) for genre in prediction.votes]
    counts = list(prediction.votes.values())
    tied = counts.count(counts[0])
    if 1 < tied <= _MOST_TIED:
        return translate("headline.tied", locale, genres=_listed(names[:tied], locale))
    if not _won(prediction):
        more = "…" if len(names) > _MOST_NAMED else ""
        return translate("headline.mixed", locale, genres=_listed(names[:_MOST_NAMED], locale) + more)
    others = [name for name, n in zip(names[1:], counts[1:], strict=True) if n >= _NAMED_FROM * sum(counts)]
    if not others:
        return names[0]
    return translate("headline.with", locale, genre=names[0], others=_listed(others, locale))


def _won(prediction: Prediction) -> bool:
    """Whether one genre has more votes than any other, and enough of them."""
    first, *rest = prediction.votes.values()
    return first > max(rest, default=0) and first >= _MIXED_BELOW * (first + sum(rest))


def _listed(names: Sequence[str], locale: str | None) -> str:
    *most, last = names
    return translate("list.and", locale, most=", ".join(most), last=last) if most else last


def _kind(outside: Outside, locale: str | None) -> str:
    try:
        return translate(f"kind.{outside.name}", locale)
    except KeyError:  # a kind that only somebody's own model knows
        return outside.name


def notes(verdict: Verdict, locale: str | None = None) -> list[str]:
    """Say what is to be known of the source and of the file, a sentence each: a playlist, a cut, several tracks."""
    prediction, song = verdict.prediction, verdict.song
    sentences = [translate(song.note, locale)] if song.note else []
    if prediction.cut_off:
        sentences.append(translate("note.cut-off", locale, duration=clock(prediction.duration)))
    if prediction.tracks > 1:
        sentences.append(translate("note.tracks", locale, n=prediction.tracks, track=prediction.track))
    return sentences
