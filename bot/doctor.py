"""What `doctor` says of Discord and the database, and the invite link: all that needs the token but no gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import discord
from discord.http import Route

from bot.settings import BotSettings
from bot.storage.store import Store
from bot.ui.permissions import NEEDED
from core.doctor import Line
from core.errors import ConfigurationError
from core.i18n.catalog import translate

LOGIN_S = 20.0


async def doctor_lines(settings: BotSettings) -> list[Line]:
    """Check token, intents and database; without a token nobody wants the bot, and nothing is missing."""
    if settings.token is None:
        return [(True, translate("bot.doctor.no-token"), translate("bot.start.no-token"))]
    return [*await _discord_lines(settings), await _database_line(settings)]


async def invite_link(settings: BotSettings) -> str:
    """Make the link that invites the bot.

    Raises:
        ConfigurationError: there is no token, Discord refuses it, or cannot be reached.
    """
    async with _logged_in(settings) as client:
        return discord.utils.oauth_url(
            client.application_id or 0, permissions=NEEDED, scopes=("bot", "applications.commands")
        )


async def _discord_lines(settings: BotSettings) -> list[Line]:
    try:
        async with _logged_in(settings) as client:
            name = str(client.user)
            flags = client.application_flags
    except ConfigurationError as error:
        return [(False, translate("bot.doctor.token"), str(error))]
    granted = flags.gateway_message_content or flags.gateway_message_content_limited
    return [
        (True, translate("bot.doctor.token-of", name=name), None),
        (
            True,
            translate("bot.doctor.intent" if granted else "bot.doctor.no-intent"),
            None if granted else translate("bot.doctor.intent-remedy"),
        ),
    ]


async def _database_line(settings: BotSettings) -> Line:
    try:
        store = Store(settings)
        try:
            await store.open()
        finally:
            await store.close()
    except ConfigurationError as error:
        return False, translate("bot.doctor.database"), str(error)
    return True, translate("bot.doctor.database"), None


@asynccontextmanager
async def _logged_in(settings: BotSettings) -> AsyncIterator[discord.Client]:
    """Log in without connecting to the gateway."""
    token = settings.required_token()
    Route.BASE = settings.api_url
    client = discord.Client(intents=discord.Intents.none())
    try:
        async with asyncio.timeout(LOGIN_S):
            await client.login(token)
    except discord.LoginFailure:
        await client.close()
        raise ConfigurationError(translate("bot.start.bad-token")) from None
    except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError):
        await client.close()
        raise ConfigurationError(translate("bot.start.no-discord")) from None
    try:
        yield client
    finally:
        await client.close()
