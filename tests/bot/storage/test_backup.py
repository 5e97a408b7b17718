"""Copies of the database: made beside a running bot, put back, and refused when they are not sound."""

import io
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.settings import BotSettings
from bot.storage.backup import back_up, put_back, read_in, write_out
from bot.storage.engine import DATABASE_FILE
from bot.storage.guilds import GuildSettings
from bot.storage.stores import Stores
from core.errors import ConfigurationError
from tests.support.users import as_another_user


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


async def test_a_copy_takes_the_place_of_a_database_that_is_damaged(tmp_path: Path) -> None:
    await filled(tmp_path, "es")
    back_up(settings(tmp_path), tmp_path / "copy")
    (tmp_path / DATABASE_FILE).write_bytes(b"no database at all " * 100)
    (tmp_path / f"{DATABASE_FILE}-wal").write_bytes(b"what it was about to write")
    put_back(settings(tmp_path), tmp_path / "copy")
    assert await language(tmp_path) == "es"


async def test_a_copy_goes_through_pipes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    await filled(tmp_path / "data", "es")
    before = sorted(path.name for path in (tmp_path / "data").iterdir())
    stream = io.BytesIO()
    write_out(settings(tmp_path / "data"), stream)
    await filled(tmp_path / "data", "en")
    stream.seek(0)
    read_in(settings(tmp_path / "data"), stream)
    assert sorted(path.name for path in (tmp_path / "data").iterdir() if not path.name.endswith(".lock")) == before
    assert await language(tmp_path / "data") == "es"


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file grow beyond a page."""
    resource = pytest.importorskip("resource", reason="needs limits of a POSIX system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def nobody() -> Iterator[None]:
    """Be somebody to whom all that the test has made is closed."""
    if sys.platform == "win32" or os.getuid() != 0:
        pytest.skip("only root can step down")
    with as_another_user():
        yield


def _break(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def _to(place: str) -> Callable[[Path], object]:
    return lambda folder: back_up(settings(folder), folder / place)


def _from(statement: str) -> Callable[[Path], object]:
    def restore(folder: Path) -> None:
        _break(folder / "copy", statement)
        put_back(settings(folder), folder / "copy")

    return restore


def _without(context: Callable[[], object], act: Callable[[Path], object]) -> Callable[[Path], object]:
    def run(folder: Path) -> None:
        with context():  # type: ignore[attr-defined]
            act(folder)

    return run


def _restore(folder: Path) -> None:
    put_back(settings(folder), folder / "copy")


FAILURES: dict[str, Callable[[Path], object]] = {
    "a folder that is not there": _to("nowhere/copy"),
    "a folder in the way": _to("."),
    "a file for a folder": _to("copy/copy"),
    "a name that is too long": _to("x" * 300),
    "no room for the copy": _without(no_room, _to("another")),
    "no room for what is restored": _without(no_room, _restore),
    "somebody else's database": _without(nobody, _to("another")),
    "somebody else's copy": _without(nobody, _restore),
    "a newer release's copy": _from("UPDATE alembic_version SET version_num = '9999'"),
    "a copy of no release": _from("DELETE FROM alembic_version"),
    "a pattern for a release": _from("UPDATE alembic_version SET version_num = '0*'"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_whatever_fails_is_one_line_and_leaves_all_as_it_was(
    failure: Callable[[Path], object], tmp_path: Path
) -> None:
    await filled(tmp_path, "es")
    back_up(settings(tmp_path), tmp_path / "copy")
    with pytest.raises(ConfigurationError) as refused:
        failure(tmp_path)
    assert len(str(refused.value).splitlines()) == 1
    own = {f"{DATABASE_FILE}{suffix}" for suffix in ("", "-wal", "-shm", ".lock")}
    assert set(os.listdir(tmp_path)) - own == {"copy"}
    assert await language(tmp_path) == "es"


async def test_a_folder_that_may_not_be_written_takes_no_copy_and_gives_one(tmp_path: Path) -> None:
    await filled(tmp_path / "data", "es")
    back_up(settings(tmp_path / "data"), tmp_path / "copy")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        closed = Path(place)
        (closed / "copy").write_bytes((tmp_path / "copy").read_bytes())
        os.chmod(closed, 0o755)
        os.chmod(closed / "copy", 0o644)
        with nobody(), tempfile.TemporaryDirectory(dir="/var/tmp") as own:
            put_back(settings(Path(own) / "data"), closed / "copy")
            with pytest.raises(ConfigurationError, match="Permission denied"):
                back_up(settings(Path(own) / "data"), closed / "another")
        assert os.listdir(closed) == ["copy"]
