"""Which servers the bot is in: what is stored of the others is deleted after a grace time."""

import contextlib
import logging
from collections.abc import Awaitable

import discord
from discord.ext import commands

from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.host import Subject
from bot.ui.delivery import NETWORK_ERRORS

log = logging.getLogger(__name__)


class Guilds(commands.Cog):
    """Notes which servers the bot joins and leaves.

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
        """Compare the servers with the stored ones: the bot may have been added or removed while it was away."""
        log.info("Ready: %d servers, %d shards", len(self._bot.guilds), len(self._bot.shards))
        await self._saved(self._compare())

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

    async def _saved(self, change: Awaitable[None]) -> None:
        """Wait for a change; one that fails is made good at the next start."""
        try:
            await change
        except StoreError:
            log.warning("A change of servers was not saved")
