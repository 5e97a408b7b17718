"""The first answer to an interaction: an acknowledgement within Discord's three seconds, or a sentence."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import aiohttp
import discord

from bot.jobs.member_locales import MemberLocales
from bot.jobs.request import ReplyPlace
from bot.monitoring import Metrics
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS, TRY_AGAIN
from core.logging_setup import current_reference, new_reference

log = logging.getLogger(__name__)

Interaction = discord.Interaction[discord.Client]
"""What commands and buttons are given. Its client is any: `bot.services.services_of` gives what is behind it."""

Sent = TypeVar("Sent")

ALREADY_ACKNOWLEDGED: Final = 40060
TRY_AGAIN_WITHIN_S: Final = 2.5
"""A lost connection is tried again until then: Discord takes no acknowledgement after three seconds."""

TRY_AGAIN_S: Final = 0.1
MESSAGE_ID: Final = "message_id"
"""Key of `Interaction.extras` under which the id of the deferred reply is kept."""

ACKNOWLEDGED: Final = "acknowledged"
"""Key of `Interaction.extras` under which is noted that Discord has an acknowledgement whose answer was lost."""

ACKNOWLEDGE_AT_ONCE: Final = 48
"""More at a time are no sooner done, and each would open a connection of its own: the loop would stand still."""


class Acknowledger:
    """Tells Discord that an answer will come, for a bounded number of interactions at a time.

    Args:
        metrics: counts how long it takes.
        locales: notes in which language a member uses Discord.
    """

    def __init__(self, metrics: Metrics, locales: MemberLocales) -> None:
        self._metrics = metrics
        self._locales = locales
        self._at_once = asyncio.Semaphore(ACKNOWLEDGE_AT_ONCE)

    async def __call__(self, interaction: Interaction, *, private: bool = False, thinking: bool = True) -> bool:
        """Acknowledge an interaction; False when it came too late, and nobody waits.

        Args:
            interaction: just received.
            private: whether only its user may see the answer.
            thinking: show that an answer is on its way; a button's answer is a message of its own and needs none.
        """
        if current_reference.get() is None:  # a button's: commands have theirs
            current_reference.set(new_reference())
        self._locales.note(interaction.user.id, interaction.locale.value)
        began = time.perf_counter()
        try:
            async with self._at_once:
                deferred = await _in_time(lambda: interaction.response.defer(ephemeral=private, thinking=thinking))
        except (discord.HTTPException, discord.InteractionResponded, *NETWORK_ERRORS) as error:
            log.warning("An interaction could not be acknowledged: %s", type(error).__name__)
            return False
        if deferred is None:
            await _acknowledged_before(interaction)
        elif deferred.message_id is not None:
            interaction.extras[MESSAGE_ID] = deferred.message_id
        self._metrics.acknowledged.observe(time.perf_counter() - began)
        return True


async def _acknowledged_before(interaction: Interaction) -> None:
    """Note what the library does not know of an acknowledgement whose answer was lost: it is there, and its message."""
    interaction.extras[ACKNOWLEDGED] = True
    if interaction.type is not discord.InteractionType.application_command:
        return  # the message with the button is known
    try:
        interaction.extras[MESSAGE_ID] = (await interaction.original_response()).id
    except (discord.HTTPException, discord.ClientException, *NETWORK_ERRORS) as error:
        log.warning("The message of an acknowledgement is not known: %s", type(error).__name__)


def is_acknowledged(interaction: Interaction) -> bool:
    """Whether Discord has an interaction's first answer."""
    return interaction.response.is_done() or bool(interaction.extras.get(ACKNOWLEDGED))


async def send_private(interaction: Interaction, text: str) -> None:
    """Send a text that only the interaction's user sees."""
    if is_acknowledged(interaction):
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
    else:
        send = interaction.response.send_message
        await _in_time(lambda: send(text, ephemeral=True, allowed_mentions=NO_MENTIONS))


def reply_place(interaction: Interaction) -> ReplyPlace:
    """Say where the reply to an interaction is that was acknowledged: a message of its own, or the button's."""
    button = interaction.message.id if interaction.message else None
    return ReplyPlace(interaction.channel_id or 0, interaction.token, interaction.extras.get(MESSAGE_ID, button))


async def _in_time(send: Callable[[], Awaitable[Sent]]) -> Sent | None:
    """Send an interaction's first answer, again where it or a proxy failed; None where Discord had it already."""
    deadline = time.monotonic() + TRY_AGAIN_WITHIN_S
    while True:
        try:
            return await send()
        except discord.HTTPException as error:
            # Discord has taken an earlier attempt, and only its answer was lost.
            if error.code == ALREADY_ACKNOWLEDGED:
                return None
            if error.status not in TRY_AGAIN or time.monotonic() + TRY_AGAIN_S > deadline:
                raise
            await asyncio.sleep(TRY_AGAIN_S)
        except (aiohttp.ClientError, OSError, TimeoutError):
            if time.monotonic() + TRY_AGAIN_S > deadline:
                raise
            await asyncio.sleep(TRY_AGAIN_S)
