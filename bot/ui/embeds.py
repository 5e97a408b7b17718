"""Results → the compact answers that Discord shows: an embed and plain text."""

from collections.abc import Sequence
from typing import Final

import discord

from bot.jobs.result import SongResult
from bot.storage.corrections import MEMBERS_AGREE
from bot.ui.details import with_details
from bot.ui.message import MAX_TEXT, OutgoingMessage, fitting, units
from bot.ui.votes import runs_line, votes_bar
from core.constants import GENRE_COLOURS, SECTION_SEGMENTS
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.i18n.wording import confidence_words, headline, nearest, notes, votes_text
from core.service.identify import IdentifyResult
from core.text import one_line
from core.verdict import Prediction, Verdict

MAX_NAME: Final = 100
MAX_DESCRIPTION: Final = 4_096


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


def members_say(genre: str, locale: str) -> str:
    """Say that members of a server agree on another genre than the model's."""
    return translate("bot.reply.members-say", locale, n=MEMBERS_AGREE, genre=genre_name(genre, locale))


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
    """Make one message of a request's songs: of several a line each, numbered as they were given.

    One that was drawn already has its details with it: nothing is kept of it to show them later.

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
    embed = _embed(result.outcome, clean(result.name), locale)
    text = _text(result.name, result.outcome, locale)
    message = OutgoingMessage(None, (embed,), (), view, fitting(text, MAX_TEXT))
    if result.outcome.picture is None:
        return message
    return with_details(message, result.outcome.prediction, result.outcome.picture, locale)


def _line(number: int, result: SongResult, locale: str) -> str:
    if isinstance(result.outcome, GenreGenieError):
        return f"{number}. **{escaped(result.name)}**: {error_sentence(result.outcome, locale)}"
    prediction = result.outcome.prediction
    line = f"{number}. **{escaped(result.name)}**: {_title(prediction, locale)}"
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


def _embed(identified: IdentifyResult, label: str, locale: str) -> discord.Embed:
    prediction = identified.prediction
    embed = discord.Embed(
        title=_title(prediction, locale),
        description=_summary(identified.verdict, locale),
        colour=discord.Colour.from_rgb(*GENRE_COLOURS[prediction.genre]),
    )
    # An author's name is shown as it is: no markdown, no mentions.
    return embed.set_author(name=label)


def _title(prediction: Prediction, locale: str) -> str:
    """Name the genres, or the kind of music outside of them and how likely it is."""
    title = capitalised(headline(prediction, locale))
    return f"{title} ({percent(prediction.outside.probability, locale)})" if prediction.outside else title


def _summary(verdict: Verdict, locale: str) -> str:
    prediction, song = verdict.prediction, verdict.song
    lines = [
        *filter(None, [nearest(prediction, locale)]),
        f"**{confidence_words(prediction, locale)}**",
        # The words say all that the bar does, to those who cannot see it.
        f"`{votes_bar(prediction.votes)}` {votes_text(prediction, locale)}",
        *([runs_line(prediction, locale)] if len(prediction.segments) > SECTION_SEGMENTS else []),
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


def _text(name: str, identified: IdentifyResult, locale: str) -> str:
    prediction = identified.prediction
    head = f"**{escaped(name)}**: {_title(prediction, locale)}"
    return f"{head}\n{_summary(identified.verdict, locale)}"
