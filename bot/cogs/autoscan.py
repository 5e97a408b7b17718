"""Audio dropped in a channel that an admin has switched on is answered without being asked about."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import discord
from discord.ext import commands

from bot.jobs.request import JobRequest, ReplyCapabilities
from bot.jobs.sources import dropped_items
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS, ChannelDelivery
from bot.ui.permissions import capabilities, in_channel, missing, notice

if TYPE_CHECKING:
    from bot.client import GenreGenie

log = logging.getLogger(__name__)

LISTENING: Final = "\N{EAR}"
FAILURES: Final = (discord.HTTPException, *NETWORK_ERRORS)


class Autoscan(commands.Cog):
    """Listens where it is switched on."""

    def __init__(self, bot: "GenreGenie") -> None:
        self.bot = bot
        self.jobs = bot.jobs
        self._answering: dict[int, asyncio.Task[None]] = {}

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Answer a message with audio."""
        if message.guild is None or message.author.bot or message.webhook_id is not None:
            return
        channel = message.channel
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        if not self.jobs.store.listens(channel.id, parent):
            return
        locale = self.jobs.public_locale(message.guild.id, message.guild.preferred_locale.value)
        items = dropped_items(message, locale)
        if not items or not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
            return
        permissions = in_channel(channel)
        silent = missing(permissions, ("view_channel", "send_messages"))
        if silent:
            await self._tell_author(
                message, self.jobs.once(channel.id, ReplyCapabilities(notice=notice(silent, locale)))
            )
            return
        ask = JobRequest(
            "dropped",
            message.author.id,
            message.guild.id,
            False,
            locale,
            items,
            capabilities=self.jobs.once(channel.id, capabilities(permissions, locale)),
        )
        reacts = permissions.add_reactions and permissions.read_message_history
        task = self.jobs.start(self._answer(message, ask, reacts=reacts, quotes=permissions.read_message_history))
        self._answering[message.id] = task
        task.add_done_callback(lambda _: self._answering.pop(message.id, None))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """Stop listening to what was taken back."""
        task = self._answering.get(payload.message_id)
        if task is not None:
            task.cancel()

    async def _answer(self, message: discord.Message, ask: JobRequest, *, reacts: bool, quotes: bool) -> None:
        reaction = asyncio.create_task(_react(message)) if reacts else None
        try:
            under = message if quotes else None
            await self.jobs.answer(ask, ChannelDelivery(message.channel, nonce=message.id, under=under))
        finally:
            if reaction is not None and await reaction and self.bot.user is not None:
                with contextlib.suppress(*FAILURES):
                    await message.remove_reaction(LISTENING, self.bot.user)

    async def _tell_author(self, message: discord.Message, capabilities: ReplyCapabilities) -> None:
        """Say what is lacking to the one who can do something with it: in the channel, nobody would see it."""
        if capabilities.notice:
            with contextlib.suppress(*FAILURES):
                await message.author.send(capabilities.notice, allowed_mentions=NO_MENTIONS)


async def _react(message: discord.Message) -> bool:
    try:
        await message.add_reaction(LISTENING)
    except FAILURES:
        return False
    return True
