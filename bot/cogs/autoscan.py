"""Songs that are answered without a command: in a channel where an admin has switched that on, and sent to the bot."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import discord
from discord.ext import commands

from bot.jobs.discord_files import DiscordFiles
from bot.jobs.request import JobRequest, ReplyCapabilities, ReplyPlace, RequestKind
from bot.jobs.sources import FoundSongs, autoscan_songs, has_links, message_songs
from bot.services import BotServices
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS, ChannelDelivery
from bot.ui.gate import links_refusal
from bot.ui.message import text_message
from bot.ui.permissions import FOR_QUIET, in_channel, missing, missing_notice
from bot.ui.reactions import ReactionResponder
from core.i18n.catalog import translate

log = logging.getLogger(__name__)

WORKING_EMOJI: Final = "\N{EAR}"
FAILURES: Final = (discord.HTTPException, *NETWORK_ERRORS)


class Autoscan(commands.Cog):
    """Answers messages with audio where it is switched on, and those that are sent to the bot itself.

    Args:
        bot: whose reaction shows that a message is being worked on.
        services: where requests go.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._bot = bot
        self._services = services
        self._files = DiscordFiles(bot.http, services.settings.allowed_hosts)
        self._answering: dict[int, asyncio.Task[None]] = {}
        """Message → the job about it."""

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Answer a message with audio."""
        await self.scan(message)

    async def scan(self, message: discord.Message, *, attempt: int = 0) -> None:
        """Answer a message with audio, where autoscan is on or in a direct conversation.

        Args:
            message: of anyone's.
            attempt: how often it was begun before a crash.
        """
        if message.author.bot or message.webhook_id is not None:
            return
        if not self._services.host.serves(message.author.id, message.guild.id if message.guild else None):
            return
        if message.guild is None:
            await self._answer_directly(message, attempt)
            return
        services = self._services
        if services.host.switches.maintenance:
            return
        channel = message.channel
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        options = services.guilds.listen_options(channel.id, parent)
        if options is None:
            return
        locale = services.guilds.public_locale(message.guild.id, message.guild.preferred_locale.value)
        links = options.links and links_refusal(services, message.guild.id) is None
        found = self._files.with_files(
            autoscan_songs(message, locale, audio=options.audio, video=options.video, links=links)
        )
        if not found.songs or not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
            return
        permissions = in_channel(channel)
        if cannot_answer := missing(permissions, FOR_QUIET if options.quiet else ("view_channel", "send_messages")):
            notice = services.notices.once(channel.id, missing_notice(cannot_answer, locale))
            await self._notify_author(message, notice)
            return
        if options.quiet:
            request = _request(message, found, locale, attempt, ReplyCapabilities())
            self._start(message, self._services.jobs.answer(request, ReactionResponder(message)))
            return
        capabilities = services.notices.capabilities(channel.id, permissions, locale)
        request = _request(message, found, locale, attempt, capabilities)
        can_reply = permissions.read_message_history
        can_react = permissions.add_reactions and permissions.read_message_history
        self._begin(message, request, can_react=can_react, can_reply=can_reply)

    async def _answer_directly(self, message: discord.Message, attempt: int) -> None:
        """Answer a song that is sent to the bot: to send it is to ask. No message says its author's language."""
        locale = await self._services.locales.of(message.author.id)
        refusal = links_refusal(self._services, None)
        found = self._files.with_files(message_songs(message, locale, links=refusal is None))
        if found.songs:
            request = _request(message, found, locale, attempt, ReplyCapabilities())
            self._begin(message, request, can_react=True, can_reply=True)
        elif refusal is not None and has_links(message):
            delivery = ChannelDelivery(message.channel, nonce=message.id, reply_to=message)
            await delivery.final(text_message(translate(refusal, locale)))

    def _begin(self, message: discord.Message, request: JobRequest, *, can_react: bool, can_reply: bool) -> None:
        self._start(message, self._answer(message, request, can_react=can_react, can_reply=can_reply))

    def _start(self, message: discord.Message, answer: Coroutine[Any, Any, None]) -> None:
        task = self._services.jobs.start(answer)
        self._answering[message.id] = task
        task.add_done_callback(lambda _: self._answering.pop(message.id, None))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """End the job about a message that was deleted."""
        self._end([payload.message_id])

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """End the jobs about messages that were deleted together, as a ban or a moderator's bot deletes them."""
        self._end(payload.message_ids)

    def _end(self, message_ids: Iterable[int]) -> None:
        for message_id in message_ids:
            task = self._answering.get(message_id)
            if task is not None:
                task.cancel()

    async def _answer(self, message: discord.Message, request: JobRequest, *, can_react: bool, can_reply: bool) -> None:
        reaction = asyncio.create_task(_react(message)) if can_react else None
        reply_to = message if can_reply else None
        delivery = ChannelDelivery(
            message.channel, nonce=message.id, reply_to=reply_to, quiet=message.guild is not None
        )
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


def _request(
    message: discord.Message, found: FoundSongs, locale: str, attempt: int, capabilities: ReplyCapabilities
) -> JobRequest:
    return JobRequest(
        RequestKind.AUTOSCAN if message.guild else RequestKind.DIRECT,
        message.author.id,
        message.guild.id if message.guild else None,
        False,
        locale,
        found.songs,
        left_out=found.left_out,
        capabilities=capabilities,
        place=ReplyPlace(message.channel.id, posted_id=message.id),
        attempt=attempt,
    )


async def _react(message: discord.Message) -> bool:
    try:
        await message.add_reaction(WORKING_EMOJI)
    except FAILURES:
        return False
    return True
