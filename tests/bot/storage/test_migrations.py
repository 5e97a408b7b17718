"""The schema, on real SQLite files: made, brought up to date from every released one, a newer one refused.

`schemas/` holds a database of each release as SQL, with a row in every table. The file of a release that is out is
never changed; `python -m tests.bot.storage.test_migrations` writes that of the newest.
"""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from bot.jobs.request import Song
from bot.jobs.stored import songs_to_json
from bot.settings import BotSettings
from bot.storage.backup import put_back
from bot.storage.engine import DATABASE_FILE, MIGRATIONS
from bot.storage.guilds import GuildSettings
from bot.storage.open_requests import OpenRequest
from bot.storage.requests import RequestRow
from bot.storage.stores import Stores
from bot.storage.tables import SCHEMA, metadata
from core.audio.spectrogram import QuantizedMel
from core.constants import GENRES, HOP_LENGTH, N_MELS
from core.errors import ConfigurationError
from core.service.identify import CachedResult, CacheKey
from core.service.sources import LinkSource
from core.verdict import Segment
from tests.support.verdicts import make_prediction

SCHEMAS = Path(__file__).parent / "schemas"
SHA256 = "5a" * 32
KEY = CacheKey(SHA256, "00" * 32, "1", "main")
OPEN = OpenRequest(
    *("", "slash", 70_000, 7, 70, False, "es", songs_to_json([Song(LinkSource("https://example.org/a"), "a")]), False),
    *(None, 0, None, 1_700_000_000.0, 0, "a token", 71, None),
)


def settings(directory: Path, **values: Any) -> BotSettings:
    return BotSettings(_env_file=None, data_dir=directory, **values)


def released(schema: str, directory: Path) -> Path:
    """A database as that release left it."""
    path = directory / DATABASE_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SCHEMAS / f"{schema}.sql").read_text("utf-8"))
    return path


def columns(path: Path, table: str) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def schema_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found)


