"""Which songs a game may post again, and what becomes of games whose client is closed."""

from typing import Any
from unittest.mock import create_autospec

import discord
import pytest

from bot.cogs.guess import Guess, _is_public
from bot.settings import BotSettings
from bot.storage.games import Answer, Game
from bot.storage.stores import Stores
from tests.bot.cogs.test_guilds import bot_in, services, settings, stores  # noqa: F401  # two are fixtures

HERE, THERE = 1, 2


def channel(kind: type, *, visible: bool, history: bool = True, nsfw: bool = False) -> Any:
    known = create_autospec(kind, instance=True)
    known.permissions_for.return_value = discord.Permissions(view_channel=visible, read_message_history=history)
    known.is_nsfw.return_value = nsfw
    return known


def thread(*, private: bool, visible: bool = True, nsfw: bool = False) -> Any:
    known = channel(discord.Thread, visible=visible, nsfw=nsfw)
    known.is_private.return_value = private
    return known


@pytest.mark.parametrize(
    ("known", "public"),
    [
        (channel(discord.TextChannel, visible=True), True),
        (channel(discord.TextChannel, visible=False), False),
        (thread(private=False), True),
        (thread(private=False, visible=False), False),
        (thread(private=True), False),
        (channel(discord.TextChannel, visible=True, history=False), False),
        (channel(discord.TextChannel, visible=True, nsfw=True), False),
        (thread(private=False, nsfw=True), False),
        (None, False),
    ],
    ids=[
        "open",
        "hidden",
        "thread",
        "thread of a hidden channel",
        "private thread",
        "closed history",
        "for adults",
        "thread for adults",
        "unknown",
    ],
)
def test_a_game_posts_nothing_from_where_not_everyone_sees_it(known: Any, public: bool) -> None:
    guild = create_autospec(discord.Guild, instance=True)
    for here_nsfw in (False, True):
        here = channel(discord.TextChannel, visible=True, nsfw=here_nsfw)
        guild.get_channel_or_thread.side_effect = {HERE: here, THERE: known}.get
        among_adults = here_nsfw and known is not None and known.is_nsfw()
        assert _is_public(guild, THERE, HERE) == (public or among_adults)
    assert _is_public(guild, HERE, HERE), "what is here already is no news here"
    if known is not None and public:
        known.permissions_for.assert_called_with(guild.default_role)


async def test_games_of_a_client_that_is_given_up_go_on_with_the_next(
    settings: BotSettings,  # noqa: F811
    stores: Stores,  # noqa: F811
) -> None:
    shared = services(settings, stores)
    game_id = await stores.games.prepare(Game("0", 1, 10, HERE, 6, None, "en", host_knows=True)) or 0
    game = await stores.games.open(game_id, Answer("rock", "Rock", "rock 10", "song.mp3", None), 60.0)
    stores.games.leave([game] if game else [])
    for _ in range(2):
        bot: Any = bot_in()
        bot.http = create_autospec(discord.http.HTTPClient, instance=True)
        cog = Guess(bot, shared)
        await cog.on_ready()
        assert stores.games.take_leftovers() == [], "the client has it"
        await cog.cog_unload()
    assert stores.games.take_leftovers() == [game]
