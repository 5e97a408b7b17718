"""The bot: discord.py's client with the cogs, and what keeps it connected."""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import discord
import yarl
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.cogs.admin import Admin
from bot.cogs.autoscan import Autoscan
from bot.cogs.identify import Identify
from bot.jobs.service import JobService
from bot.monitoring import Metrics
from bot.settings import BotSettings
from bot.storage.store import StoreError
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS
from bot.ui.translator import PhraseTranslator
from bot.ui.views import DYNAMIC_ITEMS
from core.errors import ConfigurationError
from core.i18n.catalog import translate

log = logging.getLogger(__name__)

ALREADY_ACKNOWLEDGED: Final = 40060
SYNC_RETRY_S: Final = 60.0
SETTLE_S: Final = 10.0
ACKNOWLEDGE_AT_ONCE: Final = 48
"""More at a time are no sooner done, and each would open a connection of its own: the loop would stand still."""
RECONNECT_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FATAL_CLOSE_CODES: Final = {4004: "token", 4010: "shards", 4011: "shards", 4013: "intents"}
LAST_SYNC: Final = "commands"


def make_intents(*, message_content: bool) -> discord.Intents:
    """Give the intents that the bot uses; message content is the one that Discord has to be asked for."""
    intents = discord.Intents.none()
    intents.guilds = True
    intents.guild_messages = True
    intents.message_content = message_content
    return intents


class CommandTree(app_commands.CommandTree["GenreGenie"]):
    """The commands; what fails in one becomes a sentence."""

    async def on_error(
        self, interaction: discord.Interaction["GenreGenie"], error: app_commands.AppCommandError
    ) -> None:
        """Say that something went wrong, and what into the log."""
        if interaction.extras.get("told"):
            return
        if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
            log.warning("Discord has other commands than this release: %s", type(error).__name__)
        else:
            original = getattr(error, "original", error)
            log.error("A command failed", exc_info=original)
        text = translate("error.internal", interaction.locale.value)
        try:
            if interaction.response.is_done():
                await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)
            else:
                await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
        except (discord.HTTPException, *NETWORK_ERRORS):
            log.warning("The member could not be told")


