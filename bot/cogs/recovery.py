"""After a crash: what an earlier process left open is ended, or begun again where nobody has to ask.

So is what an earlier client of this process could not answer before it was closed.
"""

import asyncio
import contextlib
import logging
import time
from typing import Final

import discord
from discord.ext import commands, tasks

from bot.cogs.autoscan import FAILURES, WORKING_EMOJI, Autoscan
from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.open_requests import OpenRequest
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS, TOKEN_IS_GONE
from bot.ui.views import again_view, shows_progress
from core.i18n.catalog import translate
from core.logging_setup import current_reference

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
LOOK_AGAIN_S: Final = 15.0
RECENT_S: Final = 3_600.0
"""Audio that was posted longer ago is not answered any more: the talk has moved on."""

MOST_READ: Final = 100
"""Messages after the posted one among which an answer is looked for."""


class Recovery(commands.Cog):
    """Goes through the open requests that were left, each once.

    Args:
        bot: edits its messages.
        services: the open requests.
        autoscan: begins again with audio that was posted.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices, autoscan: Autoscan) -> None:
        self._bot = bot
        self._services = services
        self._autoscan = autoscan
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def cog_load(self) -> None:
        """Begin to look for what is left later."""
        self.look_again.start()

    async def cog_unload(self) -> None:
        """End that."""
        self.look_again.cancel()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """End what is open."""
        self._take()

    @tasks.loop(seconds=LOOK_AGAIN_S)
    async def look_again(self) -> None:
        """End what jobs of the client before have left since: they may take longer than it takes to connect anew."""
        if self._bot.is_ready():
            self._take()

    def _take(self) -> None:
        for left in self._services.open_requests.take_leftovers():
            self._services.jobs.start(self._end(left))

    async def _end(self, left: OpenRequest) -> None:
        current_reference.set(left.reference)
        async with self._at_once:
            try:
                if left.posted_id is not None:
                    await self._end_posted(left, left.posted_id)
                else:
                    await self._end_reply(left)
            except StoreError:
                log.warning("A request of the process before was not ended")

    async def _end_posted(self, left: OpenRequest, posted_id: int) -> None:
        """Take the reaction back, and answer the message if that was not done or tried before."""
        # First: audio that ends the process may end it only once more.
        await self._services.open_requests.delete(left.id or 0)
        with contextlib.suppress(*FAILURES):
            channel: object = self._bot.get_channel(left.channel_id)
            if channel is None and left.guild_id is None:
                channel = await self._bot.fetch_channel(left.channel_id)
            if not isinstance(channel, discord.abc.Messageable) or self._bot.user is None:
                return
            message = await channel.fetch_message(posted_id)
            with contextlib.suppress(discord.NotFound):
                await message.remove_reaction(WORKING_EMOJI, self._bot.user)
            if left.attempt or time.time() - left.asked_at > RECENT_S or await self._is_answered(channel, message):
                return
            await self._autoscan.scan(message, attempt=left.attempt + 1)

    async def _is_answered(self, channel: discord.abc.Messageable, posted: discord.Message) -> bool:
        async for message in channel.history(limit=MOST_READ, after=posted):
            reference = message.reference
            if message.author == self._bot.user and reference is not None and reference.message_id == posted.id:
                return True
        return False

    async def _end_reply(self, left: OpenRequest) -> None:
        """Put a sentence and the button that asks again in place of the progress, or say it where that can be said."""
        try:
            message = await self._message(left)
        except _UnreachableError:
            await self._services.open_requests.delete(left.id or 0)
            told = time.time() - left.asked_at < RECENT_S and await self._say_directly(left)
            log.warning("An interrupted private request was ended without its message; its asker was told: %s", told)
            return
        if message is None or not shows_progress(message):
            await self._services.open_requests.delete(left.id or 0)
            log.info("An interrupted request had its answer, or its message is gone")
            return
        await self._services.open_requests.interrupt(left.id or 0)
        try:
            await message.edit(
                content=translate("bot.interrupted", left.locale),
                view=again_view(str(left.id), left.locale),
                allowed_mentions=NO_MENTIONS,
            )
            log.info("An interrupted request was ended")
        except FAILURES as error:
            log.warning("An interrupted request could not be ended: %s", type(error).__name__)

    async def _message(self, left: OpenRequest) -> discord.Message | None:
        """Find the message with the progress: by the interaction's token while it lives, else in the channel.

        Raises:
            _UnreachableError: only its asker sees it, and it cannot be changed any more.
        """
        if left.message_id is None:
            return None
        expired = left.token is None
        if left.token is not None and self._bot.application_id is not None:
            webhook = discord.Webhook.partial(self._bot.application_id, left.token, client=self._bot)
            try:
                return await webhook.fetch_message(left.message_id)
            except discord.HTTPException as error:
                # Discord says when the token is gone; this machine's clock may be wrong.
                expired = error.code in TOKEN_IS_GONE or error.status == 401
            except NETWORK_ERRORS:
                pass
        if left.private:
            if expired:
                raise _UnreachableError
            return None
        channel = self._bot.get_partial_messageable(left.channel_id, guild_id=left.guild_id)
        with contextlib.suppress(*FAILURES):
            return await channel.fetch_message(left.message_id)
        return None

    async def _say_directly(self, left: OpenRequest) -> bool:
        """Tell the asker by direct message, as a private answer is delivered whose token is gone."""
        text = translate("bot.interrupted-private", left.locale, channel=f"<#{left.channel_id}>")
        try:
            channel = await self._bot.create_dm(discord.Object(left.user_id))
            await channel.send(text, allowed_mentions=NO_MENTIONS)
        except FAILURES:
            return False
        return True


class _UnreachableError(Exception):
    """A message that only its asker sees can no longer be changed: the interaction's token has expired."""
