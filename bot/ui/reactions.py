"""Answers without a word: a reaction that stands for the genre, in channels where an admin wants it quiet."""

from collections.abc import Sequence
from typing import Final

import discord

from bot.jobs.job import Job
from bot.jobs.request import JobRequest
from bot.jobs.result import SongResult
from bot.ui.delivery import FAILED_EMOJI, NETWORK_ERRORS
from bot.ui.embeds import genre_name
from core.constants import GENRES
from core.errors import GenreGenieError
from core.i18n.catalog import translate

GENRE_EMOJI: Final = {
    "blues": "\N{BLUE HEART}",
    "classical": "\N{VIOLIN}",
    "country": "\N{FACE WITH COWBOY HAT}",
    "disco": "\N{MAN DANCING}",
    "hiphop": "\N{MICROPHONE}",
    "jazz": "\N{SAXOPHONE}",
    "metal": "\N{SIGN OF THE HORNS}",
    "pop": "\N{GLOWING STAR}",
    "reggae": "\N{PALM TREE}",
    "rock": "\N{GUITAR}",
}
OUTSIDE_EMOJI: Final = "\N{WHITE QUESTION MARK ORNAMENT}"
"""For a song outside the ten genres."""


class ReactionResponder:
    """Implements `bot.jobs.responder.Responder` for a posted message.

    Args:
        message: gets the reactions.
    """

    def __init__(self, message: discord.Message) -> None:
        self._message = message

    async def progress(self, job: Job) -> None:
        """Show nothing."""

    async def results(self, request: JobRequest, results: Sequence[SongResult]) -> bool:
        """React once for each genre, and for what failed for no fault of its own."""
        emojis = dict.fromkeys(filter(None, map(_emoji, results)))
        for emoji in emojis:
            try:
                await self._message.add_reaction(emoji)
            except (discord.HTTPException, *NETWORK_ERRORS):
                return False
        return True

    async def sentence(self, request: JobRequest, key: str) -> bool:
        """Say nothing: nobody has asked."""
        return True

    async def refused(self, request: JobRequest, key: str) -> bool:
        """Say nothing."""
        return True


def legend(locale: str) -> str:
    """List what each reaction stands for."""
    meanings = [f"{GENRE_EMOJI[genre]} {genre_name(genre, locale)}" for genre in GENRES]
    return ", ".join([*meanings, f"{OUTSIDE_EMOJI} {translate('bot.correction.none', locale)}"])


def _emoji(result: SongResult) -> str | None:
    if isinstance(result.outcome, GenreGenieError):
        return FAILED_EMOJI.get(result.outcome.code)
    prediction = result.outcome.prediction
    return OUTSIDE_EMOJI if prediction.outside else GENRE_EMOJI[prediction.genre]
