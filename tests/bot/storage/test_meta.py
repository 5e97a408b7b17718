"""Values that are needed again after a restart, on real SQLite files."""

from pathlib import Path

from bot.storage.stores import Stores
from tests.bot.storage.rows import settings


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
