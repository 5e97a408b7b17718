"""The tree of slash and message commands: what fails in one becomes a sentence."""

import logging
from typing import Final

import discord
from discord import app_commands

from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS
from bot.ui.interactions import Interaction
from bot.ui.message import internal_error
from core.logging_setup import current_reference, new_reference

log = logging.getLogger(__name__)

ANSWERED: Final = "answered"
"""Key of `Interaction.extras` under which a cog notes that it has told the user of an error."""


class CommandTree(app_commands.CommandTree[discord.Client]):
    """The commands, and the answer where one fails."""

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Say that something went wrong, and put what into the log."""
        if interaction.extras.get(ANSWERED):
            return
        if current_reference.get() is None:
            current_reference.set(new_reference())
        if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
            log.warning("Discord has other commands than this release: %s", type(error).__name__)
        else:
            original = getattr(error, "original", error)
            log.error("A command failed", exc_info=original)
        text = internal_error(interaction.locale.value)
        try:
            if interaction.response.is_done():
                await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)
            else:
                await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
        except (discord.HTTPException, *NETWORK_ERRORS):
            log.warning("An error could not be reported to the member")
