"""Two bots, each with a shard, and a worker: songs go over the queue, and turns go round between the bots' servers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, details, genre_of, picture_of, press
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.bot.end_to_end.test_buttons import WHOLE, part_of
from tests.core.queue.processes import WorkerProcess
from tests.discord_server import Discord
from tests.support.postgres import Cluster

pytestmark = pytest.mark.slow

ON_SHARD_0, ON_SHARD_1 = 1_002 << 22, 1_001 << 22


@pytest_asyncio.fixture(loop_scope="session")
async def two_shards() -> AsyncIterator[Discord]:
    async with Discord() as server:
        server.gateway.shards = server.gateway.max_concurrency = 2
        server.gateway.identify_period_s = 5.0
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def bots(two_shards: Discord, postgres: Cluster, tmp_path: Path) -> AsyncIterator[list[BotProcess]]:
    url = postgres.url(postgres.new_database())
    shared = {"GENREGENIE_QUEUE_URL": url, "DISCORD_SHARD_COUNT": "2"}
    async with WorkerProcess(url, tmp_path / "worker", GENREGENIE_ALLOWED_HOSTS=two_shards.host) as worker:
        await worker.until_ready()
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        first, second = (
            BotProcess(two_shards, folder, DISCORD_SHARDS=str(shard), **shared) for shard, folder in enumerate(folders)
        )
        async with first, second:
            yield [first, second]


async def test_songs_and_their_buttons_are_answered_by_another_machine_and_turns_go_round(
    two_shards: Discord, bots: list[BotProcess]
) -> None:
    discord = two_shards
    houses = [furnished(discord, identity=identity) for identity in (ON_SHARD_0, ON_SHARD_1)]
    for house in houses:
        first = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(70)))
        genre_of(first)
        shown = await details(discord, first, house.ana)
        picture_of(shown)
        said = {field["name"]: field["value"] for field in shown.embeds[0]["fields"]}
        assert "Hz (" in said[translate("bot.details.why", "en")], "the worker has a model, the bot has none"
        # The worker looks the spectrogram up in the store: nothing is downloaded again.
        whole = await press(discord, first, WHOLE, house.ana)
        assert part_of(whole) == ("0:00", "1:10")
    for bot in bots:
        assert bot.workers() == [], "a bot with a queue classifies nothing itself"
        assert (await bot.metrics())["genregenie_queue_workers"] == 1

    order: list[str] = []

    async def ask(who: str, house: House) -> None:
        await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song()))
        order.append(who)

    many, few = houses
    asked = [asyncio.create_task(ask("many", many)) for _ in range(12)]
    await discord.until(lambda: order, what="the first answer")
    asked += [asyncio.create_task(ask("few", few)) for _ in range(2)]
    await asyncio.gather(*asked)
    assert order.index("few") < 9
    assert len(order) - order[::-1].index("few") < 12, order
    assert not discord.complaints


async def test_a_bot_with_another_s_shards_is_one_clear_line(
    two_shards: Discord, bots: list[BotProcess], tmp_path: Path
) -> None:
    (tmp_path / "third").mkdir()
    third = BotProcess(two_shards, tmp_path / "third", **bots[1].settings)  # as on another machine: a folder of its own
    await third.launch()
    assert await third.wait(within=60) == 2
    assert translate("bot.start.shards-in-use", "en", address="127.0.0.1") in third.log
    # Nor has it sent IDENTIFY: the first two have one session each, and keep them.
    assert sorted(identify["shard"] for identify in two_shards.gateway.identified) == [[0, 2], [1, 2]]
    assert len(two_shards.gateway.live) == 2
