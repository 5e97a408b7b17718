"""`/genre` and the message command."""

from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.jobs.request import JobRequest, Song
from bot.jobs.sources import attachment_item, has_links, link_item, message_items
from bot.ui.delivery import NO_MENTIONS, InteractionDelivery
from bot.ui.translator import phrase
from core.i18n.catalog import translate

if TYPE_CHECKING:
    from bot.client import GenreGenie

Interaction = discord.Interaction["GenreGenie"]


class Identify(commands.Cog):
    """Answers those who ask."""

    def __init__(self, bot: "GenreGenie") -> None:
        self.bot = bot
        self.jobs = bot.jobs
        self._menu = app_commands.ContextMenu(name=phrase("identify.name"), callback=self.identify)
        self._menu.allowed_contexts = app_commands.AppCommandContext(guild=True, dm_channel=True)
        self._menu.allowed_installs = app_commands.AppInstallationType(guild=True, user=False)

    async def cog_load(self) -> None:
        """Add the message command, which a cog does not add by itself."""
        self.bot.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        """Take the message command away."""
        self.bot.tree.remove_command(self._menu.name, type=self._menu.type)

    @app_commands.command(name=phrase("genre.name"), description=phrase("genre.description"))
    @app_commands.rename(
        file=phrase("genre.file.name"),
        link=phrase("genre.link.name"),
        whole=phrase("genre.whole.name"),
        private=phrase("genre.private.name"),
    )
    @app_commands.describe(
        file=phrase("genre.file.description"),
        link=phrase("genre.link.description"),
        whole=phrase("genre.whole.description"),
        private=phrase("genre.private.description"),
    )
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.allowed_installs(guilds=True, users=False)
    async def genre(
        self,
        interaction: Interaction,
        file: discord.Attachment | None = None,
        link: app_commands.Range[str, 1, 2000] | None = None,
        whole: bool = False,
        private: bool = False,
    ) -> None:
        """Say the genre of a file or a link."""
        own = interaction.locale.value
        if (file is None) == (link is None):
            await _refuse(interaction, translate("bot.one-of-two" if file else "bot.nothing-given", own))
        elif link is not None and not self._links(interaction):
            await _refuse(interaction, translate("bot.links-off", own))
        elif await self.bot.acknowledge(interaction, private=private):
            locale = self._locale(interaction, private)
            item = attachment_item(file, locale) if file is not None else link_item(link or "")
            self._ask(interaction, "slash", (item,), locale, private=private, whole=whole)

    async def identify(self, interaction: Interaction, message: discord.Message) -> None:
        """Say the genre of what is in a message."""
        locale = self._locale(interaction, private=False)
        items = message_items(message, locale, links=self._links(interaction))
        if items:
            if await self.bot.acknowledge(interaction):
                self._ask(interaction, "menu", items, locale)
            return
        key = "bot.links-off" if has_links(message) and not self._links(interaction) else "bot.nothing-to-hear"
        await _refuse(interaction, translate(key, interaction.locale.value))

    def _ask(
        self,
        interaction: Interaction,
        kind: str,
        items: tuple[Song, ...],
        locale: str,
        *,
        private: bool = False,
        whole: bool = False,
    ) -> None:
        ask = JobRequest(
            kind,
            interaction.user.id,
            interaction.guild_id,
            private,
            locale,
            items,
            whole=whole,
            capabilities=self.jobs.capabilities(interaction, locale),
        )
        self.jobs.start(self.jobs.answer(ask, InteractionDelivery(interaction, private=private)))

    def _locale(self, interaction: Interaction, private: bool) -> str:
        own = interaction.locale.value
        if private or interaction.guild_id is None:
            return own
        preferred = (interaction.guild_locale or interaction.locale).value
        return self.jobs.public_locale(interaction.guild_id, preferred)

    def _links(self, interaction: Interaction) -> bool:
        return self.jobs.store.guild(interaction.guild_id).links


async def _refuse(interaction: Interaction, text: str) -> None:
    await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