class GenreGenie(commands.AutoShardedBot):
    """The client.

    Args:
        settings: Discord's addresses, shards, the test server.
        jobs: where requests go.
        metrics: counters.
        message_content: whether the intent may be asked for.
    """

    def __init__(
        self, settings: BotSettings, jobs: JobService, metrics: Metrics, *, message_content: bool = True
    ) -> None:
        Route.BASE = settings.api_url
        self._gateway = yarl.URL(settings.gateway_url) if settings.gateway_url else None
        if self._gateway is not None:
            DiscordWebSocket.DEFAULT_GATEWAY = self._gateway
        # discord.py tells "all shards" by their absence.
        shards: dict[str, Any] = {"shard_ids": settings.shard_ids} if settings.shard_ids else {}
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=CommandTree,
            intents=make_intents(message_content=message_content),
            shard_count=settings.shard_count,
            **shards,
            allowed_mentions=NO_MENTIONS,
            # Nothing here looks at members or old messages: memory for nothing.
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
        )
        self.settings = settings
        self.jobs = jobs
        self.metrics = metrics
        self.reads_messages = message_content
        self._background: set[asyncio.Task[None]] = set()
        self._acknowledging = asyncio.Semaphore(ACKNOWLEDGE_AT_ONCE)

    async def setup_hook(self) -> None:
        """Add the cogs and the buttons; commands are synced beside the connecting."""
        await self.tree.set_translator(PhraseTranslator())
        for cog in (Identify(self), Autoscan(self), Admin(self)):
            await self.add_cog(cog)
        self.add_dynamic_items(*DYNAMIC_ITEMS)
        if self.settings.shard_ids is None or 0 in self.settings.shard_ids:
            self._in_background(self._sync_commands())

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connect a shard, by the settings' own gateway where there is one."""
        await super().launch_shard(self._gateway or gateway, shard_id, initial=initial)

    async def close(self) -> None:
        """Disconnect."""
        for task in self._background:
            task.cancel()
        # discord.py closes a client that meets an event it cannot read; answers under way still need its session.
        await self.jobs.settle(SETTLE_S)
        await super().close()

    @property
    def connected(self) -> bool:
        """Whether all shards are."""
        return self.is_ready() and not self.is_closed() and all(not shard.is_closed() for shard in self.shards.values())

    async def acknowledge(
        self, interaction: discord.Interaction["GenreGenie"], *, private: bool = False, thinking: bool = True
    ) -> bool:
        """Tell Discord at once that an answer will come; False when it came too late, and nobody waits.

        A button's answer is a message of its own: without `thinking`, nothing shows that it is on its way.
        """
        began = time.perf_counter()
        try:
            async with self._acknowledging:
                await interaction.response.defer(ephemeral=private, thinking=thinking)
        except (discord.HTTPException, discord.InteractionResponded, *NETWORK_ERRORS) as error:
            # Discord has taken an earlier attempt, and only its answer was lost.
            if not isinstance(error, discord.HTTPException) or error.code != ALREADY_ACKNOWLEDGED:
                log.warning("An interaction could not be acknowledged: %s", type(error).__name__)
                return False
        self.metrics.acknowledged.observe(time.perf_counter() - began)
        return True

    async def on_message(self, message: discord.Message, /) -> None:
        """Leave messages to the cogs: there are no text commands."""

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Put what failed in an event into the log."""
        log.exception("An event failed: %s", event_method)

    async def on_ready(self) -> None:
        """Note which servers the bot is in: it may have been added or removed while it was away."""
        log.info("Ready: %d servers, %d shards", len(self.guilds), len(self.shards))
        await self._compare_guilds()

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """End a grace time that may have begun."""
        await self._try(self.jobs.store.guild_present([guild.id]))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Begin the grace time."""
        await self._try(self.jobs.store.guild_left(guild.id))

    async def _compare_guilds(self) -> None:
        try:
            known = await self.jobs.store.known_guilds()
            present = {guild.id for guild in self.guilds}
            await self.jobs.store.guild_present(list(present))
            for guild_id in known - present:
                if self._is_ours(guild_id):
                    await self.jobs.store.guild_left(guild_id)
        except StoreError:
            log.warning("The servers' data could not be compared")

    def _is_ours(self, guild_id: int) -> bool:
        """Whether a server belongs to one of this process's shards."""
        shard_ids = self.settings.shard_ids
        return shard_ids is None or (guild_id >> 22) % (self.shard_count or 1) in shard_ids

    async def _try(self, change: Any) -> None:  # noqa: ANN401
        try:
            await change
        except StoreError:
            log.warning("A change of servers was not saved")

    def _in_background(self, coroutine: Any) -> None:  # noqa: ANN401
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _sync_commands(self) -> None:
        """Send the commands to Discord if they are others than last time."""
        guild = discord.Object(self.settings.test_guild) if self.settings.test_guild else None
        if guild is not None:
            self.tree.copy_global_to(guild=guild)
        while True:
            try:
                await self._sync_if_changed(guild)
                return
            except (discord.HTTPException, *NETWORK_ERRORS, StoreError) as error:
                log.warning("The commands were not synced: %s", type(error).__name__)
            await asyncio.sleep(SYNC_RETRY_S)

    async def _sync_if_changed(self, guild: discord.Object | None) -> None:
        translator = self.tree.translator or PhraseTranslator()
        payload = [
            await command.get_translated_payload(self.tree, translator)
            for command in sorted(self.tree.get_commands(guild=guild), key=lambda command: command.name)
        ]
        described = json.dumps([self.application_id, guild.id if guild else None, payload], sort_keys=True)
        digest = hashlib.sha256(described.encode()).hexdigest()
        if await self.jobs.store.remembered(LAST_SYNC) == digest:
            return
        await self.tree.sync(guild=guild)
        await self.jobs.store.remember(LAST_SYNC, digest)
        log.info("Commands synced")


async def stay_connected(make_bot: Callable[[bool], GenreGenie], token: str, stop: asyncio.Event) -> GenreGenie:
    """Connect, and connect again with a new client where discord.py gives up, until `stop` is set.

    Args:
        make_bot: makes a client, given whether it may ask for message content.
        token: Discord's.
        stop: ends it.

    Returns:
        The client, still connected, for those who have to be told the end.

    Raises:
        ConfigurationError: Discord refuses the token, the shards or the intents.
    """
    message_content = True
    delays = iter(RECONNECT_S)
    while True:
        bot = make_bot(message_content)
        running = asyncio.create_task(bot.start(token))
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
        log.warning("Not connected (%s); trying again in %g s", type(error).__name__, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
