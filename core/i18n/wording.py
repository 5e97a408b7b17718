"""Sentences that several faces say alike."""

from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.verdict import Outside


def outside_sentence(outside: Outside, locale: str | None = None) -> str:
    """Say what kind of music, outside the ten genres, a song sounds like."""
    try:
        kind = translate(f"kind.{outside.name}", locale)
    except KeyError:  # a kind that only somebody's own model knows
        kind = outside.name
    return translate("outside.sentence", locale, kind=kind, share=percent(outside.probability, locale or "en"))
