"""Staying connected: a new client where discord.py gives one up, and an end where Discord will never take it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import aiohttp
import discord

from bot.client import GenreGenie
from core.errors import ConfigurationError
from core.i18n.catalog import translate

log = logging.getLogger(__name__)

RECONNECT_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FATAL_CLOSE_CODES: Final = {4004: "token", 4010: "shards", 4011: "shards", 4013: "intents"}


async def stay_connected(make_bot: Callable[[bool], GenreGenie], token: str, stop: asyncio.Event) -> GenreGenie:
    """Connect, and connect again with a new client where discord.py gives up, until `stop` is set.

    Args:
        make_bot: makes a client, given whether it may ask for message content.
        token: Discord's.
        stop: ends it.

    Returns:
        The client, still connected if it was, so that those whose jobs end with the bot can be told.

    Raises:
        ConfigurationError: Discord refuses the token, the shards or the intents.
    """
    message_content = True
    delays = iter(RECONNECT_S)
    while True:
        bot = make_bot(message_content)
        running = asyncio.create_task(bot.start(token))
        # Once we stop nobody asks what came of it: that it could not connect is no news for the log then.
        running.add_done_callback(lambda task: task.cancelled() or task.exception())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return bot
        stopping.cancel()
        if bot.is_ready():
            delays = iter(RECONNECT_S)
        error = running.exception()
        await bot.close()
        if isinstance(error, discord.PrivilegedIntentsRequired) and message_content:
            message_content = False
            log.warning("%s", translate("bot.start.no-intent"))
            continue
        if isinstance(error, discord.LoginFailure):
            raise ConfigurationError(translate("bot.start.bad-token"))
        if isinstance(error, discord.ConnectionClosed) and error.code in FATAL_CLOSE_CODES:
            raise ConfigurationError(translate(f"bot.start.bad-{FATAL_CLOSE_CODES[error.code]}"))
        delay = next(delays, RECONNECT_S[-1])
        unreachable = isinstance(error, OSError | TimeoutError | aiohttp.ClientError)
        what = "Discord cannot be reached" if unreachable else "Not connected"
        log.warning("%s (%s); trying again in %g s", what, type(error).__name__, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
        if stop.is_set():
            return bot
