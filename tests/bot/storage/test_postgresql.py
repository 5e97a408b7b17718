"""What only a server has: many processes on one database, which start, save, claim and tidy at the same time."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, update

from bot.settings import BotSettings
from bot.storage.database import DELETE_LOCK, lock_until_commit
from bot.storage.engine import database_url
from bot.storage.guilds import GuildSettings
from bot.storage.retention import Scope
from bot.storage.stores import Stores
from bot.storage.tables import guilds, metadata
from core.errors import ConfigurationError
from tests.bot.storage.rows import ANN, HOME, Clock, key, result, row, settings, spectrogram
from tests.bot.storage.test_migrations import OPEN
from tests.support.data import ROOT
from tests.support.postgres import Cluster
from tests.support.processes import eventually

START = """
import asyncio, sys
from pathlib import Path
from bot.settings import BotSettings
from bot.storage.stores import Stores
async def main():
    stores = Stores(BotSettings(_env_file=None, database_url=sys.argv[1]))
    sys.stdout.write("ready"); sys.stdout.flush(); sys.stdin.read()
    await stores.open()
    await stores.close()
asyncio.run(main())
"""


@asynccontextmanager
async def processes(own: BotSettings, count: int, clock: Callable[[], float]) -> AsyncIterator[list[Stores]]:
    """Stores with connections of their own, as that many processes have them, all opened at the same time."""
    async with AsyncExitStack() as stack:
        several = [Stores(own, clock=clock) for _ in range(count)]
        for stores in several:
            stack.push_async_callback(stores.close)
        await asyncio.gather(*(stores.open() for stores in several))
        yield several


@pytest.mark.slow
async def test_four_processes_start_on_an_empty_database_at_once(postgres_settings: BotSettings) -> None:
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", START, str(postgres_settings.database_url)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout
        assert await process.stdout.readexactly(5) == b"ready"
    for process in started:
        assert process.stdin
        process.stdin.close()
    assert [await process.wait() for process in started] == [0, 0, 0, 0]


async def test_the_tables_are_those_that_the_code_uses_with_ids_of_64_bits(
    postgres: Cluster, postgres_settings: BotSettings, clock: Clock
) -> None:
    url = database_url(postgres_settings)
    async with processes(postgres_settings, 4, clock) as (stores, *_):
        engine = create_engine(url)
        with engine.connect() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
        engine.dispose()
        assert differences == []
        for table in ("requests", "open_requests"):
            postgres.sql(f"SELECT setval('{table}_id_seq', {2**40})", str(url.database))
        assert await stores.requests.add(row()) == 2**40 + 1
        assert await stores.open_requests.add(replace(OPEN, restores=2**40 + 1)) == 2**40 + 1


async def test_what_is_saved_at_the_same_time_is_saved(postgres_settings: BotSettings, clock: Clock) -> None:
    saved = GuildSettings(HOME, "es", False, 600.0, 5.0, 3)
    song = result(mel=spectrogram())
    async with processes(postgres_settings, 3, clock) as several:

        async def at_once(save: Callable[[Stores], Awaitable[object]]) -> None:
            await asyncio.gather(*(save(stores) for stores in several for _ in range(3)))

        await at_once(lambda stores: stores.guilds.save(saved))
        await at_once(lambda stores: stores.guilds.switch_autoscan(HOME, 100, on=True))
        await at_once(lambda stores: stores.meta.set("commands", "a hash"))
        await at_once(lambda stores: stores.corrections.add(row(), ANN, "jazz"))
        await at_once(lambda stores: stores.results.put(key(), song))
        await at_once(lambda stores: stores.guilds.mark_left(HOME))
        await at_once(lambda stores: stores.guilds.mark_present([HOME]))
        assert await several[0].results.get(key())
        assert len(await several[0].corrections.all()) == 1
    async with processes(postgres_settings, 1, clock) as (reopened,):
        assert reopened.guilds.settings(HOME) == saved
        assert reopened.guilds.autoscan_channels(HOME) == [100]


async def test_a_request_is_begun_again_by_one_process_only(postgres_settings: BotSettings, clock: Clock) -> None:
    async with processes(postgres_settings, 4, clock) as several:
        request_id = await several[0].open_requests.add(OPEN)
        claimed = await asyncio.gather(*(stores.open_requests.claim(request_id) for stores in several))
        assert sum(one is not None for one in claimed) == 1


@pytest.mark.parametrize("stores", [pytest.param("sqlite", marks=pytest.mark.slow), "postgres"], indirect=True)
async def test_a_process_may_have_more_servers_than_a_statement_has_parameters(stores: Stores, clock: Clock) -> None:
    many = range(1, 66_000)
    await stores.guilds.mark_left(*many)
    assert await stores.guilds.known_ids() == set()
    async with stores.database.writing() as connection:  # a row that says nothing else is deleted
        await connection.execute(update(guilds).values(language="es"))
    await stores.guilds.mark_present(many)
    assert await stores.guilds.known_ids() == set(many)
    assert stores.guilds.settings(65_999).language == "es"
    await stores.guilds.mark_left(*many)
    clock.now += 8 * 86_400
    await stores.retention.apply()
    await stores.guilds.mark_present(many)
    assert stores.guilds.settings(65_999).language is None, "all forgotten after their grace time"


async def test_the_quota_is_kept_by_several_processes_and_none_deletes_twice(
    postgres_settings: BotSettings, clock: Clock
) -> None:
    own = settings(postgres_settings.data_dir, database_url=postgres_settings.database_url, store_mb=1)
    song = result(mel=spectrogram())
    async with processes(own, 4, clock) as several:
        for number in range(5):
            clock.now += 1
            await asyncio.gather(
                *(stores.results.put(key(f"{4 * number + i:064}"), song) for i, stores in enumerate(several))
            )
        await asyncio.gather(*(stores.results.shrink_to_quota() for stores in several))
        kept = [n for n in range(20) if await several[0].results.get(key(f"{n:064}"))]
    size = len(spectrogram().to_bytes())
    assert len(kept) in (2**20 // size, 2**20 // size - 1)
    assert kept[-4:] == [16, 17, 18, 19], "the ones not asked for longest went"


async def test_those_who_delete_at_the_same_time_do_not_wait_for_each_other_for_ever(
    postgres_settings: BotSettings, clock: Clock
) -> None:
    async with processes(postgres_settings, 4, clock) as several:
        for number in range(40):
            await several[0].requests.add(row(sha256=f"{number:064}", user_id=number, asked_at=clock.now))
            await several[0].results.put(key(f"{number:064}"), result(mel=spectrogram(32)))
        clock.now += 31 * 86_400
        await asyncio.gather(
            *(stores.retention.apply() for stores in several),
            *(several[n % 4].retention.forget(Scope(user_id=n)) for n in range(0, 40, 5)),
        )
        assert not await several[0].retention.held(Scope(HOME))


async def test_what_the_quota_evicts_is_not_deleted_beside_what_others_delete(
    postgres: Cluster, postgres_settings: BotSettings, clock: Clock
) -> None:
    """Two that delete the same songs, each in an order of its own, would end one of them as a deadlock."""
    own = settings(postgres_settings.data_dir, database_url=postgres_settings.database_url, store_mb=0)
    async with processes(own, 1, clock) as [stores], processes(postgres_settings, 1, clock) as [other]:
        await other.results.put(key(), result(mel=spectrogram()))
        async with other.database.writing() as connection:
            await lock_until_commit(connection, DELETE_LOCK)
            shrinking = asyncio.create_task(stores.results.shrink_to_quota())
            waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND objid = {DELETE_LOCK}"
            await eventually(lambda: postgres.sql(waiting) == "1", what="its waiting")
        await shrinking
        assert await other.results.get(key()) is None


async def test_a_server_that_is_not_there_is_one_clear_line_without_the_password(tmp_path: Path) -> None:
    for url in ("postgresql://genie:s3cret@127.0.0.1:1/x", "postgresql://genie:1/s3cret@127.0.0.1/x"):
        with pytest.raises(ConfigurationError) as refused:
            async with processes(settings(tmp_path, database_url=url), 1, Clock()):
                pass
        assert "\n" not in str(refused.value)
        assert "s3cret" not in str(refused.value)
