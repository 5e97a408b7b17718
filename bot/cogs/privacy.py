"""`/privacy`: what is stored, said to everyone everywhere, with the button that deletes one's own."""

from discord import app_commands
from discord.ext import commands

from bot.command_tree import ANSWERED
from bot.services import BotServices
from bot.storage.database import StoreError
from bot.ui.delivery import NO_MENTIONS
from bot.ui.interactions import Interaction
from bot.ui.privacy import own_text
from bot.ui.translator import phrase
from core.i18n.catalog import translate


class Privacy(commands.Cog):
    """What members can read and delete themselves, in servers, in direct messages and wherever else commands go.

    Args:
        services: what acknowledges.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Say when the database failed; other errors are the tree's."""
        if isinstance(error, app_commands.CommandInvokeError) and isinstance(error.original, StoreError):
            text = translate("bot.admin.not-saved", interaction.locale.value)
            await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)
            interaction.extras[ANSWERED] = True

    @app_commands.command(name=phrase("own-privacy.name"), description=phrase("own-privacy.description"))
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def privacy(self, interaction: Interaction) -> None:
        """Say what is stored, and offer to delete what is stored of the one who asks."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        text, view = await own_text(interaction)
        await interaction.edit_original_response(content=text, view=view, allowed_mentions=NO_MENTIONS)
