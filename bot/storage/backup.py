"""Copies of the database, made while the bot runs, and put back while it does not."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from bot.settings import BotSettings
from bot.storage.engine import BUSY_SECONDS, MIGRATIONS, sqlite_file
from bot.storage.lock import sole_writer
from core.errors import ConfigurationError
from core.i18n.catalog import translate
from core.private_files import make_private_directory, make_private_file

KNOWN_REVISIONS: Final = frozenset(script.stem.partition("_")[0] for script in (MIGRATIONS / "versions").glob("*.py"))
"""Names of the migrations. Read at import: whoever copies as another user may not be able to look them up by then."""


def back_up(settings: BotSettings, target: Path) -> str:
    """Copy the database with SQLite's online backup; what is written meanwhile is in the copy or not at all.

    The copy appears under its name when it is complete.

    Raises:
        ConfigurationError: the database is not an SQLite file, or the copy cannot be made.
    """
    source = _database(settings)
    with one_line(source):
        if not source.is_file():
            raise ConfigurationError(translate("bot.backup.no-database", path=source))
    with one_line(target), _partial(target) as partial:
        if target.exists():
            raise ConfigurationError(translate("bot.backup.exists", path=target))
        _copy(source, partial)
        check_sound(partial, target)
        partial.replace(target)
        return translate("bot.backup.done", path=target, size=f"{target.stat().st_size / 1e6:.1f}")


def write_out(settings: BotSettings, stream: BinaryIO) -> None:
    """Write a copy to a stream, and leave nothing beside the database; raises as `back_up` does."""
    source = _database(settings)
    copy = source.with_name(f"{source.name}.{os.getpid()}")
    back_up(settings, copy)
    try:
        with one_line(Path("standard output")), copy.open("rb") as file:
            shutil.copyfileobj(file, stream)
            stream.flush()
    finally:
        copy.unlink(missing_ok=True)


def put_back(settings: BotSettings, copy: Path, named: Path | None = None) -> str:
    """Put a copy in the database's place, whatever is there; one of an older release is migrated at the next start.

    Args:
        settings: where the database is.
        copy: the copy.
        named: what it is called in what is said of it.

    Raises:
        ConfigurationError: there is no such copy, it is damaged, it is of a newer release, or a bot is running.
    """
    target = _database(settings)
    named = named or copy
    with one_line(named):
        if not copy.is_file():
            raise ConfigurationError(translate("bot.backup.no-database", path=named))
        check_sound(copy, named)
    with one_line(target):
        make_private_directory(target.parent)
        with sole_writer(settings), _partial(target) as partial:
            _copy(copy, partial, is_copy=True)
            # What a database that is damaged left in its write-ahead log is not the copy's.
            for suffix in ("-wal", "-shm"):
                target.with_name(target.name + suffix).unlink(missing_ok=True)
            partial.replace(target)
    return translate("bot.backup.restored", path=named)


def read_in(settings: BotSettings, stream: BinaryIO) -> str:
    """Put the copy that a stream holds in the database's place; raises as `put_back` does."""
    target = _database(settings)
    copy = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with one_line(copy):
            make_private_directory(copy.parent)
            make_private_file(copy)
            with copy.open("wb") as file:
                shutil.copyfileobj(stream, file)
        return put_back(settings, copy, Path("standard input"))
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


@contextlib.contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Turn whatever fails into one line that names a path."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or type(error).__name__} ({path})"
        raise ConfigurationError(translate("bot.backup.failed", reason=reason)) from None
    except sqlite3.Error as error:
        raise ConfigurationError(translate("bot.backup.failed", reason=f"{error} ({path})")) from None


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give an empty file beside the one that it is to become; it is removed if it does not."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        # Members' data: for the owner's eyes only, like the directory that it comes from.
        make_private_file(partial)
        yield partial
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def _database(settings: BotSettings) -> Path:
    path = sqlite_file(settings)
    if path is None:
        raise ConfigurationError(translate("bot.backup.not-sqlite"))
    return path


def _copy(source: Path, target: Path, *, is_copy: bool = False) -> None:
    with (
        closing(open_to_read(source, is_copy=is_copy)) as old,
        closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as new,
    ):
        old.backup(new)


def open_to_read(path: Path, *, is_copy: bool = False) -> sqlite3.Connection:
    """Open a database; one that nobody writes is opened also where its folder is closed to us, and left as it is."""
    immutable = "&immutable=1" if is_copy and not path.with_name(f"{path.name}-wal").exists() else ""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{immutable}", uri=True, timeout=BUSY_SECONDS)


def check_sound(path: Path, named: Path) -> None:
    """Read a copy through.

    Raises:
        ConfigurationError: it is damaged, none of ours, or of a newer release.
    """
    with closing(open_to_read(path, is_copy=True)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        ours = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if sound and ours else None
    if row is None:
        raise ConfigurationError(translate("bot.backup.damaged", path=named))
    if row[0] not in KNOWN_REVISIONS:
        raise ConfigurationError(translate("bot.start.database-newer"))
