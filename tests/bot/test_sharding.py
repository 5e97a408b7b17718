"""IDENTIFY of shards in several processes, on a real PostgreSQL and a Discord on loopback that counts."""

import asyncio
import sys
from pathlib import Path

import discord
import pytest
from sqlalchemy import text

from bot.sharding import GatedClient, IdentifyGate
from bot.storage.database import StoreError
from bot.storage.stores import Stores
from tests.bot.shards import slots
from tests.bot.storage.rows import settings
from tests.discord_server import Discord
from tests.discord_server.client import connected
from tests.support.data import ROOT
from tests.support.postgres import Cluster

PROCESSES, SHARDS = 8, 64


@pytest.fixture
async def url(postgres: Cluster, tmp_path: Path) -> str:
    """A database with the bot's tables."""
    address = postgres.url(postgres.new_database())
    stores = Stores(settings(tmp_path, database_url=address))
    await stores.open()
    await stores.close()
    return address


async def test_those_who_ask_at_the_same_time_get_one_turn_after_the_other_in_each_bucket(url: str) -> None:
    async with slots(url) as first, slots(url) as second:
        booked = await asyncio.gather(*(store.book(7, 100.0) for store in (first, second) for _ in range(4)))
        assert await first.book(8, 100.0) == 0
    # One who has died before its turn is one of these: what it leaves unused is that one.
    assert [round(wait, -2) for wait in sorted(booked)] == [100.0 * n for n in range(8)]
    assert min(booked) == 0


@pytest.mark.parametrize(
    ("change", "wait_s"), [("- 1000", 0), ("+ 1000000", 0), ("+ 50", 50)], ids=["past", "clock set back", "next"]
)
async def test_a_turn_is_never_in_the_past_nor_out_of_reach(url: str, change: str, wait_s: float) -> None:
    async with slots(url) as store:
        await store.book(0, 5.0)
        async with store._database.writing() as connection:
            await connection.execute(
                text(f"UPDATE identify_slots SET free_at = extract(epoch FROM clock_timestamp()) {change}")
            )
        assert await store.book(0, 5.0) == pytest.approx(wait_s, abs=5)
        assert await store.book(0, 5.0) == pytest.approx(wait_s + 5, abs=5)


class Booked:
    """Gives out turns as the test has them, and keeps what was asked for."""

    def __init__(self, *waits: float | None) -> None:
        self.waits = list(waits)
        self.buckets: list[int] = []

    async def __call__(self, bucket: int, spacing_s: float) -> float:
        self.buckets.append(bucket)
        wait = self.waits.pop(0) if self.waits else 0.0
        if wait is None:
            raise StoreError
        return wait


async def test_a_shard_that_is_given_up_while_it_waits_goes_on_waiting_for_the_same_turn() -> None:
    booked = Booked(0.3)
    gate = IdentifyGate(booked, margin_s=60.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gate.enter(3), 0.1)
    await gate.enter(3)
    assert booked.buckets == [0]
    await gate.enter(3)
    assert booked.buckets == [0, 0]


async def test_a_turn_that_was_missed_is_not_used_any_more() -> None:
    booked = Booked(-10.0, None, 0.1)  # over by the time that it is there; the database fails; another
    gate = IdentifyGate(booked, margin_s=5.0)
    gate.buckets = 16
    await gate.enter(17)
    assert booked.buckets == [1, 1, 1]


class SmallClient(GatedClient):
    def __init__(self, gate: IdentifyGate | None) -> None:
        super().__init__(gate=gate, intents=discord.Intents(guilds=True), shard_count=2, guild_ready_timeout=0.1)
        self.resumed = asyncio.Event()

    async def on_shard_resumed(self, shard_id: int) -> None:
        self.resumed.set()


async def test_a_shard_takes_a_turn_of_its_bucket_to_identify_and_none_to_resume() -> None:
    async with Discord() as server:
        server.gateway.max_concurrency = 16
        booked = Booked()
        async with connected(SmallClient(IdentifyGate(booked)), server) as client:  # type: ignore[type-var]
            assert booked.buckets == [0, 1]
            await server.gateway.drop()
            await asyncio.wait_for(client.resumed.wait(), 30)
            assert booked.buckets == [0, 1]
            server.gateway.invalidate_sessions()
            await server.until(lambda: len(server.gateway.identified) == 4, what="two new sessions")
        assert sorted(booked.buckets) == [0, 0, 1, 1]


@pytest.mark.slow
async def test_64_shards_in_8_processes_never_identify_too_soon_though_one_is_killed_in_between(url: str) -> None:
    async with Discord() as server:
        server.gateway.max_concurrency, server.gateway.identify_period_s = 16, 1.0
        each = SHARDS // PROCESSES

        async def start(first: int) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.bot.shards", url, server.api_url, server.gateway.url, server.token),
                *map(str, (first, each, SHARDS, server.gateway.identify_period_s)),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )

        processes = [await start(first) for first in range(0, SHARDS, each)]
        try:
            async with asyncio.timeout(240):
                await server.until(lambda: server.gateway.identified, within=120, what="the first IDENTIFY")
                processes[3].kill()
                await processes[3].wait()
                processes[3] = await start(3 * each)
                for process in processes:
                    assert process.stdout
                    assert await process.stdout.readline() == b"ready\n"
        finally:
            await asyncio.gather(*(process.communicate(b"") for process in processes))
        assert [str(complaint) for complaint in server.complaints] == []
        assert {identify["shard"][0] for identify in server.gateway.identified} == set(range(SHARDS))
        assert SHARDS <= len(server.gateway.identified) <= SHARDS + each
