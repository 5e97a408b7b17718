"""Two songs side by side: what each of them is, how alike they sound, what differs most, and one picture."""

import asyncio
from collections.abc import Sequence
from typing import Final

import discord

from bot.jobs.result import SongResult
from bot.storage.neighbours import LEAST_SIMILARITY
from bot.ui.details import MAX_ALT
from bot.ui.embeds import capitalised, escaped
from bot.ui.message import OutgoingMessage, Picture
from bot.ui.neighbours import likeness
from core.constants import GENRES
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.i18n.wording import confidence_words, headline, votes_text
from core.service.identify import IdentifyResult
from core.verdict import Prediction

MOST_DIFFERENCES: Final = 3
LEAST_DIFFERENCE: Final = 0.1
"""Difference of two probabilities that is worth a word."""


async def compare_message(results: Sequence[SongResult], locale: str, view: discord.ui.View | None) -> OutgoingMessage:
    """Make the message about two songs that were classified."""
    first, second = (result.outcome.prediction for result in results if isinstance(result.outcome, IdentifyResult))
    lines = [_line(number, result, locale) for number, result in enumerate(results, 1)]
    lines += [_alike(first, second, locale), *_differences(first, second, locale)]
    text = "\n".join(filter(None, lines))
    ranked = sorted(GENRES, key=lambda genre: -(first.probability(genre) + second.probability(genre)))
    alt = _listed(first, second, ranked, locale)
    title = translate("bot.compare.title", locale)
    # Drawing would hold the loop up.
    png = await asyncio.to_thread(_draw, first, second, locale)
    picture = Picture("compare.png", png, f"{title}: {alt}"[:MAX_ALT])
    embed = discord.Embed(title=title, description=text).set_image(url="attachment://compare.png")
    return OutgoingMessage(None, (embed,), (picture,), view, f"**{title}**\n{text}")


def similarity(first: Prediction, second: Prediction) -> float | None:
    """Cosine of two songs' embeddings; None where one has none, or they are of different models."""
    if not first.embedding or first.model != second.model or len(first.embedding) != len(second.embedding):
        return None
    return min(1.0, sum(a * b for a, b in zip(first.embedding, second.embedding, strict=True)))


def _line(number: int, result: SongResult, locale: str) -> str:
    if not isinstance(result.outcome, IdentifyResult):
        raise TypeError("only songs that were classified are compared")
    prediction = result.outcome.prediction
    parts = [capitalised(headline(prediction, locale))]
    if prediction.outside is None:
        parts += [confidence_words(prediction, locale), votes_text(prediction, locale)]
    return f"{number}. **{escaped(result.name)}**: {' · '.join(parts)}"


def _alike(first: Prediction, second: Prediction, locale: str) -> str:
    cosine = similarity(first, second)
    if cosine is None:
        return ""
    words = likeness(cosine, locale) if cosine >= LEAST_SIMILARITY else translate("bot.like.not", locale)
    return translate("bot.compare.alike", locale, words=words)


def _differences(first: Prediction, second: Prediction, locale: str) -> list[str]:
    """Name the genres whose probabilities differ most; the same for both where none does."""
    apart = {genre: abs(first.probability(genre) - second.probability(genre)) for genre in GENRES}
    most = [genre for genre in sorted(apart, key=lambda genre: -apart[genre]) if apart[genre] >= LEAST_DIFFERENCE]
    if not most:
        return [translate("bot.compare.same", locale)]
    listed = _listed(first, second, most[:MOST_DIFFERENCES], locale)
    return [translate("bot.compare.differ", locale, genres=listed)]


def _listed(first: Prediction, second: Prediction, genres: Sequence[str], locale: str) -> str:
    return ", ".join(
        f"{translate(f'genre.{genre}', locale)} "
        f"{percent(first.probability(genre), locale)} / {percent(second.probability(genre), locale)}"
        for genre in genres
    )


def _draw(first: Prediction, second: Prediction, locale: str) -> bytes:
    from core.inference.bars import draw_comparison

    return draw_comparison(first, second, locale)
