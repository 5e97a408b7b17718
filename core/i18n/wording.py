"""Sentences that several faces say alike."""

from core.i18n.catalog import translate
from core.i18n.formatting import clock, percent
from core.verdict import Outside, Verdict


def outside_sentence(outside: Outside, locale: str | None = None) -> str:
    """Say what kind of music, outside the ten genres, a song sounds like."""
    try:
        kind = translate(f"kind.{outside.name}", locale)
    except KeyError:  # a kind that only somebody's own model knows
        kind = outside.name
    return translate("outside.sentence", locale, kind=kind, share=percent(outside.probability, locale or "en"))


def notes(verdict: Verdict, locale: str | None = None) -> list[str]:
    """Say what is to be known of the source and of the file, a sentence each: a playlist, a cut, several tracks."""
    prediction, song = verdict.prediction, verdict.song
    sentences = [translate(song.note, locale)] if song.note else []
    if prediction.cut_off:
        sentences.append(translate("note.cut-off", locale, duration=clock(prediction.duration)))
    if prediction.tracks > 1:
        sentences.append(translate("note.tracks", locale, n=prediction.tracks, track=prediction.track))
    return sentences
