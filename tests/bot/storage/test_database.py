"""A database that fails, and one that answers."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.storage.database import StoreError
from bot.storage.engine import DATABASE_FILE
from bot.storage.stores import Stores
from tests.bot.storage.rows import key, result, row, settings, spectrogram


async def test_a_locked_database_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.storage.engine.BUSY_SECONDS", 0.2)
    stores = Stores(settings(tmp_path))
    await stores.open()
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await stores.results.put(key(), result(mel=spectrogram()))  # waits, gives up, says nothing
        with pytest.raises(StoreError):
            await stores.requests.add(row())
        other.execute("ROLLBACK")
    assert await stores.results.get(key()) is None
    assert await stores.requests.add(row())
    await stores.close()


async def test_a_database_without_its_tables_is_not_reachable(stores: Stores, tmp_path: Path) -> None:
    assert await stores.database.reachable()
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as other:
        other.execute("DROP TABLE meta")
    assert not await stores.database.reachable()
