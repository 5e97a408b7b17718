"""Requests and what is counted of them, on a real SQLite file and a real PostgreSQL."""

from dataclasses import asdict, replace

from bot.storage.requests import Stats
from bot.storage.retention import DAY_S
from bot.storage.stores import Stores
from bot.storage.tables import metadata
from tests.bot.storage.rows import ANN, ELSEWHERE, HOME, ON_BOTH, Clock, row


@ON_BOTH
async def test_a_request_comes_back_with_its_id(stores: Stores) -> None:
    request_id = await stores.requests.add(row())
    assert await stores.requests.get(request_id) == replace(row(), id=request_id)
    assert await stores.requests.get(request_id + 1) is None


@ON_BOTH
async def test_stats_count_one_server_and_its_last_days_only(stores: Stores, clock: Clock) -> None:
    await stores.corrections.add(row(), ANN, "metal")
    await stores.requests.add(row(asked_at=clock.now))
    clock.now += 8 * DAY_S
    assert await stores.requests.stats(HOME, 7 * DAY_S) == Stats({}, {}, 0)
    clock.now -= 8 * DAY_S
    await stores.requests.add(row(genre="jazz"))
    await stores.requests.add(replace(row(), outcome="silent", genre=None, sha256=None))
    await stores.requests.add(row(guild_id=ELSEWHERE))
    await stores.corrections.add(row(), ANN, "jazz")
    stats = await stores.requests.stats(HOME, 7 * DAY_S)
    assert stats.outcomes == {"verdict": 2, "silent": 1}
    assert stats.genres == {"rock": 1, "jazz": 1}
    assert stats.corrections == 1
    assert (await stores.requests.stats(ELSEWHERE, 7 * DAY_S)).corrections == 0


@ON_BOTH
async def test_ids_are_never_given_twice(stores: Stores, clock: Clock) -> None:
    first = await stores.requests.add(row())
    clock.now += 31 * DAY_S
    await stores.retention.apply()
    assert await stores.requests.add(row()) > first


def test_rows_have_the_columns_of_their_tables() -> None:
    assert set(asdict(row())) == set(metadata.tables["requests"].columns.keys())
