"""`/top`: the genres that a server asks about most, or, for those who want it, they themselves."""

import time
from dataclasses import replace
from typing import Final, Literal

from discord import app_commands
from discord.ext import commands

from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.retention import DAY_S
from bot.ui.delivery import InteractionDelivery
from bot.ui.interactions import Interaction
from bot.ui.message import OutgoingMessage, internal_error, text_message
from bot.ui.permissions import FOR_PICTURES
from bot.ui.taste import OFF, ON, taste_view, top_message
from bot.ui.translator import phrase
from core.i18n.catalog import translate

SERVER: Final = "server"
ME: Final = "me"
MONTH: Final = "month"
EVER: Final = "ever"
MONTH_DAYS: Final = 30

_WHO = [app_commands.Choice(name=phrase(f"top.who.{who}"), value=who) for who in (SERVER, ME)]
_SINCE = [app_commands.Choice(name=phrase(f"top.since.{since}"), value=since) for since in (MONTH, EVER)]


class Top(commands.Cog):
    """Shows what is asked about.

    Args:
        services: the counts.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services

    @app_commands.command(name=phrase("top.name"), description=phrase("top.description"))
    @app_commands.rename(who=phrase("top.who.name"), since=phrase("top.since.name"))
    @app_commands.describe(who=phrase("top.who.description"), since=phrase("top.since.description"))
    @app_commands.choices(who=_WHO, since=_SINCE)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    @app_commands.allowed_installs(guilds=True, users=True)
    async def top(self, interaction: Interaction, who: str = SERVER, since: str = MONTH) -> None:
        """Show the server's genres to all, or a member's own to them alone."""
        services = self._services
        # Where the bot is no member nobody else has asked it anything.
        mine = who == ME or interaction.guild_id is None or not interaction.is_guild_integration()
        if not await services.acknowledge(interaction, private=mine):
            return
        own = interaction.locale.value
        preferred = (interaction.guild_locale or interaction.locale).value
        locale = own if mine else services.guilds.public_locale(interaction.guild_id, preferred)
        period: Literal["month", "ever"] = "ever" if since == EVER else "month"
        try:
            message = await self._message(interaction, period, locale, mine=mine)
        except StoreError:
            message = text_message(internal_error(own))
        capabilities = services.notices.interaction_capabilities(interaction, locale, FOR_PICTURES)
        await InteractionDelivery(interaction, private=mine).final(message.fitted(capabilities))

    async def _message(
        self, interaction: Interaction, period: Literal["month", "ever"], locale: str, *, mine: bool
    ) -> OutgoingMessage:
        tastes = self._services.tastes
        # Requests that are deleted sooner are not there to be counted.
        days = min(MONTH_DAYS, self._services.settings.retention_days)
        since = time.time() - days * DAY_S if period == MONTH else None
        title = translate(f"bot.top.{'me' if mine else 'server'}-{period}", locale, n=days)
        if not mine:
            return await top_message(title, await tastes.of_guild(interaction.guild_id or 0, since), locale)
        counts = await tastes.of_member(interaction.user.id, since)
        if counts is None:
            return replace(text_message(translate("bot.top.ask", locale)), view=taste_view(ON, locale))
        return replace(await top_message(title, counts, locale), view=taste_view(OFF, locale))
