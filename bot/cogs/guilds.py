"""Which servers and channels there are: what is stored of servers that were left is deleted after a grace time."""

import contextlib
import logging
from collections.abc import Awaitable
from typing import Final

import discord
from discord.ext import commands

from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.host import Subject
from bot.ui.delivery import NETWORK_ERRORS, UNKNOWN_CHANNEL

log = logging.getLogger(__name__)


MOST_LOOKED_UP: Final = 100
"""Channels that one start asks Discord for; threads that are archived are among them."""


class Guilds(commands.Cog):
    """Notes which servers the bot joins and leaves, and which channels are deleted.

    Args:
        bot: whose servers.
        services: the stored servers.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._bot = bot
        self._guilds = services.guilds
        self._host = services.host

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Compare the servers and channels with the stored ones, which may have changed while the bot was away."""
        log.info("Ready: %d servers, %d shards", len(self._bot.guilds), len(self._bot.shards))
        await self._saved(self._compare())
        await self._saved(self._forget_deleted_channels())

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """Listen to a channel that is deleted no more: no admin could switch that off."""
        await self._saved(self._guilds.switch_autoscan(channel.guild.id, channel.id, on=False))

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        """Likewise a thread, which the bot may not know: one that is archived."""
        await self._saved(self._guilds.switch_autoscan(payload.guild_id, payload.thread_id, on=False))

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """End a grace time that may have begun; leave again where the host has blocked the server."""
        if await self._left_as_blocked(guild):
            return
        await self._saved(self._guilds.mark_present([guild.id]))

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Begin the grace time."""
        await self._saved(self._guilds.mark_left(guild.id))

    async def _left_as_blocked(self, guild: discord.Guild) -> bool:
        if not self._host.blocked(Subject.SERVER, guild.id):
            return False
        log.info("Leaving a blocked server: %d", guild.id)
        with contextlib.suppress(discord.HTTPException, *NETWORK_ERRORS):
            await guild.leave()
        return True

    async def _compare(self) -> None:
        for guild in self._bot.guilds:
            await self._left_as_blocked(guild)
        known = await self._guilds.known_ids()
        present = {guild.id for guild in self._bot.guilds}
        await self._guilds.mark_present(list(present))
        if gone := known - present:
            await self._guilds.mark_left(*gone)

    async def _forget_deleted_channels(self) -> None:
        """Switch autoscan off where a channel was deleted meanwhile: Discord says so, since what is archived is not."""
        unknown = [
            (guild.id, channel_id)
            for guild in self._bot.guilds
            if not guild.unavailable
            for channel_id in self._guilds.autoscan_channels(guild.id)
            if guild.get_channel_or_thread(channel_id) is None
        ]
        for guild_id, channel_id in unknown[:MOST_LOOKED_UP]:
            try:
                await self._bot.fetch_channel(channel_id)
            except discord.NotFound as error:
                if error.code == UNKNOWN_CHANNEL:
                    await self._guilds.switch_autoscan(guild_id, channel_id, on=False)
            except (discord.DiscordException, *NETWORK_ERRORS):
                pass  # it may be there: the bot does not see it, or cannot look

    async def _saved(self, change: Awaitable[None]) -> None:
        """Wait for a change; one that fails is made good at the next start."""
        try:
            await change
        except StoreError:
            log.warning("A change of servers was not saved")
