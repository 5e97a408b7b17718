"""Answers without a word."""

from unittest.mock import create_autospec

import discord

from bot.jobs.request import JobRequest, RequestKind
from bot.jobs.result import SongResult
from bot.ui.delivery import FAILED_EMOJI
from bot.ui.reactions import GENRE_EMOJI, OUTSIDE_EMOJI, ReactionResponder
from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from tests.bot.ui.identified import identified

REQUEST = JobRequest(RequestKind.AUTOSCAN, 1, 2, False, "en", ())


def test_every_genre_has_a_reaction_of_its_own() -> None:
    assert set(GENRE_EMOJI) == set(GENRES)
    assert len({*GENRE_EMOJI.values(), OUTSIDE_EMOJI, *FAILED_EMOJI.values()}) == len(GENRES) + 1 + 2


async def test_each_genre_is_shown_once_and_of_failures_those_that_are_not_the_songs() -> None:
    message = create_autospec(discord.Message, instance=True)
    song = identified()
    busy, silent = GenreGenieError(ErrorCode.BUSY), GenreGenieError(ErrorCode.SILENT)
    results = [SongResult(str(n), outcome) for n, outcome in enumerate((song, song, silent, busy))]
    assert await ReactionResponder(message).results(REQUEST, results)
    shown = [call.args[0] for call in message.add_reaction.await_args_list]
    assert shown == [GENRE_EMOJI[song.prediction.genre], FAILED_EMOJI[ErrorCode.BUSY]]
