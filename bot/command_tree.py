"""The tree of slash and message commands: what fails in one becomes a sentence."""

import logging
from typing import Any, Final

import discord
from discord import app_commands

from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS
from bot.ui.gate import let_in
from bot.ui.interactions import Interaction, is_acknowledged
from bot.ui.message import internal_error
from core.logging_setup import current_reference, new_reference

log = logging.getLogger(__name__)

ANSWERED: Final = "answered"
"""Key of `Interaction.extras` under which a cog notes that it has told the user of an error."""

FOR_EVERYONE: Final = ("privacy", "owner")
"""Commands that are not the host's to refuse, or that it uses to let itself in again."""


class CommandTree(app_commands.CommandTree[discord.Client]):
    """The commands, and the answer where one fails."""

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Refuse, unseen by others, those whom the host does not serve; their data they can read and delete still."""
        current_reference.set(new_reference())
        data: Any = interaction.data or {}
        return data.get("name") in FOR_EVERYONE or await let_in(interaction)

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Say that something went wrong, and put what into the log."""
        if interaction.extras.get(ANSWERED):
            return
        if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
            log.warning("Discord has other commands than this release: %s", type(error).__name__)
        else:
            original = getattr(error, "original", error)
            log.error("A command failed", exc_info=original)
        text = internal_error(interaction.locale.value)
        try:
            if is_acknowledged(interaction):
                await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)
            else:
                await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
        except (discord.HTTPException, *NETWORK_ERRORS):
            log.warning("An error could not be reported to the member")
