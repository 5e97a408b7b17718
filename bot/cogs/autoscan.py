"""Autoscan: audio posted in a channel where an admin has switched it on is answered without being asked about."""

import asyncio
import contextlib
import logging
from typing import Final

import discord
from discord.ext import commands

from bot.jobs.request import JobRequest, ReplyPlace, RequestKind
from bot.jobs.sources import autoscan_songs
from bot.services import BotServices
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS, ChannelDelivery
from bot.ui.permissions import in_channel, missing, missing_notice

log = logging.getLogger(__name__)

WORKING_EMOJI: Final = "\N{EAR}"
FAILURES: Final = (discord.HTTPException, *NETWORK_ERRORS)


class Autoscan(commands.Cog):
    """Answers messages with audio where it is switched on.

    Args:
        bot: whose reaction shows that a message is being worked on.
        services: where requests go.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._bot = bot
        self._services = services
        self._answering: dict[int, asyncio.Task[None]] = {}
        """Message → the job about it."""

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Answer a message with audio."""
        await self.scan(message)

    async def scan(self, message: discord.Message, *, attempt: int = 0) -> None:
        """Answer a message with audio where autoscan is on.

        Args:
            message: of anyone's.
            attempt: how often it was begun before a crash.
        """
        if message.guild is None or message.author.bot or message.webhook_id is not None:
            return
        services = self._services
        channel = message.channel
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        if not services.guilds.autoscan_is_on(channel.id, parent):
            return
        locale = services.guilds.public_locale(message.guild.id, message.guild.preferred_locale.value)
        found = autoscan_songs(message, locale)
        if not found.songs or not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
            return
        permissions = in_channel(channel)
        if cannot_send := missing(permissions, ("view_channel", "send_messages")):
            notice = services.notices.once(channel.id, missing_notice(cannot_send, locale))
            await self._notify_author(message, notice)
            return
        request = JobRequest(
            RequestKind.AUTOSCAN,
            message.author.id,
            message.guild.id,
            False,
            locale,
            found.songs,
            left_out=found.left_out,
            capabilities=services.notices.capabilities(channel.id, permissions, locale),
            place=ReplyPlace(channel.id, posted_id=message.id),
            attempt=attempt,
        )
        can_reply = permissions.read_message_history
        can_react = permissions.add_reactions and permissions.read_message_history
        task = services.jobs.start(self._answer(message, request, can_react=can_react, can_reply=can_reply))
        self._answering[message.id] = task
        task.add_done_callback(lambda _: self._answering.pop(message.id, None))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """End the job about a message that was deleted."""
        task = self._answering.get(payload.message_id)
        if task is not None:
            task.cancel()

    async def _answer(self, message: discord.Message, request: JobRequest, *, can_react: bool, can_reply: bool) -> None:
        reaction = asyncio.create_task(_react(message)) if can_react else None
        reply_to = message if can_reply else None
        delivery = ChannelDelivery(message.channel, nonce=message.id, reply_to=reply_to, quiet=True)
        try:
            await self._services.jobs.answer(request, self._services.respond(delivery))
        finally:
            if reaction is not None and await reaction and self._bot.user is not None:
                with contextlib.suppress(*FAILURES):
                    await message.remove_reaction(WORKING_EMOJI, self._bot.user)

    async def _notify_author(self, message: discord.Message, notice: str | None) -> None:
        """Say what is missing to the one who can do something about it: in the channel, nobody would see it."""
        if notice:
            with contextlib.suppress(*FAILURES):
                await message.author.send(notice, allowed_mentions=NO_MENTIONS)


async def _react(message: discord.Message) -> bool:
    try:
        await message.add_reaction(WORKING_EMOJI)
    except FAILURES:
        return False
    return True
