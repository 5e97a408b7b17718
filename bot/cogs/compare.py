"""`/compare`: two songs side by side."""

import discord
from discord import app_commands
from discord.ext import commands

from bot.jobs.discord_files import DiscordFiles
from bot.jobs.links import pasted_link
from bot.jobs.request import JobRequest, RequestKind, Song
from bot.jobs.sources import FoundSongs, attachment_song, link_song
from bot.services import BotServices
from bot.ui.delivery import InteractionDelivery
from bot.ui.gate import links_refusal
from bot.ui.interactions import Interaction, reply_place, send_private
from bot.ui.permissions import FOR_PICTURES
from bot.ui.translator import phrase
from core.i18n.catalog import translate


class Compare(commands.Cog):
    """Compares two songs.

    Args:
        bot: its way to Discord's files.
        services: where requests go.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._services = services
        self._files = DiscordFiles(bot.http, services.settings.allowed_hosts)

    @app_commands.command(name=phrase("compare.name"), description=phrase("compare.description"))
    @app_commands.rename(
        first=phrase("compare.first.name"),
        second=phrase("compare.second.name"),
        first_link=phrase("compare.first-link.name"),
        second_link=phrase("compare.second-link.name"),
    )
    @app_commands.describe(
        first=phrase("compare.first.description"),
        second=phrase("compare.second.description"),
        first_link=phrase("compare.first-link.description"),
        second_link=phrase("compare.second-link.description"),
    )
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def compare(
        self,
        interaction: Interaction,
        first: discord.Attachment | None = None,
        second: discord.Attachment | None = None,
        first_link: app_commands.Range[str, 1, 2000] | None = None,
        second_link: app_commands.Range[str, 1, 2000] | None = None,
    ) -> None:
        """Compare two files or links."""
        own, services = interaction.locale.value, self._services
        preferred = (interaction.guild_locale or interaction.locale).value
        guild_id = interaction.guild_id
        locale = services.guilds.public_locale(guild_id, preferred) if guild_id is not None else own
        songs = _songs((first, first_link, second, second_link), locale)
        if songs is None:
            await send_private(interaction, translate("bot.compare.two", own))
        elif (first_link or second_link) and (refusal := links_refusal(services, guild_id)):
            await send_private(interaction, translate(refusal, own))
        elif await services.acknowledge(interaction):
            found = self._files.with_files(FoundSongs(songs))
            request = JobRequest(
                RequestKind.COMPARE,
                interaction.user.id,
                guild_id,
                False,
                locale,
                found.songs,
                capabilities=services.notices.interaction_capabilities(interaction, locale, FOR_PICTURES),
                place=reply_place(interaction),
                own_locale=own,
            )
            services.jobs.start_answer(request, services.respond(InteractionDelivery(interaction, private=False)))


def _songs(given: tuple[discord.Attachment | str | None, ...], locale: str) -> tuple[Song, ...] | None:
    """Songs of what was given, in its order; None where that is not two."""
    songs = []
    for source in given:
        if isinstance(source, discord.Attachment):
            songs.append(attachment_song(source, locale))
        elif source is not None:
            url = pasted_link(source)
            if url is None:
                return None
            songs.append(link_song(url))
    return tuple(songs) if len(songs) == 2 else None
