"""A host's data moved from its SQLite file into a real PostgreSQL: all of it, or nothing and a reason."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from bot.settings import BotSettings
from bot.storage.engine import DATABASE_FILE
from bot.storage.guilds import GuildSettings
from bot.storage.lock import sole_writer
from bot.storage.move import move
from bot.storage.stores import Stores
from bot.storage.tables import SCHEMA, metadata
from core.errors import ConfigurationError
from tests.bot.storage.rows import ANN, HOME, key, result, row, settings, spectrogram
from tests.bot.storage.test_migrations import SCHEMAS, assert_kept, assert_open_request_kept
from tests.support.postgres import Cluster

PASSWORD = "s3cret"


def with_password(own: BotSettings) -> str:
    """The URL with a password, which this server does not ask for."""
    return str(own.database_url).replace("postgres@", f"postgres:{PASSWORD}@")


async def open_and_set(own: BotSettings, key: str) -> None:
    """Do as a bot that nobody has asked anything yet."""
    stores = Stores(own)
    await stores.open()
    await stores.meta.set(key, "a hash")
    await stores.close()


def released(schema: str, path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SCHEMAS / f"{schema}.sql").read_text("utf-8"))
    return path


def test_all_that_a_release_stored_is_there(
    tmp_path: Path, postgres_settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.storage.results.FRONT_END_VERSION", "1")
    path = released("0002", tmp_path / DATABASE_FILE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'requests'")
        connection.execute("INSERT INTO meta VALUES ('odd', 'a' || char(0) || 'b')")
        connection.commit()
    said = move(settings(tmp_path), with_password(postgres_settings))
    assert PASSWORD not in said
    assert "127.0.0.1/" in said

    async def look() -> None:
        stores = Stores(postgres_settings, clock=lambda: 1_700_000_100.0)
        await stores.open()
        await assert_kept(stores)
        await assert_open_request_kept(stores)
        assert await stores.meta.get("odd") == "ab", "a text of PostgreSQL's has no NUL"
        assert await stores.requests.add(row()) == 5_001, "no id is given twice"
        await stores.close()

    asyncio.run(look())


def test_every_row_of_every_table_is_copied(tmp_path: Path, postgres: Cluster, postgres_settings: BotSettings) -> None:
    async def fill() -> None:
        stores = Stores(settings(tmp_path))
        await stores.open()
        for number in range(40):
            await stores.results.put(key(f"{number:064}"), result(mel=spectrogram()))
            await stores.requests.add(row(name="é\t\\N\n" * number))
            await stores.guilds.save(GuildSettings(HOME + (number << 40), "es"))
            await stores.tastes.opt_in(ANN + number)
        await stores.close()

    asyncio.run(fill())
    move(settings(tmp_path), str(postgres_settings.database_url))
    with (
        closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as source,
        psycopg.connect(str(postgres_settings.database_url)) as target,
    ):
        for table in metadata.sorted_tables:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            order = ", ".join(f'"{column.name}"' for column in table.primary_key)
            query = f"SELECT {names} FROM {table.name} ORDER BY {order}"  # noqa: S608
            assert target.execute(query).fetchall() == source.execute(query).fetchall(), table.name  # type: ignore[call-overload]


def test_what_is_not_empty_or_in_use_is_left_as_it_is(tmp_path: Path, postgres_settings: BotSettings) -> None:
    released(SCHEMA, tmp_path / DATABASE_FILE)
    own, url = settings(tmp_path), with_password(postgres_settings)
    refusals = []
    with sole_writer(own), pytest.raises(ConfigurationError) as refused:
        move(own, url)
    refusals.append(refused.value)
    with psycopg.connect(str(postgres_settings.database_url), autocommit=True) as bot:
        asyncio.run(open_and_set(postgres_settings, "commands"))
        with pytest.raises(ConfigurationError, match="has data already") as refused:
            move(own, url)
        refusals.append(refused.value)
        assert bot.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        bot.execute("DELETE FROM meta WHERE key = 'commands'")
    move(own, url)
    with pytest.raises(ConfigurationError, match="has data already") as refused:
        move(own, url)
    refusals.append(refused.value)
    assert not [error for error in refusals if PASSWORD in str(error)]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///other.db",
        f"postgresql://genie:{PASSWORD}@127.0.0.1:1/x",
        f"postgresql://genie:{PASSWORD}@127.0.0.1:port/x",
        f"postgresql://genie:1/{PASSWORD}@127.0.0.1/x",
        f"postgresql://127.0.0.1:1/x?password={PASSWORD}&nothing=1",
        f"{PASSWORD} is no URL",
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_without_its_password(tmp_path: Path, url: str) -> None:
    released(SCHEMA, tmp_path / DATABASE_FILE)
    with pytest.raises(ConfigurationError) as refused:
        move(settings(tmp_path), url)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_a_file_that_is_damaged_or_missing_is_not_moved(tmp_path: Path, postgres_settings: BotSettings) -> None:
    with pytest.raises(ConfigurationError, match="no database"):
        move(settings(tmp_path), str(postgres_settings.database_url))
    (tmp_path / DATABASE_FILE).write_bytes(b"no database at all " * 100)
    with pytest.raises(ConfigurationError):
        move(settings(tmp_path), str(postgres_settings.database_url))
