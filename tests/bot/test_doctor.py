"""What `doctor` says of the database, at which it only looks."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.doctor import _database_check
from bot.settings import BotSettings
from bot.storage.engine import DATABASE_FILE
from bot.storage.stores import Stores
from core.i18n.catalog import translate


@pytest.fixture
def settings(tmp_path: Path) -> BotSettings:
    return BotSettings(data_dir=tmp_path / "data")


async def test_a_database_that_the_bot_will_make_is_not_missing_and_not_made(settings: BotSettings) -> None:
    assert (await _database_check(settings)).ok
    assert not settings.data_dir.exists()


async def test_a_database_of_this_release_is_fine(settings: BotSettings) -> None:
    stores = Stores(settings)
    await stores.open()
    await stores.close()
    assert (await _database_check(settings)).ok


async def test_a_newer_releases_database_is_told(settings: BotSettings) -> None:
    settings.data_dir.mkdir()
    with closing(sqlite3.connect(settings.data_dir / DATABASE_FILE)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        connection.commit()
    check = await _database_check(settings)
    assert (check.ok, check.remedy) == (False, translate("bot.start.database-newer"))


async def test_what_is_no_database_is_told(settings: BotSettings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / DATABASE_FILE).write_text("a letter, and a long one at that" * 100)
    check = await _database_check(settings)
    assert not check.ok
    assert "not a database" in str(check.remedy)
