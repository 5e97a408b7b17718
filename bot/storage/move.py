"""A host's data from its SQLite file into a PostgreSQL: all of it, or nothing."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL, Boolean, Table
from sqlalchemy.ext.asyncio import create_async_engine

from bot.settings import BotSettings
from bot.storage.backup import check_sound, one_line, open_to_read
from bot.storage.database import Database
from bot.storage.engine import MIGRATION_LOCK, POSTGRESQL_DRIVER, cause, connect_args, migrate, read_url, sqlite_file
from bot.storage.lock import sole_writer
from bot.storage.tables import meta, metadata
from core.errors import ConfigurationError
from core.i18n.catalog import translate

ROWS_AT_ONCE: Final = 16
"""A row may be a spectrogram of many megabytes."""


def move(settings: BotSettings, target: str) -> str:
    """Copy all that the SQLite file has into an empty PostgreSQL, in one transaction; the file stays as it is.

    Args:
        settings: where the file is: their database, or the one in the data folder where theirs is a server.
        target: URL of the PostgreSQL.

    Returns:
        What was done. Nothing here says more of the URL than the host and the database's name.

    Raises:
        ConfigurationError: there is no such file, it is damaged, or a bot is running; or the PostgreSQL cannot be used,
            or has data already.
    """
    url = read_url(target)
    if url.drivername != POSTGRESQL_DRIVER:
        raise ConfigurationError(translate("bot.backup.not-postgresql"))
    if sqlite_file(settings) is None:
        settings = settings.model_copy(update={"database_url": None, "queue_url": None})
    path = sqlite_file(settings)
    if path is None or not path.is_file():
        raise ConfigurationError(translate("bot.backup.no-database", path=path))
    with one_line(path):
        check_sound(path, path)
    place = f"{url.host or 'localhost'}/{url.database or ''}"
    with sole_writer(settings):
        asyncio.run(_bring_up_to_date(settings, url))
        try:
            with one_line(path), closing(open_to_read(path)) as source, _connect(url) as connection:
                rows = _copy_all(source, connection, place)
        except psycopg.Error as error:
            raise ConfigurationError(translate("bot.backup.failed", reason=f"{cause(error)} ({place})")) from None
    return translate("bot.backup.moved", place=place, rows=rows, path=path)


async def _bring_up_to_date(settings: BotSettings, url: URL) -> None:
    """Give both databases this release's tables."""
    source = Database(settings)
    try:
        await source.open()
    finally:
        await source.close()
    engine = create_async_engine(url, connect_args=connect_args(url))
    try:
        await migrate(engine)
    finally:
        await engine.dispose()


def _connect(url: URL) -> psycopg.Connection:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, **connect_args(url))


def _copy_all(source: sqlite3.Connection, target: psycopg.Connection, place: str) -> int:
    """Copy the rows of all tables; the target's transaction is committed by whoever opened the connection.

    Raises:
        ConfigurationError: the target is not empty, or a bot has run on it.
    """
    # A process that starts there meanwhile waits for this lock, and finds all or nothing.
    target.execute("SET LOCAL lock_timeout = 0")
    target.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
    tables = metadata.sorted_tables
    # A bot that has ever run there has left a key or two, though nobody has asked it anything yet.
    used = target.execute("SELECT FROM meta WHERE key <> 'writable'").fetchone() is not None
    if used or any(_has_rows(target, table) for table in tables if table is not meta):
        raise ConfigurationError(translate("bot.backup.not-empty", place=place))
    target.execute("DELETE FROM meta")
    copied = 0
    for table in tables:
        names = [column.name for column in table.columns]
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
        with target.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for row in _rows(source, table, names):
                    copy.write_row(row)
            copied += cursor.rowcount
    for table_name, last in source.execute("SELECT name, seq FROM sqlite_sequence"):
        if table_name in metadata.tables and last:
            # An id is never given twice, also not those of rows that are deleted.
            target.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (table_name, last))
    return copied


def _has_rows(target: psycopg.Connection, table: Table) -> bool:
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table.name))
    row = target.execute(statement).fetchone()
    return row is not None and bool(row[0])


def _rows(source: sqlite3.Connection, table: Table, names: list[str]) -> Iterator[list[Any]]:
    listed = ", ".join(f'"{name}"' for name in names)
    cursor = source.execute(f'SELECT {listed} FROM "{table.name}"')  # noqa: S608 - names of our own tables
    kinds = [column.type for column in table.columns]
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        for row in rows:
            yield [_value(value, kind) for value, kind in zip(row, kinds, strict=True)]


def _value(value: Any, kind: object) -> Any:  # noqa: ANN401 - of a column
    """Give a value of SQLite's as PostgreSQL takes it: it has truth values, and no NUL in a text."""
    if value is None:
        return None
    if isinstance(kind, Boolean):
        return bool(value)
    return value.replace("\0", "") if isinstance(value, str) else value
