"""Results → what Discord shows: embeds, pictures with their text alternative, and plain text."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import discord

from bot.jobs.result import SongResult
from bot.ui.message import MAX_TEXT, OutgoingMessage, Picture
from core.constants import GENRE_COLOURS
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.i18n.wording import notes, outside_sentence
from core.service.identify import IdentifyResult
from core.text import one_line
from core.verdict import Prediction, Segment, Verdict

MAX_NAME: Final = 100
MAX_ALT: Final = 1_024
MAX_LINES: Final = 20
"""Lines of votes in one reply; the picture has them all."""

MAX_DESCRIPTION: Final = 4_096
MAX_EMBEDS_TOTAL: Final = 6_000
"""Characters in all embeds of a message together, by Discord's rule; each song has its share."""

CONFIDENCE_STEPS: Final = ((0.8, "high"), (0.6, "good"), (0.4, "fair"), (0.0, "low"))


def clean(name: str, limit: int = MAX_NAME) -> str:
    """Return a song's name as one short line, `?` where nothing of it can be shown."""
    return one_line(name, limit) or "?"


def escaped(name: str, limit: int = MAX_NAME) -> str:
    """Name of a song for running text: it formats nothing, links nowhere and calls nobody."""
    text = discord.utils.escape_markdown(clean(name, limit), ignore_links=False)
    return discord.utils.escape_mentions(text).replace("<", "\\<").replace("://", ":\u200b//")


def genre_name(genre: str, locale: str) -> str:
    """Name of a genre with a capital letter, as it stands alone."""
    name = translate(f"genre.{genre}", locale)
    return name[:1].upper() + name[1:]


def confidence(prediction: Prediction, locale: str) -> str:
    """Say in words and as a number how sure the model is."""
    step = next(word for least, word in CONFIDENCE_STEPS if prediction.confidence >= least)
    return translate(f"bot.confidence.{step}", locale, share=percent(prediction.confidence, locale))


def results_message(results: Sequence[SongResult], locale: str, view: discord.ui.View | None = None) -> OutgoingMessage:
    """Make one message of all songs of a request, in order."""
    embeds, pictures, lines, texts = [], [], [], []
    room = MAX_EMBEDS_TOTAL // max(1, sum(not isinstance(result.outcome, GenreGenieError) for result in results))
    for number, result in enumerate(results, 1):
        if isinstance(result.outcome, GenreGenieError):
            line = error_sentence(result.outcome, locale)
            if len(results) > 1:
                line = f"{number}. **{escaped(result.name)}**: {line}"
            lines.append(line)
            texts.append(line)
            continue
        identified = result.outcome
        picture = _picture(identified, number, locale)
        if picture:
            pictures.append(picture)
        label = clean(result.name)
        embeds.append(_embed(identified, f"{number}. {label}" if len(results) > 1 else label, picture, locale, room))
        texts.append(_text(result.name, identified, locale, short=len(results) > 1))
    return OutgoingMessage(
        "\n".join(lines)[:MAX_TEXT] or None,
        tuple(embeds),
        tuple(pictures),
        view,
        "\n\n".join(texts)[:MAX_TEXT],
    )


def _embed(identified: IdentifyResult, label: str, picture: Picture | None, locale: str, room: int) -> discord.Embed:
    """Make a song's embed of at most `room` characters: what finds no room is left out, the votes first."""
    prediction = identified.prediction
    embed = discord.Embed(
        title=genre_name(prediction.genre, locale),
        colour=discord.Colour.from_rgb(*GENRE_COLOURS[prediction.genre]),
    )
    # An author's name and a footer are shown as they are: no markdown, no mentions.
    embed.set_author(name=label)
    embed.set_footer(text=translate("bot.reply.footer", locale, model=str(prediction.model)))
    embed.description = _description(
        identified.verdict, locale, min(room - _units(label) - len(embed), MAX_DESCRIPTION)
    )
    if picture:
        embed.set_image(url=f"attachment://{picture.name}")
    return embed


