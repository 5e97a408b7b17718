"""Values that are needed again after a restart, on real SQLite files."""

import asyncio
from pathlib import Path

from bot.storage.stores import Stores
from tests.bot.storage.rows import ON_BOTH, Clock, settings


async def test_the_last_value_of_a_key_is_there_after_a_restart(stores: Stores, tmp_path: Path) -> None:
    assert await stores.meta.get("commands") is None
    await stores.meta.set("commands", "first")
    await stores.meta.set("commands", "second")
    await stores.close()
    reopened = Stores(settings(tmp_path))
    await reopened.open()
    assert await reopened.meta.get("commands") == "second"
    assert await reopened.meta.get("other") is None
    await reopened.close()


@ON_BOTH
async def test_one_of_several_processes_takes_each_turn(stores: Stores, clock: Clock) -> None:
    await stores.meta.set("commands", "no number at all")

    async def winners() -> int:
        return sum(await asyncio.gather(*(stores.meta.claim_turn("tidied", 3_600) for _ in range(4))))

    assert await winners() == 1
    clock.now += 3_000
    assert await winners() == 0
    clock.now += 600
    assert await winners() == 1
    clock.now -= 10_000  # somebody sets the clock back
    assert await winners() == 1
