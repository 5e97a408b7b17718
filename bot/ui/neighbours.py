"""The button that shows which songs of a server sound like one: only to who presses it, and only what they may see."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Self

import discord
from discord.ui import Button, Item, View

from bot.services import BotServices, services_of
from bot.storage.database import StoreError
from bot.storage.neighbours import Neighbour
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS
from bot.ui.embeds import escaped, genre_name
from bot.ui.gate import let_in
from bot.ui.interactions import Interaction
from bot.ui.items import PersistentItem
from bot.ui.message import internal_error
from bot.ui.permissions import may_be_shown
from core.i18n.catalog import translate

MOST_SHOWN: Final = 5
MOST_LOOKED_UP: Final = 8
"""Messages that one answer looks for on Discord: one may have been deleted while the bot was away."""

LOOKED_UP_WITHIN_S: Final = 5.0
WORDS: Final = {"very": 0.9, "quite": 0.7, "somewhat": 0.0}
"""Words for how alike songs sound, and the least cosine that each stands for; docs/figures.md has what they mean."""


class LikeButton(PersistentItem[Button[View]], template=r"gg:like:(?P<key>\d{1,18})"):
    """Show the songs that sound like the one of a stored request."""

    def __init__(self, key: str, locale: str) -> None:
        self.key = key
        super().__init__(Button(label=translate("bot.button.like", locale), custom_id=f"gg:like:{key}"))

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["key"], "en")

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Show nothing to whom the host does not serve."""
        return await let_in(interaction)

    async def use(self, interaction: Interaction) -> None:
        """Show them to the one who pressed."""
        services, locale = services_of(interaction), interaction.locale.value
        if not await services.acknowledge(interaction, private=True):
            return
        try:
            text = await _answer(interaction, services, int(self.key))
        except StoreError:
            text = internal_error(locale)
        await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)


def offers_neighbours(message: discord.Message | None) -> bool:
    """Whether the button is under a message."""
    rows = message.components if message is not None else []
    ids = [getattr(part, "custom_id", None) or "" for row in rows for part in getattr(row, "children", ())]
    return any(custom_id.startswith("gg:like:") for custom_id in ids)


def likeness(similarity: float, locale: str) -> str:
    """Say how alike two songs sound."""
    word = next(word for word, least in WORDS.items() if similarity >= least or word == "somewhat")
    return translate(f"bot.like.{word}", locale)


def neighbours_text(name: str, guild_id: int, found: Sequence[Neighbour], locale: str) -> str:
    """List songs that sound like one, each with the message where it is."""
    lines = [
        f"{number}. **{escaped(song.name)}**: {genre_name(song.genre, locale)}, {likeness(song.similarity, locale)} "
        f"https://discord.com/channels/{guild_id}/{song.channel_id}/{song.message_id}"
        for number, song in enumerate(found, 1)
    ]
    return "\n".join((translate("bot.like.title", locale, name=escaped(name)), *lines))


async def _answer(interaction: Interaction, services: BotServices, request_id: int) -> str:
    locale, guild = interaction.locale.value, interaction.guild
    request = await services.requests.get(request_id)
    # A button's id comes from the member's client: it may be any server's.
    if request is None or guild is None or request.guild_id != guild.id or request.private:
        return translate("bot.gone", locale)
    ranked = await services.neighbours.nearest(request)
    if ranked is None:
        return translate("bot.gone", locale)
    seen = [song for song in ranked if _may_see(interaction, guild, song.channel_id)]
    found = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOKED_UP_WITHIN_S):
            async for song in _still_there(guild, seen[:MOST_LOOKED_UP], services):
                found.append(song)
                if len(found) == MOST_SHOWN:
                    break
    if not found:
        return translate("bot.like.none", locale, name=escaped(request.name or "?"))
    return neighbours_text(request.name or "?", guild.id, found, locale)


def _may_see(interaction: Interaction, guild: discord.Guild, channel_id: int) -> bool:
    """Whether a member may read a channel, from where they are; one that the bot does not know, nobody may."""
    if channel_id == interaction.channel_id:
        return True
    channel = guild.get_channel_or_thread(channel_id)
    if channel is None or not isinstance(interaction.user, discord.Member):
        return False
    if isinstance(channel, discord.Thread) and channel.is_private():
        return False
    if not may_be_shown(guild, channel_id, interaction.channel_id):
        return False
    try:
        permissions = channel.permissions_for(interaction.user)
    except discord.ClientException:  # the thread's parent is not known
        return False
    return permissions.view_channel and permissions.read_message_history


async def _still_there(
    guild: discord.Guild, songs: Sequence[Neighbour], services: BotServices
) -> AsyncIterator[Neighbour]:
    """Leave out songs whose messages are deleted, and note that they are."""
    for song in songs:
        channel = guild.get_channel_or_thread(song.channel_id)
        if isinstance(channel, discord.abc.Messageable):
            try:
                await channel.fetch_message(song.message_id)
            except discord.NotFound:
                await services.neighbours.forget_messages([song.message_id])
                continue
            except (discord.HTTPException, *NETWORK_ERRORS):
                pass  # it may be there: the bot cannot look
        yield song
