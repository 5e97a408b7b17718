"""Which songs a game may post again."""

from typing import Any
from unittest.mock import create_autospec

import discord
import pytest

from bot.cogs.guess import _is_public

HERE, THERE = 1, 2


def channel(kind: type, *, visible: bool, **values: Any) -> Any:
    known = create_autospec(kind, instance=True, **values)
    known.permissions_for.return_value = discord.Permissions(view_channel=visible)
    return known


def thread(*, private: bool, visible: bool = True) -> Any:
    known = channel(discord.Thread, visible=visible)
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
        (None, False),
    ],
    ids=["open", "hidden", "thread", "thread of a hidden channel", "private thread", "unknown"],
)
def test_a_game_posts_nothing_from_where_not_everyone_sees_it(known: Any, public: bool) -> None:
    guild = create_autospec(discord.Guild, instance=True)
    guild.get_channel_or_thread.return_value = known
    assert _is_public(guild, THERE, HERE) == public
    assert _is_public(guild, HERE, HERE), "what is here already is no news here"
    if known is not None and public:
        known.permissions_for.assert_called_with(guild.default_role)