@pytest.fixture
def next_release(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations of a release to come, which does the parameter at the end of its own."""
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("bot.storage.engine.MIGRATIONS", migrations)
    monkeypatch.setattr("bot.storage.engine.SCHEMA", "next")
    (migrations / "versions" / "next.py").write_text(NEXT.format(newest=SCHEMA, then=request.param))


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{newest}"


def upgrade():
    with op.batch_alter_table("corrections") as table:
        table.add_column(sa.Column("weight", sa.Float, nullable=False, server_default="1.5"))
    {then}
"""


@pytest.fixture(autouse=True)
def _front_end_of_the_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spectrogram of an older front end is kept, but not used."""
    monkeypatch.setattr("bot.storage.results.FRONT_END_VERSION", KEY.front_end)


async def assert_kept(stores: Stores) -> None:
    """What `schemas/` was written with is there."""
    assert stores.guilds.settings(7) == GuildSettings(7, "es", False, 600.0, 5.0, 3)
    assert stores.guilds.autoscan_channels(7) == [70]
    request = await stores.requests.get(1)
    assert request is not None
    assert (request.name, request.genre, request.sha256, request.start) == ("song.mp3", "rock", SHA256, 62.0)
    (correction,) = await stores.corrections.all()
    assert (correction.corrected, correction.predicted, correction.user_id) == ("metal", "rock", 70_000)
    spectrogram = await stores.results.spectrogram(SHA256)
    assert spectrogram is not None
    assert spectrogram.mel.shape == (128, 25)
    result = await stores.results.get(KEY)
    assert result is not None
    assert result.prediction.genre == "rock"
    assert await stores.meta.get("commands") == "a hash"


async def assert_open_request_kept(stores: Stores) -> None:
    """What releases with open requests were written with is there too."""
    (left,) = stores.open_requests.take_leftovers()
    assert (left.kind, left.message_id, left.token, left.songs) == ("slash", 71, "a token", OPEN.songs)
    assert left == await stores.open_requests.get(left.id or 0)
    assert await stores.open_requests.claim(left.id or 0) == left
    assert await stores.open_requests.claim(left.id or 0) is None


def test_every_release_s_schema_is_here() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert {path.stem for path in SCHEMAS.glob("*.sql")} == {script.revision for script in scripts.walk_revisions()}


@pytest.mark.parametrize("schema", sorted(path.stem for path in SCHEMAS.glob("*.sql")))
async def test_a_database_of_each_release_is_brought_up_to_date_with_all_that_is_in_it(
    schema: str, tmp_path: Path
) -> None:
    path = released(schema, tmp_path)
    stores = Stores(settings(tmp_path), clock=lambda: 1_700_000_100.0)
    await stores.open()
    await assert_kept(stores)
    if schema >= "0002":
        await assert_open_request_kept(stores)
    await stores.close()
    assert schema_of(path) == SCHEMA


@pytest.mark.parametrize("schema", sorted(path.stem for path in SCHEMAS.glob("*.sql")))
async def test_a_backup_of_each_release_is_put_back_and_brought_up_to_date(schema: str, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    path = released(schema, tmp_path / "old")
    await _open_and_close(settings(tmp_path))
    put_back(settings(tmp_path), path)
    assert schema_of(tmp_path / DATABASE_FILE) == schema
    stores = Stores(settings(tmp_path), clock=lambda: 1_700_000_100.0)
    await stores.open()
    await assert_kept(stores)
    await stores.close()
    assert schema_of(tmp_path / DATABASE_FILE) == SCHEMA
    assert schema_of(path) == schema


async def test_pictures_of_earlier_releases_are_deleted_and_count_no_longer(tmp_path: Path) -> None:
    path = released("0003", tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        ((without,),) = connection.execute("SELECT size FROM results").fetchall()
        connection.execute("UPDATE results SET picture = zeroblob(9000), size = size + 9000")
        connection.commit()
    await _open_and_close(settings(tmp_path))
    assert "picture" not in columns(path, "results")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT size FROM results").fetchall() == [(without,)]


@pytest.mark.usefixtures("next_release")
@pytest.mark.parametrize("next_release", [""], indirect=True)
async def test_an_upgrade_keeps_what_is_there(tmp_path: Path) -> None:
    path = released(SCHEMA, tmp_path)
    stores = Stores(settings(tmp_path), clock=lambda: 1_700_000_100.0)
    await stores.open()
    await assert_kept(stores)
    await stores.close()
    assert schema_of(path) == "next"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT said, weight FROM corrections").fetchall() == [("metal", 1.5)]


@pytest.mark.usefixtures("next_release")
@pytest.mark.parametrize("next_release", ["op.execute('UPDATE nowhere SET nothing = 1')"], indirect=True)
async def test_an_upgrade_that_fails_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    path = released(SCHEMA, tmp_path)
    with pytest.raises(ConfigurationError):
        await _open_and_close(settings(tmp_path))
    assert schema_of(path) == SCHEMA
    assert "weight" not in columns(path, "corrections")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT said FROM corrections").fetchall() == [("metal",)]


def test_the_newest_migration_makes_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    asyncio.run(_open_and_close(settings(tmp_path)))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA
    engine = create_engine(f"sqlite:///{tmp_path / DATABASE_FILE}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


async def _open_and_close(own: BotSettings) -> None:
    stores = Stores(own)
    try:
        await stores.open()
    finally:
        await stores.close()


async def test_a_database_of_a_newer_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    await _open_and_close(settings(tmp_path))
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(ConfigurationError, match="newer"):
        await _open_and_close(settings(tmp_path))
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


async def test_two_processes_may_start_on_a_new_database_at_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, pathlib, sys\n"
        "from bot.settings import BotSettings\nfrom bot.storage.stores import Stores\n"
        "async def main():\n"
        "    stores = Stores(BotSettings(_env_file=None, data_dir=pathlib.Path(sys.argv[1])))\n"
        "    await stores.open()\n    await stores.close()\n"
        "asyncio.run(main())\n"
    )
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path), cwd=Path(__file__).parents[3])
        for _ in range(2)
    ]
    assert [await process.wait() for process in started] == [0, 0]


@pytest.mark.parametrize("content", [b"this is no database at all, just text", None], ids=["garbage", "directory"])
async def test_a_database_that_cannot_be_used_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / DATABASE_FILE
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        await _open_and_close(settings(tmp_path))
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


async def test_a_database_may_lie_anywhere_and_be_named_without_its_driver(tmp_path: Path) -> None:
    odd = tmp_path / "50% of data? #1"
    await _open_and_close(settings(odd))
    assert (odd / DATABASE_FILE).is_file()
    await _open_and_close(settings(tmp_path, database_url=f"sqlite:///{tmp_path / 'own.db'}"))
    assert (tmp_path / "own.db").is_file()


async def _write(directory: Path) -> None:
    """Write the newest schema's file of `schemas/`."""
    stores = Stores(settings(directory), clock=lambda: 1_700_000_000.0)
    await stores.open()
    await stores.guilds.save(GuildSettings(7, "es", False, 600.0, 5.0, 3))
    await stores.guilds.switch_autoscan(7, 70, on=True)
    await stores.guilds.mark_present([7])
    await stores.meta.set("commands", "a hash")
    mel = QuantizedMel(np.zeros((N_MELS, 25), np.uint8), np.full(25, 200, np.uint8), -3.0, 24 * HOP_LENGTH)
    shares = tuple(0.55 if genre == "rock" else 0.05 for genre in GENRES)
    prediction = make_prediction(Segment(62.0, 65.0, shares))
    await stores.results.put(KEY, CachedResult(prediction, mel))
    row = RequestRow(7, 70_000, "slash", False, 1_700_000_000.0, 1.5, "verdict", "rock", SHA256, "song.mp3")
    row = replace(row, model="genie 1", part="main", start=62.0, end=92.0, duration=215.0)
    await stores.requests.add(row)
    await stores.corrections.add(row, 70_000, "metal")
    await stores.open_requests.add(OPEN)
    await stores.close()
    with closing(sqlite3.connect(directory / DATABASE_FILE)) as connection:
        dump = "\n".join(connection.iterdump())
    (SCHEMAS / f"{SCHEMA}.sql").write_text(dump + "\n", "utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(_write(Path(place)))
