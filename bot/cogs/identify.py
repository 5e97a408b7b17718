"""`/genre` and the message command."""

import asyncio
from typing import Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.jobs.discord_files import DiscordFiles
from bot.jobs.links import pasted_link
from bot.jobs.request import JobRequest, RequestKind
from bot.jobs.sources import FoundSongs, attachment_song, has_links, has_songs, link_song, message_songs
from bot.services import BotServices
from bot.ui.delivery import NETWORK_ERRORS, InteractionDelivery
from bot.ui.gate import links_refusal
from bot.ui.interactions import Interaction, reply_place, send_private
from bot.ui.translator import phrase
from core.i18n.catalog import translate

REPLIED_TO_WITHIN_S: Final = 1.5
"""How long looking up a message may take: Discord wants an acknowledgement within three seconds."""


class Identify(commands.Cog):
    """Answers those who ask.

    Args:
        bot: whose tree gets the message command.
        services: where requests go.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._bot = bot
        self._services = services
        self._files = DiscordFiles(bot.http, services.settings.allowed_hosts)
        self._menu = app_commands.ContextMenu(name=phrase("identify.name"), callback=self.identify)
        self._menu.allowed_contexts = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)
        self._menu.allowed_installs = app_commands.AppInstallationType(guild=True, user=True)

    async def cog_load(self) -> None:
        """Add the message command, which a cog does not add by itself."""
        self._bot.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        """Take the message command away."""
        self._bot.tree.remove_command(self._menu.name, type=self._menu.type)

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
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def genre(
        self,
        interaction: Interaction,
        file: discord.Attachment | None = None,
        link: app_commands.Range[str, 1, 2000] | None = None,
        whole: bool = False,
        private: bool = False,
    ) -> None:
        """Identify the genre of a file or a link."""
        own = interaction.locale.value
        url = pasted_link(link or "")
        if (file is None) == (link is None):
            await send_private(interaction, translate("bot.one-of-two" if file else "bot.nothing-given", own))
        elif link is not None and (refusal := links_refusal(self._services, interaction.guild_id)):
            await send_private(interaction, translate(refusal, own))
        elif link is not None and url is None:
            await send_private(interaction, translate("bot.nothing-given", own))
        elif await self._services.acknowledge(interaction, private=private):
            locale = self._locale(interaction, private=private)
            song = attachment_song(file, locale) if file is not None else link_song(url or "")
            self._start(interaction, RequestKind.SLASH, FoundSongs((song,)), locale, private=private, whole=whole)

    async def identify(self, interaction: Interaction, message: discord.Message) -> None:
        """Identify the genre of what is in a message."""
        locale = self._locale(interaction, private=False)
        message = await _asked_about(message)
        refusal = links_refusal(self._services, interaction.guild_id)
        found = message_songs(message, locale, links=refusal is None)
        if found.songs:
            if await self._services.acknowledge(interaction):
                self._start(interaction, RequestKind.MENU, found, locale, songs_id=message.id)
            return
        key = refusal if refusal is not None and has_links(message) else "bot.nothing-to-hear"
        await send_private(interaction, translate(key, interaction.locale.value))

    def _start(
        self,
        interaction: Interaction,
        kind: RequestKind,
        found: FoundSongs,
        locale: str,
        *,
        private: bool = False,
        whole: bool = False,
        songs_id: int | None = None,
    ) -> None:
        services = self._services
        found = self._files.with_files(found)
        request = JobRequest(
            kind,
            interaction.user.id,
            interaction.guild_id,
            private,
            locale,
            found.songs,
            whole=whole,
            left_out=found.left_out,
            capabilities=services.notices.interaction_capabilities(interaction, locale),
            place=reply_place(interaction),
            own_locale=interaction.locale.value,
            songs_id=songs_id,
        )
        services.jobs.start_answer(request, services.respond(InteractionDelivery(interaction, private=private)))

    def _locale(self, interaction: Interaction, *, private: bool) -> str:
        own = interaction.locale.value
        if private or interaction.guild_id is None:
            return own
        preferred = (interaction.guild_locale or interaction.locale).value
        return self._services.guilds.public_locale(interaction.guild_id, preferred)


async def _asked_about(message: discord.Message) -> discord.Message:
    """Find the message that is meant: the chosen one, or the one that it replies to if it has no song itself."""
    reference = message.reference
    if reference is None or reference.message_id is None or has_songs(message):
        return message
    # A forward refers to another channel, as a followed announcement does.
    if reference.type is not discord.MessageReferenceType.reply or reference.channel_id != message.channel.id:
        return message
    if reference.resolved is not None:
        return reference.resolved if isinstance(reference.resolved, discord.Message) else message
    # Discord's payload of an interaction may lack the message.
    try:
        async with asyncio.timeout(REPLIED_TO_WITHIN_S):
            return await message.channel.fetch_message(reference.message_id)
    except (discord.HTTPException, *NETWORK_ERRORS):
        return message
