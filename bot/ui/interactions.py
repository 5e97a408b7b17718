"""The first answer to an interaction: an acknowledgement within Discord's three seconds, or a sentence."""

import asyncio
import logging
import time
from typing import Final

import discord

from bot.monitoring import Metrics
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS

log = logging.getLogger(__name__)

Interaction = discord.Interaction[discord.Client]
"""What commands and buttons are given. Its client is any: `bot.services.services_of` gives what is behind it."""

ALREADY_ACKNOWLEDGED: Final = 40060
ACKNOWLEDGE_AT_ONCE: Final = 48
"""More at a time are no sooner done, and each would open a connection of its own: the loop would stand still."""


class Acknowledger:
    """Tells Discord that an answer will come, for a bounded number of interactions at a time.

    Args:
        metrics: counts how long it takes.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._at_once = asyncio.Semaphore(ACKNOWLEDGE_AT_ONCE)

    async def __call__(self, interaction: Interaction, *, private: bool = False, thinking: bool = True) -> bool:
        """Acknowledge an interaction; False when it came too late, and nobody waits.

        Args:
            interaction: just received.
            private: whether only its user may see the answer.
            thinking: show that an answer is on its way; a button's answer is a message of its own and needs none.
        """
        began = time.perf_counter()
        try:
            async with self._at_once:
                await interaction.response.defer(ephemeral=private, thinking=thinking)
        except (discord.HTTPException, discord.InteractionResponded, *NETWORK_ERRORS) as error:
            # Discord has taken an earlier attempt, and only its answer was lost.
            if not isinstance(error, discord.HTTPException) or error.code != ALREADY_ACKNOWLEDGED:
                log.warning("An interaction could not be acknowledged: %s", type(error).__name__)
                return False
        self._metrics.acknowledged.observe(time.perf_counter() - began)
        return True


async def send_private(interaction: Interaction, text: str) -> None:
    """Send a text that only the interaction's user sees."""
    if interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
    else:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
