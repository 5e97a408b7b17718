"""`/help`: the ten genres, how to ask, what admins can do, what is stored, and which release this is."""

import discord
from discord import app_commands
from discord.ext import commands

from bot.command_sync import CommandMentions
from bot.services import BotServices
from bot.ui.delivery import NO_MENTIONS
from bot.ui.interactions import Interaction
from bot.ui.translator import phrase
from core.constants import GENRES
from core.i18n.catalog import translate
from core.version import VERSION


class Help(commands.Cog):
    """Says what the bot is for, to whoever asks.

    Args:
        services: what acknowledges and knows the commands' ids.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services

    @app_commands.command(name=phrase("help.name"), description=phrase("help.description"))
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def help(self, interaction: Interaction) -> None:
        """Show it."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        mentions = await CommandMentions.read(self._services.meta)
        embed = help_embed(mentions, interaction.locale.value)
        await interaction.edit_original_response(embed=embed, allowed_mentions=NO_MENTIONS)


def help_embed(mentions: CommandMentions, locale: str) -> discord.Embed:
    """Make the page of `/help`, with the commands to click on."""
    genres = ", ".join(translate(f"genre.{genre}", locale) for genre in GENRES)
    embed = discord.Embed(title="GenreGenie", description=translate("bot.help.about", locale, genres=genres))
    embed.add_field(
        name=translate("bot.help.ask.title", locale),
        value=translate(
            "bot.help.ask",
            locale,
            genre=mentions.of("genre"),
            menu=translate("bot.command.identify.name", locale),
        ),
        inline=False,
    )
    embed.add_field(
        name=translate("bot.help.together.title", locale),
        value=translate(
            "bot.help.together",
            locale,
            guess=mentions.of("guess play"),
            compare=mentions.of("compare"),
            top=mentions.of("top"),
            like=translate("bot.button.like", locale),
        ),
        inline=False,
    )
    embed.add_field(
        name=translate("bot.help.admin.title", locale),
        value=translate(
            "bot.help.admin",
            locale,
            channel=mentions.of("genregenie channel on"),
            limits=mentions.of("genregenie limits"),
            links=mentions.of("genregenie links"),
            language=mentions.of("genregenie language"),
            stats=mentions.of("genregenie stats"),
        )
        + "\n"
        + translate(
            "bot.help.admin-more",
            locale,
            settings=mentions.of("genregenie show"),
            check=mentions.of("genregenie check"),
        ),
        inline=False,
    )
    embed.add_field(
        name=translate("bot.help.privacy.title", locale),
        value=translate("bot.help.privacy", locale, privacy=mentions.of("privacy")),
        inline=False,
    )
    embed.set_footer(text=translate("bot.help.version", locale, version=VERSION))
    return embed
