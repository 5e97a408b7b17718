"""Copies of the database: made beside a running bot, put back, and refused when they are not sound."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.settings import BotSettings
from bot.storage.backup import back_up, put_back
from bot.storage.engine import DATABASE_FILE
from bot.storage.guilds import GuildSettings
from bot.storage.stores import Stores
from core.errors import ConfigurationError


def settings(directory: Path) -> BotSettings:
    return BotSettings(_env_file=None, data_dir=directory)


async def filled(directory: Path, language: str) -> None:
    stores = Stores(settings(directory))
    await stores.open()
    await stores.guilds.save(GuildSettings(1, language))
    await stores.close()


async def language(directory: Path) -> str | None:
    stores = Stores(settings(directory))
    await stores.open()
    try:
        return stores.guilds.settings(1).language
    finally:
        await stores.close()


async def test_a_copy_made_while_the_database_is_open_holds_what_was_written(tmp_path: Path) -> None:
    stores = Stores(settings(tmp_path / "data"))
    await stores.open()
    await stores.guilds.save(GuildSettings(1, "es"))  # in the write-ahead log, not in the file yet
    back_up(settings(tmp_path / "data"), tmp_path / "copy")
    await stores.guilds.save(GuildSettings(1, "en"))
    await stores.close()
    put_back(settings(tmp_path / "elsewhere"), tmp_path / "copy")
    assert await language(tmp_path / "elsewhere") == "es"


async def test_a_copy_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    await filled(tmp_path / "data", "es")
    back_up(settings(tmp_path / "data"), tmp_path / "copy")
    await filled(tmp_path / "data", "en")
    put_back(settings(tmp_path / "data"), tmp_path / "copy")
    assert await language(tmp_path / "data") == "es"


async def test_a_copy_is_for_its_owner_only_and_replaces_nothing(tmp_path: Path) -> None:
    await filled(tmp_path, "es")
    back_up(settings(tmp_path), tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0
    before = (tmp_path / "copy").read_bytes()
    with pytest.raises(ConfigurationError, match="already"):
        back_up(settings(tmp_path), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == before


async def test_what_is_not_sound_is_not_put_back(tmp_path: Path) -> None:
    await filled(tmp_path, "es")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no database at all " * 100)
    other = tmp_path / "other"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE somebody_elses (x)")
    back_up(settings(tmp_path), newer := tmp_path / "newer")
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for copy in (garbage, other, newer, tmp_path / "missing"):
        with pytest.raises(ConfigurationError):
            put_back(settings(tmp_path), copy)
    assert await language(tmp_path) == "es"


def test_nothing_is_left_of_a_copy_that_failed(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"no database at all " * 100)
    with pytest.raises(ConfigurationError):
        back_up(settings(tmp_path), tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE_FILE]
