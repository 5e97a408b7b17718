"""Servers that the bot joined or left while it was away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import aiohttp
import discord
import pytest
from discord.ext import commands

from bot.cogs.guilds import Guilds
from bot.jobs.member_locales import MemberLocales
from bot.jobs.records import RequestRecorder
from bot.jobs.service import JobService
from bot.monitoring import Metrics
from bot.releases import Releases
from bot.services import BotServices
from bot.settings import BotSettings
from bot.storage.guilds import GuildSettings, GuildStore
from bot.storage.retention import DAY_S
from bot.storage.stores import Stores
from bot.ui.interactions import Acknowledger
from bot.ui.owners import Owners
from bot.ui.permissions import PermissionNotices
from bot.ui.responder import DiscordResponder
from core.proxy.interface import Proxy
from core.service.admission import Admission
from core.service.fetcher import Fetcher
from core.service.identify import LocalIdentifier
from core.workers.pool import WorkerPool
from tests.bot.storage.rows import Clock, row

ON_SHARD_0, ALSO_ON_SHARD_0, ON_SHARD_1 = 2 << 22, 4 << 22, 1 << 22


@pytest.fixture
def settings(tmp_path: Path) -> BotSettings:
    values: dict[str, Any] = {"data_dir": tmp_path, "DISCORD_SHARDS": "0", "DISCORD_SHARD_COUNT": 2}
    return BotSettings(_env_file=None, **values)  # type: ignore[call-arg]


@pytest.fixture
async def stores(settings: BotSettings) -> AsyncIterator[Stores]:
    opened = Stores(settings)
    await opened.open()
    yield opened
    await opened.close()


def services(settings: BotSettings, stores: Stores) -> BotServices:
    metrics = Metrics()
    locales = MemberLocales(stores.requests)
    pool, admission = WorkerPool(settings), Admission(settings.limits, slots=1)
    jobs = JobService(
        settings,
        host=stores.host,
        guilds=stores.guilds,
        identifier=LocalIdentifier(settings, pool=pool),
        admission=admission,
        recorder=RequestRecorder(
            stores.requests, stores.open_requests, stores.neighbours, stores.corrections, metrics, locales
        ),
    )
    return BotServices(
        settings=settings,
        metrics=metrics,
        jobs=jobs,
        workers=lambda: (pool.ready_count, pool.busy_count),
        admission=admission,
        host=stores.host,
        owners=Owners(),
        guilds=stores.guilds,
        requests=stores.requests,
        results=stores.results,
        corrections=stores.corrections,
        open_requests=stores.open_requests,
        neighbours=stores.neighbours,
        games=stores.games,
        tastes=stores.tastes,
        fetcher=create_autospec(Fetcher, instance=True),
        retention=stores.retention,
        releases=Releases(settings, create_autospec(Proxy, instance=True), stores.meta),
        meta=stores.meta,
        locales=locales,
        acknowledge=Acknowledger(metrics, locales),
        notices=PermissionNotices(),
        respond=DiscordResponder,
    )


def bot_in(*guild_ids: int) -> commands.AutoShardedBot:
    bot: Any = create_autospec(commands.AutoShardedBot, instance=True)
    bot.guilds = [
        create_autospec(discord.Guild, instance=True, id=guild_id, unavailable=False) for guild_id in guild_ids
    ]
    bot.shards = {}
    bot.shard_count = 2
    return bot  # type: ignore[no-any-return]


async def test_at_start_servers_of_this_process_that_it_has_left_begin_their_grace_time(
    settings: BotSettings, stores: Stores
) -> None:
    for guild_id in (ON_SHARD_0, ALSO_ON_SHARD_0, ON_SHARD_1):
        await stores.guilds.save(GuildSettings(guild_id, "es"))
    await Guilds(bot_in(ON_SHARD_0), services(settings, stores)).on_ready()
    assert await stores.guilds.known_ids() == {ON_SHARD_0}
    of_shard_1 = GuildStore(stores.database, shard_count=2, shard_ids=[1])
    await of_shard_1.load()
    assert await of_shard_1.known_ids() == {ON_SHARD_1}, "another process has shard 1"
    assert of_shard_1.settings(ON_SHARD_1).language == "es"
    assert of_shard_1.settings(ON_SHARD_0).language is None, "each reads its own only"


async def test_at_start_a_server_that_it_is_in_again_ends_its_grace_time(settings: BotSettings, stores: Stores) -> None:
    await stores.guilds.save(GuildSettings(ON_SHARD_0, "es"))
    await stores.guilds.mark_left(ON_SHARD_0)
    await Guilds(bot_in(ON_SHARD_0), services(settings, stores)).on_ready()
    assert stores.guilds.settings(ON_SHARD_0).language == "es"


async def test_what_is_asked_where_the_bot_never_was_is_kept_as_long_as_other_requests(
    settings: BotSettings, tmp_path: Path
) -> None:
    clock = Clock()
    stores = Stores(settings, clock=clock)
    await stores.open()
    await Guilds(bot_in(ON_SHARD_0), services(settings, stores)).on_ready()
    # The one server has thrown the bot out while it was away; in the other a member has it on their account.
    left, never = [
        await stores.requests.add(row(guild_id=guild_id, asked_at=clock.now))
        for guild_id in (ON_SHARD_0, ALSO_ON_SHARD_0)
    ]
    await Guilds(bot_in(), services(settings, stores)).on_ready()
    clock.now += (settings.grace_days + 1) * DAY_S
    await stores.retention.apply()
    assert await stores.requests.get(left) is None
    assert await stores.requests.get(never)
    await stores.close()


async def test_a_server_that_throws_the_bot_out_begins_its_grace_time(settings: BotSettings, stores: Stores) -> None:
    await stores.guilds.save(GuildSettings(ON_SHARD_0, "es"))
    bot = bot_in(ON_SHARD_0)
    cog = Guilds(bot, services(settings, stores))
    await cog.on_guild_remove(bot.guilds[0])
    assert await stores.guilds.known_ids() == set()
    await cog.on_guild_join(bot.guilds[0])
    assert await stores.guilds.known_ids() == {ON_SHARD_0}


async def test_of_a_server_that_is_unavailable_at_start_every_channel_stays(
    settings: BotSettings, stores: Stores
) -> None:
    for guild_id in (ON_SHARD_0, ALSO_ON_SHARD_0):
        await stores.guilds.switch_autoscan(guild_id, guild_id + 1, on=True)
    bot: Any = bot_in(ON_SHARD_0, ALSO_ON_SHARD_0)
    for guild in bot.guilds:
        guild.unavailable = guild.id == ON_SHARD_0
        guild.get_channel_or_thread.return_value = None
    gone = create_autospec(aiohttp.ClientResponse, instance=True, status=404, reason="Not Found")
    bot.fetch_channel.side_effect = discord.NotFound(gone, {"code": 10003, "message": "Unknown Channel"})
    await Guilds(bot, services(settings, stores)).on_ready()
    assert stores.guilds.autoscan_channels(ON_SHARD_0) == [ON_SHARD_0 + 1]
    assert stores.guilds.autoscan_channels(ALSO_ON_SHARD_0) == []


async def test_a_database_that_fails_harms_no_event(
    settings: BotSettings, stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    bot = bot_in(ON_SHARD_0)
    cog = Guilds(bot, services(settings, stores))
    async with stores.database.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE guilds")
    await cog.on_ready()
    await cog.on_guild_remove(bot.guilds[0])
    assert caplog.text.count("A change of servers was not saved") == 2
