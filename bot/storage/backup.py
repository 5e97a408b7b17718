"""Copies of the database, made while the bot runs, and put back while it does not."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.settings import BotSettings
from bot.storage.engine import BUSY_SECONDS, MIGRATIONS, sqlite_file
from bot.storage.lock import sole_writer
from core.errors import ConfigurationError
from core.i18n.catalog import translate
from core.private_files import make_private_directory, make_private_file


def back_up(settings: BotSettings, target: Path) -> str:
    """Copy the database with SQLite's online backup; what is written meanwhile is in the copy or not at all.

    The copy appears under its name when it is complete.

    Raises:
        ConfigurationError: the database is not an SQLite file, or the copy cannot be made.
    """
    source = _database(settings)
    if not source.is_file():
        raise ConfigurationError(translate("bot.backup.no-database", path=source))
    if target.exists():
        raise ConfigurationError(translate("bot.backup.exists", path=target))
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        # Members' data: for the owner's eyes only, like the directory that it comes from.
        make_private_file(partial)
        _copy(source, partial)
        _check(partial)
        partial.replace(target)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise ConfigurationError(translate("bot.backup.failed", reason=_reason(error))) from None
    return translate("bot.backup.done", path=target, size=f"{target.stat().st_size / 1e6:.1f}")


def put_back(settings: BotSettings, copy: Path) -> str:
    """Put a copy in the database's place; one of an older release is migrated at the next start.

    Raises:
        ConfigurationError: there is no such copy, it is damaged, it is of a newer release, or a bot is running.
    """
    target = _database(settings)
    if not copy.is_file():
        raise ConfigurationError(translate("bot.backup.no-database", path=copy))
    try:
        _check(copy)
        make_private_directory(target.parent)
        with sole_writer(settings):
            make_private_file(target)
            _copy(copy, target)
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(translate("bot.backup.failed", reason=_reason(error))) from None
    return translate("bot.backup.restored", path=copy)


def _database(settings: BotSettings) -> Path:
    path = sqlite_file(settings)
    if path is None:
        raise ConfigurationError(translate("bot.backup.not-sqlite"))
    return path


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as old,
        closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as new,
    ):
        old.backup(new)


def _check(path: Path) -> None:
    """Read a copy through.

    Raises:
        ConfigurationError: it is damaged, none of ours, or of a newer release.
    """
    with closing(sqlite3.connect(path)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        ours = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        if not sound or not ours:
            raise ConfigurationError(translate("bot.backup.damaged", path=path))
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if not list((MIGRATIONS / "versions").glob(f"{revision}_*.py")):
        raise ConfigurationError(translate("bot.start.database-newer"))


def _reason(error: OSError | sqlite3.Error) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
