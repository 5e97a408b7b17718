"""Songs that sound alike: what is deleted on Discord is no longer found. The button is in `bot/ui/neighbours.py`."""

import logging

import discord
from discord.ext import commands

from bot.services import BotServices
from bot.storage.database import StoreError

log = logging.getLogger(__name__)


class Neighbours(commands.Cog):
    """Notes which messages are deleted.

    Args:
        services: the stored songs.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """Note one."""
        await self._forget([payload.message_id])

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """Note many; Discord sends a hundred at most."""
        await self._forget(list(payload.message_ids))

    async def _forget(self, message_ids: list[int]) -> None:
        try:
            await self._services.neighbours.forget_messages(message_ids)
        except StoreError:
            log.warning("A deleted message was not noted")
