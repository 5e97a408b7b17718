"""Results → what Discord shows: embeds, pictures with their text alternative, and plain text."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import discord

from bot.jobs.result import SongResult
from bot.ui.message import MAX_TEXT, OutgoingMessage, Picture, fitting, units
from core.constants import GENRE_COLOURS
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.i18n.wording import confidence_words, headline, nearest, notes, outside_sentence, votes_text
from core.service.identify import IdentifyResult
from core.text import one_line
from core.verdict import Prediction, Segment, Verdict

MAX_NAME: Final = 100
MAX_ALT: Final = 1_024
MAX_DESCRIPTION: Final = 4_096
MAX_LINES: Final = 20
"""Lines of votes in one reply; the picture has them all."""


def clean(name: str, limit: int = MAX_NAME) -> str:
    """Return a song's name as one short line, `?` where nothing of it can be shown."""
    return one_line(name, limit) or "?"


def escaped(name: str, limit: int = MAX_NAME) -> str:
    """Name of a song for running text: it formats nothing, links nowhere and calls nobody."""
    text = discord.utils.escape_markdown(clean(name, limit), ignore_links=False)
    return discord.utils.escape_mentions(text).replace("<", "\\<").replace("://", ":\u200b//")


def genre_name(genre: str, locale: str) -> str:
    """Name of a genre with a capital letter, as it stands alone."""
    return capitalised(translate(f"genre.{genre}", locale))


def capitalised(text: str) -> str:
    """Text as it stands at the beginning of a line."""
    return text[:1].upper() + text[1:]


def results_message(
    results: Sequence[SongResult],
    locale: str,
    view: discord.ui.View | None = None,
    *,
    failed: bool | None = None,
) -> OutgoingMessage:
    """Make one message of a request's songs: all of one song, of several a line each, numbered as they were given.

    Args:
        results: all songs of the request.
        locale: language.
        view: buttons or menu.
        failed: of several, say only what failed, or only what did not; None says all.
    """
    if len(results) > 1:
        said = [pair for pair in enumerate(results, 1) if failed in (None, pair[1].failed)]
        return _list_message([_line(number, result, locale) for number, result in said], view)
    [result] = results
    if isinstance(result.outcome, GenreGenieError):
        sentence = error_sentence(result.outcome, locale)
        return OutgoingMessage(sentence, view=view, text=sentence)
    picture = _picture(result.outcome, locale)
    embed = _embed(result.outcome, clean(result.name), picture, locale)
    text = _text(result.name, result.outcome, locale)
    return OutgoingMessage(None, (embed,), (picture,) if picture else (), view, fitting(text, MAX_TEXT))


def _line(number: int, result: SongResult, locale: str) -> str:
    if isinstance(result.outcome, GenreGenieError):
        return f"{number}. **{escaped(result.name)}**: {error_sentence(result.outcome, locale)}"
    prediction = result.outcome.prediction
    line = f"{number}. **{escaped(result.name)}**: {capitalised(headline(prediction, locale))}"
    sure = [] if prediction.outside else [confidence_words(prediction, locale)]
    return " · ".join((line, *sure, *notes(result.outcome.verdict, locale)))


def _list_message(lines: Sequence[str], view: discord.ui.View | None) -> OutgoingMessage:
    """Make a message of lines: the text has room for two thousand characters, an embed for twice as much."""
    text = "\n".join(lines)
    if units(text) <= MAX_TEXT:
        return OutgoingMessage(text, view=view, text=text)
    return OutgoingMessage(
        None, (discord.Embed(description=fitting(text, MAX_DESCRIPTION)),), (), view, fitting(text, MAX_TEXT)
    )


def _embed(identified: IdentifyResult, label: str, picture: Picture | None, locale: str) -> discord.Embed:
    prediction = identified.prediction
    embed = discord.Embed(
        title=capitalised(headline(prediction, locale)),
        description=f"{_summary(identified.verdict, locale)}\n```\n{_votes(prediction, locale)}\n```",
        colour=discord.Colour.from_rgb(*GENRE_COLOURS[prediction.genre]),
    )
    # An author's name and a footer are shown as they are: no markdown, no mentions.
    embed.set_author(name=label)
    embed.set_footer(text=translate("bot.reply.footer", locale, model=str(prediction.model)))
    if picture:
        embed.set_image(url=f"attachment://{picture.name}")
    return embed


def _summary(verdict: Verdict, locale: str) -> str:
    prediction, song = verdict.prediction, verdict.song
    outside = prediction.outside
    lines = [
        *([outside_sentence(outside, locale), nearest(prediction, locale) or ""] if outside else []),
        f"**{confidence_words(prediction, locale)}**",
        translate("bot.reply.votes", locale, votes=votes_text(prediction, locale), n=len(prediction.segments)),
        translate(
            "bot.reply.heard",
            locale,
            start=clock(prediction.section.start),
            end=clock(prediction.section.end),
            duration=clock(prediction.duration),
        ),
    ]
    if song.uploader:
        lines.append(translate("bot.reply.uploader", locale, name=escaped(song.uploader)))
    lines += notes(verdict, locale)
    return "\n".join(lines)


def _votes(prediction: Prediction, locale: str) -> str:
    """List the votes in order, one a line; of many, neighbours that agree share a line."""
    names = {genre: genre_name(genre, locale) for genre in prediction.votes}
    width, widest = max(map(len, names.values())), len(percent(1, locale))
    if len(prediction.segments) <= 10:
        return "\n".join(
            f"{clock(s.start):>5}  {names[s.genre]:<{width}}  {percent(s.probability, locale):>{widest}}"
            for s in prediction.segments
        )
    lines = []
    for genre, run in groupby(prediction.segments, key=lambda segment: segment.genre):
        voters = list(run)
        mean = sum(voter.probability for voter in voters) / len(voters)
        span = f"{clock(voters[0].start):>5}–{clock(voters[-1].end):<5}"
        lines.append(f"{span}  {names[genre]:<{width}} ×{len(voters):<2} {percent(mean, locale):>{widest}}")
    if len(lines) > MAX_LINES:
        lines[MAX_LINES - 1 :] = [translate("bot.reply.more-votes", locale, n=len(lines) - MAX_LINES + 1)]
    tally = ", ".join(f"{names[genre]} {n}" for genre, n in prediction.votes.items())
    return "\n".join((tally, *lines))


def _text(name: str, identified: IdentifyResult, locale: str) -> str:
    prediction = identified.prediction
    head = f"**{escaped(name)}**: {capitalised(headline(prediction, locale))}"
    return f"{head}\n{_summary(identified.verdict, locale)}\n```\n{_votes(prediction, locale)}\n```"


def _picture(identified: IdentifyResult, locale: str) -> Picture | None:
    if identified.picture is None:
        return None
    prediction = identified.prediction
    votes = ", ".join(_alt_vote(segment, locale) for segment in prediction.segments)
    alt = translate("bot.reply.alt", locale, genre=translate(f"genre.{prediction.genre}", locale), votes=votes)
    alt = alt if len(alt) <= MAX_ALT else f"{alt[: MAX_ALT - 1]}…"
    return Picture("votes.png", identified.picture, alt)


def _alt_vote(segment: Segment, locale: str) -> str:
    return (
        f"{clock(segment.start)} {translate(f'genre.{segment.genre}', locale)} {percent(segment.probability, locale)}"
    )
