"""What `doctor` says of Discord and the database, and the invite link: all that needs the token but no gateway."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import discord
from discord.http import Route
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bot.settings import BotSettings
from bot.storage.engine import cause, check_known, current_schema, database_url, sqlite_file
from bot.ui.permissions import NEEDED
from core.doctor import Check, nearest_existing
from core.errors import ConfigurationError
from core.i18n.catalog import translate
from core.public_addresses import public_addresses
from core.settings import load_settings

LOGIN_S = 20.0


class _UnreachableError(ConfigurationError):
    """Discord does not answer, so nothing is known of the token."""


async def bot_checks() -> AsyncIterator[Check]:
    """Check token, intents and database; without a token nobody wants the bot, and nothing is missing.

    Raises:
        ConfigurationError: settings do not fit.
    """
    settings = load_settings(BotSettings)
    if settings.token is None:
        yield Check(True, translate("bot.doctor.no-token"), translate("bot.start.no-token"))
        return
    for check in await _discord_checks(settings):
        yield check
    yield await _database_check(settings)
    if public := public_addresses(settings.http_host):
        told = translate("bot.start.http-public", addresses=", ".join(public))
        yield Check(True, f"GENREGENIE_HTTP_HOST={settings.http_host}", told)


async def invite_link(settings: BotSettings) -> str:
    """Make the link that invites the bot.

    Raises:
        ConfigurationError: there is no token, Discord refuses it, or cannot be reached.
    """
    async with _logged_in(settings) as client:
        return discord.utils.oauth_url(
            client.application_id or 0, permissions=NEEDED, scopes=("bot", "applications.commands")
        )


async def _discord_checks(settings: BotSettings) -> list[Check]:
    try:
        async with _logged_in(settings) as client:
            name = str(client.user)
            flags = client.application_flags
    except _UnreachableError as error:
        return [Check(False, translate("bot.doctor.connection"), str(error))]
    except ConfigurationError as error:
        return [Check(False, translate("bot.doctor.token"), str(error))]
    granted = flags.gateway_message_content or flags.gateway_message_content_limited
    return [
        Check(True, translate("bot.doctor.token-of", name=name)),
        Check(
            True,
            translate("bot.doctor.intent" if granted else "bot.doctor.no-intent"),
            None if granted else translate("bot.doctor.intent-remedy"),
        ),
    ]


async def _database_check(settings: BotSettings) -> Check:
    """Look at the database without making, migrating or writing it."""
    reason = ""
    try:
        await _look_at_database(settings)
    except ConfigurationError as error:
        return Check(False, translate("bot.doctor.database"), str(error))
    except OSError as error:
        reason = error.strerror or "OSError"
    except SQLAlchemyError as error:
        reason = cause(error)
    if reason:
        return Check(False, translate("bot.doctor.database"), translate("bot.start.database-write", reason=reason))
    return Check(True, translate("bot.doctor.database"))


async def _look_at_database(settings: BotSettings) -> None:
    path = sqlite_file(settings)
    if path is not None:
        place = nearest_existing(path)
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if place != path.absolute():
            return  # the bot makes it when it starts
    try:
        engine = create_async_engine(database_url(settings))
    except (SQLAlchemyError, ImportError) as error:
        raise ConfigurationError(translate("bot.start.database-url", reason=type(error).__name__)) from None
    try:
        async with engine.connect() as connection:
            check_known(await connection.run_sync(current_schema))
    finally:
        await engine.dispose()


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
        raise _UnreachableError(translate("bot.start.no-discord")) from None
    try:
        yield client
    finally:
        await client.close()