def _units(text: str) -> int:
    """Count characters outside the basic plane twice, as UTF-16 does: however Discord counts, it is not more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _description(verdict: Verdict, locale: str, room: int) -> str:
    lines: list[str] = []
    for line in _summary(verdict, locale):
        if _units("\n".join((*lines, line))) <= room:
            lines.append(line)
    summary, votes = "\n".join(lines), _votes(verdict.prediction, locale)
    for most in range(MAX_LINES + 1, 0, -1):
        whole = f"{summary}\n{_block(votes, most, locale)}"
        if _units(whole) <= room:
            return whole
    return summary


def _summary(verdict: Verdict, locale: str) -> list[str]:
    """Say what is known of a song besides its genre, a line each, the most important first."""
    prediction, song = verdict.prediction, verdict.song
    lines = [
        *([f"**{outside_sentence(prediction.outside, locale)}**"] if prediction.outside else []),
        f"**{confidence(prediction, locale)}**",
        translate(
            "bot.reply.runner-up",
            locale,
            genre=genre_name(prediction.runner_up, locale),
            share=percent(prediction.probability(prediction.runner_up), locale),
        ),
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
    return [*lines, *notes(verdict, locale)]


def _votes(prediction: Prediction, locale: str) -> list[str]:
    """List the votes in order, one a line; of many, neighbours that agree share a line, under a tally."""
    names = {genre: genre_name(genre, locale) for genre in prediction.votes}
    width, widest = max(map(len, names.values())), len(percent(1, locale))
    if len(prediction.segments) <= 10:
        return [
            f"{clock(s.start):>5}  {names[s.genre]:<{width}}  {percent(s.probability, locale):>{widest}}"
            for s in prediction.segments
        ]
    lines = []
    for genre, run in groupby(prediction.segments, key=lambda segment: segment.genre):
        voters = list(run)
        mean = sum(voter.probability for voter in voters) / len(voters)
        span = f"{clock(voters[0].start):>5}–{clock(voters[-1].end):<5}"
        lines.append(f"{span}  {names[genre]:<{width}} ×{len(voters):<2} {percent(mean, locale):>{widest}}")
    tally = ", ".join(f"{names[genre]} {n}" for genre, n in prediction.votes.items())
    return [tally, *lines]


def _block(votes: list[str], most: int, locale: str) -> str:
    """Set the votes in a block of at most `most` lines, the last of which counts those that are missing."""
    if len(votes) > most:
        votes = [*votes[: most - 1], translate("bot.reply.more-votes", locale, n=len(votes) - most + 1)]
    return "\n".join(("```", *votes, "```"))


def _text(name: str, identified: IdentifyResult, locale: str, *, short: bool) -> str:
    prediction = identified.prediction
    head = f"**{escaped(name)}**: {genre_name(prediction.genre, locale)}"
    if short:
        outside = f" {outside_sentence(prediction.outside, locale)}" if prediction.outside else ""
        return " ".join((f"{head} ({confidence(prediction, locale)}){outside}", *notes(identified.verdict, locale)))
    summary = "\n".join(_summary(identified.verdict, locale))
    return f"{head}\n{summary}\n{_block(_votes(prediction, locale), MAX_LINES + 1, locale)}"


def _picture(identified: IdentifyResult, number: int, locale: str) -> Picture | None:
    if identified.picture is None:
        return None
    prediction = identified.prediction
    votes = ", ".join(_alt_vote(segment, locale) for segment in prediction.segments)
    alt = translate("bot.reply.alt", locale, genre=translate(f"genre.{prediction.genre}", locale), votes=votes)
    alt = alt if len(alt) <= MAX_ALT else f"{alt[: MAX_ALT - 1]}…"
    return Picture(f"votes-{number}.png", identified.picture, alt)


def _alt_vote(segment: Segment, locale: str) -> str:
    return (
        f"{clock(segment.start)} {translate(f'genre.{segment.genre}', locale)} {percent(segment.probability, locale)}"
    )
