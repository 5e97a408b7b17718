"""Verdict or error → what Discord shows: embeds, pictures with their text alternative, and plain text."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import discord

from core.constants import GENRE_COLOURS
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.service.identify import IdentifyResult
from core.text import one_line
from core.verdict import Prediction, Segment, Verdict

MAX_NAME: Final = 100
MAX_TEXT: Final = 2_000
MAX_ALT: Final = 1_024
MAX_LINES: Final = 20
"""Lines of votes in one reply; the picture has them all."""

CONFIDENCE_STEPS: Final = ((0.8, "high"), (0.6, "good"), (0.4, "fair"), (0.0, "low"))


@dataclass(frozen=True, slots=True)
class SongResult:
    """What came of one song: a verdict or an error, and the id that its buttons carry if it was written down."""

    name: str
    outcome: IdentifyResult | GenreGenieError
    request_id: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG with its text alternative."""

    name: str
    png: bytes
    alt: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One message. `text` says the same without embeds, for where they may not be sent."""

    content: str | None
    embeds: tuple[discord.Embed, ...] = ()
    pictures: tuple[Picture, ...] = ()
    view: discord.ui.View | None = None
    text: str = ""

    def files(self) -> list[discord.File]:
        """Make the pictures into files; each is read once, so that every attempt needs new ones."""
        return [
            discord.File(io.BytesIO(picture.png), picture.name, description=picture.alt) for picture in self.pictures
        ]

    def without_pictures(self) -> "Reply":
        """Leave the pictures out."""
        embeds = tuple(embed.copy().set_image(url=None) for embed in self.embeds)
        return replace(self, embeds=embeds, pictures=())

    def as_text(self) -> "Reply":
        """Leave embeds and pictures out."""
        return replace(self, content=self.text or self.content, embeds=(), pictures=())

    def with_notice(self, notice: str | None) -> "Reply":
        """Put a sentence under the text."""
        if not notice:
            return self
        content = f"{self.content}\n{notice}" if self.content else notice
        return replace(self, content=content[:MAX_TEXT], text=f"{self.text}\n{notice}"[-MAX_TEXT:])


def sentence(text: str, view: discord.ui.View | None = None) -> Reply:
    """Make a reply of one sentence."""
    return Reply(text, view=view, text=text)


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
    """Say in words and as a number how sure the answer is."""
    step = next(word for least, word in CONFIDENCE_STEPS if prediction.confidence >= least)
    return translate(f"bot.confidence.{step}", locale, share=percent(prediction.confidence, locale))


def song_name(answer: SongResult) -> str:
    """Title of a song, or the name of its file."""
    heard = answer.outcome
    return (heard.verdict.song.title if isinstance(heard, IdentifyResult) else None) or answer.name


def answers_reply(answers: Sequence[SongResult], locale: str, view: discord.ui.View | None = None) -> Reply:
    """Make one reply of all songs of a request, in order."""
    embeds, pictures, lines, texts = [], [], [], []
    for number, answer in enumerate(answers, 1):
        if isinstance(answer.outcome, GenreGenieError):
            line = error_sentence(answer.outcome, locale)
            if len(answers) > 1:
                line = f"{number}. **{escaped(answer.name)}**: {line}"
            lines.append(line)
            texts.append(line)
            continue
        picture = _picture(answer.outcome, number, locale)
        if picture:
            pictures.append(picture)
        label = clean(song_name(answer))
        embeds.append(_embed(answer.outcome, f"{number}. {label}" if len(answers) > 1 else label, picture, locale))
        texts.append(_text(answer, locale, short=len(answers) > 1))
    return Reply(
        "\n".join(lines)[:MAX_TEXT] or None,
        tuple(embeds),
        tuple(pictures),
        view,
        "\n\n".join(texts)[:MAX_TEXT],
    )


def _embed(heard: IdentifyResult, label: str, picture: Picture | None, locale: str) -> discord.Embed:
    prediction = heard.prediction
    embed = discord.Embed(
        title=genre_name(prediction.genre, locale),
        description=f"{_summary(heard.verdict, locale)}\n```\n{_votes(prediction, locale)}\n```",
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
    lines = [
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
    if song.note:
        lines.append(translate(song.note, locale))
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


def _text(answer: SongResult, locale: str, *, short: bool) -> str:
    heard = answer.outcome
    assert isinstance(heard, IdentifyResult)  # noqa: S101  # the caller has dealt with errors
    prediction = heard.prediction
    head = f"**{escaped(song_name(answer))}**: {genre_name(prediction.genre, locale)}"
    if short:
        return f"{head} ({confidence(prediction, locale)})"
    return f"{head}\n{_summary(heard.verdict, locale)}\n```\n{_votes(prediction, locale)}\n```"


def _picture(heard: IdentifyResult, number: int, locale: str) -> Picture | None:
    if heard.picture is None:
        return None
    votes = ", ".join(_spoken(segment, locale) for segment in heard.prediction.segments)
    alt = translate("bot.reply.alt", locale, genre=translate(f"genre.{heard.prediction.genre}", locale), votes=votes)
    alt = alt if len(alt) <= MAX_ALT else f"{alt[: MAX_ALT - 1]}…"
    return Picture(f"votes-{number}.png", heard.picture, alt)


def _spoken(segment: Segment, locale: str) -> str:
    return (
        f"{clock(segment.start)} {translate(f'genre.{segment.genre}', locale)} {percent(segment.probability, locale)}"
    )
