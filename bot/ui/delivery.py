"""How an answer reaches Discord: by an interaction's token while it lives, else in the channel.

discord.py waits and tries again by itself on 429 and 5xx, a few times; what is here goes on from there, and gives
up what Discord refuses: the picture first, then the embed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import discord

from bot.ui.message import OutgoingMessage
from core.errors import ErrorCode

log = logging.getLogger(__name__)

NO_MENTIONS: Final = discord.AllowedMentions.none()
RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

TRY_AGAIN: Final = (408, 429)
"""Statuses that say nothing of a message: a REST proxy's own too, where Discord is slow or a node of it is gone."""

FAILED_EMOJI: Final = {
    ErrorCode.BUSY: "\N{HOURGLASS WITH FLOWING SAND}",
    ErrorCode.COOLDOWN: "\N{HOURGLASS WITH FLOWING SAND}",
    ErrorCode.TIMEOUT: "\N{HOURGLASS WITH FLOWING SAND}",
    ErrorCode.INTERNAL: "\N{CROSS MARK}",
}
"""Reactions to posted audio that was not classified for no fault of its own; of all else there is nothing to see."""

UNKNOWN_CHANNEL: Final = 10003
UNKNOWN_MESSAGE: Final = 10008
UNKNOWN_WEBHOOK: Final = 10015
UNKNOWN_INTERACTION: Final = 10062
INVALID_TOKEN: Final = 50027
TOKEN_IS_GONE: Final = (UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION, INVALID_TOKEN)

Channel = discord.abc.Messageable
NETWORK_ERRORS: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError, discord.DiscordServerError)


class _TokenGoneError(Exception):
    """The interaction's token has expired."""


class Delivery(Protocol):
    """Where one request's progress and answer go.

    Attributes:
        shows_progress: whether `progress` shows anything.
    """

    shows_progress: bool

    async def progress(self, message: OutgoingMessage) -> None:
        """Show how far the job is; nothing is lost if that fails."""

    async def final(self, message: OutgoingMessage) -> bool:
        """Deliver the answer; False when there is nowhere left to deliver it."""

    async def failed(self, message: OutgoingMessage, code: ErrorCode | None, *, beside: bool = False) -> bool:
        """Deliver why there is no answer, to the asker only; False when it cannot be delivered.

        Args:
            message: the sentences.
            code: the first error's.
            beside: there is an answer too, about other songs: it stays.
        """


@dataclass(frozen=True, slots=True)
class FormerAnswer:
    """The answer that a message has until another takes its place; its embeds stay as they are meanwhile.

    Attributes:
        content: its text: all of it where embeds may not be sent, else what stands above the embed.
        view: its buttons.
        covered: whether the message shows something in their place already.
    """

    content: str | None
    view: discord.ui.View
    covered: bool = False


class InteractionDelivery:
    """Answers an interaction that was deferred: in its reply, or in the message that carries the button.

    Args:
        interaction: deferred already.
        private: whether only its user may see the answer.
        follow_up: a message of its own instead, for what is not about the message with the button.
        former: the answer that the message has, which stays where there is no new one.
    """

    shows_progress = True

    def __init__(
        self,
        interaction: discord.Interaction[discord.Client],
        *,
        private: bool,
        follow_up: bool = False,
        former: FormerAnswer | None = None,
    ) -> None:
        self._interaction = interaction
        self._private = private
        self._message_id: int | None = interaction.message.id if interaction.message and not follow_up else None
        self._follow_up = follow_up
        self._former = former
        self._covered = former is not None and former.covered

    async def progress(self, message: OutgoingMessage) -> None:
        """Edit the message's text and buttons; a failure is passed over."""
        # First: it may be shown though nothing comes back that says so.
        self._covered = True
        with contextlib.suppress(discord.HTTPException, *NETWORK_ERRORS):
            shown = await self._interaction.edit_original_response(
                content=message.content, view=message.view, allowed_mentions=NO_MENTIONS
            )
            self._message_id = shown.id

    async def final(self, message: OutgoingMessage) -> bool:
        """Edit the message; in the channel or, a private one, by direct message when the token is gone."""
        try:
            return await _deliver(message, self._show_final)
        except _TokenGoneError:
            pass
        return await self._send_elsewhere(message)

    async def failed(self, message: OutgoingMessage, code: ErrorCode | None, *, beside: bool = False) -> bool:
        """Put back what the message showed before, or take it away, and tell the asker alone."""
        if self._private and self._former is None and not beside:
            return await self.final(message)
        if self._former is not None or not beside:
            await self._put_back()
        alone = InteractionDelivery(self._interaction, private=True, follow_up=True)
        return await alone.final(message)

    async def _put_back(self) -> None:
        """Put the former answer back where progress covers it, or take progress away."""
        try:
            if self._former is None:
                await self._interaction.delete_original_response()
            elif self._covered:
                await self._interaction.edit_original_response(
                    content=self._former.content, view=self._former.view, allowed_mentions=NO_MENTIONS
                )
        except (discord.HTTPException, *NETWORK_ERRORS) as error:
            log.info("A message could not be put back: %s", type(error).__name__)
            if isinstance(error, discord.HTTPException) and _token_is_gone(error):
                await self._put_back_in_channel()

    async def _put_back_in_channel(self) -> None:
        """Do so without the token: nobody else's message it is but the bot's own, unless only its asker sees it."""
        channel: Any = self._interaction.channel
        if self._private or self._message_id is None or channel is None:
            return
        shown = channel.get_partial_message(self._message_id)
        with contextlib.suppress(discord.HTTPException, *NETWORK_ERRORS):
            if self._former is None:
                await shown.delete()
            elif self._covered:
                await shown.edit(content=self._former.content, view=self._former.view, allowed_mentions=NO_MENTIONS)

    async def _show_final(self, message: OutgoingMessage) -> None:
        try:
            await self._show(message)
        except discord.HTTPException as error:
            if _token_is_gone(error):
                raise _TokenGoneError from None
            raise

    async def _show(self, message: OutgoingMessage) -> None:
        if self._follow_up:
            await self._interaction.followup.send(
                content=message.content or discord.utils.MISSING,
                embeds=list(message.embeds),
                files=message.files(),
                view=message.view or discord.utils.MISSING,
                ephemeral=self._private,
                allowed_mentions=NO_MENTIONS,
                wait=True,
            )
            return
        shown = await self._interaction.edit_original_response(
            content=message.content,
            embeds=list(message.embeds),
            attachments=message.files(),
            view=message.view,
            allowed_mentions=NO_MENTIONS,
        )
        self._message_id = shown.id

    async def _send_elsewhere(self, message: OutgoingMessage) -> bool:
        if self._private:
            try:
                channel: Any = await self._interaction.user.create_dm()
            except (discord.HTTPException, *NETWORK_ERRORS):
                return False
        else:
            channel = self._interaction.channel
            if channel is None:
                return False
        delivered = await ChannelDelivery(channel, nonce=self._interaction.id).final(message)
        await self._put_back_in_channel()
        return delivered


class ChannelDelivery:
    """Answers with a message in a channel, as a reply to the one that asked where there is one.

    Args:
        channel: to send to.
        nonce: the same for every attempt, so that Discord takes only one of them.
        reply_to: the message that asked.
        quiet: nobody has asked: what fails is shown by a reaction to the message, if at all.
    """

    shows_progress = False

    def __init__(
        self, channel: Channel, *, nonce: int, reply_to: discord.Message | None = None, quiet: bool = False
    ) -> None:
        self._channel = channel
        self._nonce = nonce
        self._reply_to = reply_to
        self._quiet = quiet

    async def progress(self, message: OutgoingMessage) -> None:
        """Show nothing: a channel is not filled with progress."""

    async def final(self, message: OutgoingMessage) -> bool:
        """Send the answer."""
        return await _deliver(message, self._send)

    async def failed(self, message: OutgoingMessage, code: ErrorCode | None, *, beside: bool = False) -> bool:
        """React at most where nobody has asked; else say it."""
        if not self._quiet:
            return await self.final(message)
        emoji = FAILED_EMOJI.get(code) if code is not None else None
        if emoji is not None and self._reply_to is not None and not beside:
            with contextlib.suppress(discord.HTTPException, *NETWORK_ERRORS):
                await self._reply_to.add_reaction(emoji)
        return True

    async def _send(self, message: OutgoingMessage) -> None:
        options: dict[str, Any] = {}
        if self._reply_to is not None:
            options["reference"] = self._reply_to.to_reference(fail_if_not_exists=False)
            options["mention_author"] = False
        if message.view is not None:
            options["view"] = message.view
        await self._channel.send(
            content=message.content,
            embeds=list(message.embeds),
            files=message.files(),
            nonce=self._nonce,
            allowed_mentions=NO_MENTIONS,
            **options,
        )


def _token_is_gone(error: discord.HTTPException) -> bool:
    """Whether an interaction's token has expired: Discord says it, since this machine's clock may be wrong."""
    return error.code in TOKEN_IS_GONE or error.status == 401


async def _deliver(message: OutgoingMessage, send: Callable[[OutgoingMessage], Awaitable[None]]) -> bool:
    """Try until it is there, with less where Discord wants less; False when it cannot be."""
    smaller = [message.without_pictures()] if message.pictures else []
    smaller_forms = iter([*smaller, message.as_text()] if message.embeds else [])
    for seconds in (*RETRY_SECONDS, None):
        while True:
            try:
                await send(message)
                return True
            except NETWORK_ERRORS as error:
                log.warning("Discord did not take an answer: %s", type(error).__name__)
                break
            except discord.HTTPException as error:
                if error.status in TRY_AGAIN:
                    break
                if error.code in (UNKNOWN_MESSAGE, UNKNOWN_CHANNEL):
                    return False
                less = next(smaller_forms, None)
                if less is None:
                    log.warning("Discord refused an answer: status %s, code %s", error.status, error.code)
                    return False
                message = less
        if seconds is not None:
            await asyncio.sleep(seconds)
    return False
