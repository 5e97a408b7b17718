"""Connections to the database: many readers, one writer at a time, and one error for whatever fails."""

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from bot.settings import BotSettings
from bot.storage.engine import POOL_SIZE, cause, migrate, open_engine
from bot.storage.tables import meta

log = logging.getLogger(__name__)

CLOSE_S: Final = 2.0

DELETED_AT_ONCE: Final = 5_000
DELETE_LOCK: Final = 7_201_402
"""Key of PostgreSQL's advisory lock: those who delete rows of others do so one after the other, and never deadlock."""


DATABASE_ERRORS: Final = (SQLAlchemyError, sqlite3.Error)
"""SQLAlchemy's own, and SQLite's where its driver is called without SQLAlchemy."""


class StoreError(Exception):
    """The database did not answer as it should; the cause is in the log."""


class Database:
    """What the stores read from and write to.

    Args:
        settings: where the database is.
        clock: seconds since the epoch; the stores take their times from it.

    Raises:
        ConfigurationError: the file cannot be used, or the URL is not one of a database.
    """

    def __init__(self, settings: BotSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._engine = open_engine(settings)
        # SQLite has one writer: waiting here costs no thread and no busy timeout. PostgreSQL has as many as it has
        # connections, and locks rows.
        one_writer = self._engine.dialect.name == "sqlite"
        self._writers = 1 if one_writer else POOL_SIZE
        self._write_lock = asyncio.Semaphore(self._writers)

    @property
    def on_postgresql(self) -> bool:
        """Whether it is a PostgreSQL, which processes on several machines may share."""
        return self._engine.dialect.name == "postgresql"

    async def open(self) -> None:
        """Bring the schema up to date.

        Raises:
            ConfigurationError: the database cannot be used.
        """
        await migrate(self._engine)

    async def close(self) -> None:
        """Finish the writes that are going on, unless they hang, and close all connections."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for _ in range(self._writers):
                    await self._write_lock.acquire()
        await self._engine.dispose()

    async def reachable(self) -> bool:
        """Whether the database answers."""
        try:
            async with self.reading() as connection:
                await connection.execute(select(meta.c.key).limit(1))
        except StoreError:
            return False
        return True

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection to read from.

        Raises:
            StoreError: the database failed.
        """
        try:
            async with self._engine.connect() as connection:
                yield connection
        except DATABASE_ERRORS as error:
            raise _store_error(error) from None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction: committed at the end, rolled back on an error.

        Raises:
            StoreError: nothing was saved.
        """
        try:
            async with self._write_lock, self._engine.begin() as connection:
                yield connection
        except DATABASE_ERRORS as error:
            raise _store_error(error) from None

    async def vacuum(self) -> None:
        """Give the room of deleted rows back to the disk, the write-ahead log's too, where it is an SQLite file.

        Raises:
            StoreError: the database failed.
        """
        if self._engine.dialect.name != "sqlite":
            return
        async with self.writing() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            # Every step of this statement gives one page back: only a script is carried out to its end.
            if raw is not None:
                await raw.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")


async def upsert(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> None:
    """Insert a row, or put its values in the place of those of the row with the same primary key, in one statement.

    Others may do the same at the same time: the last one's stay.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    key = [column.name for column in table.primary_key]
    rest = {name: value for name, value in values.items() if name not in key}
    await connection.execute(
        dialect.insert(table).values(dict(values)).on_conflict_do_update(index_elements=key, set_=rest)
    )


async def add_or_insert(connection: AsyncConnection, table: Table, values: Mapping[str, Any], counted: str) -> None:
    """Insert a row, or add its number to that of the row with the same primary key, in one statement."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    await connection.execute(
        dialect.insert(table)
        .values(dict(values))
        .on_conflict_do_update(
            index_elements=list(table.primary_key), set_={counted: table.c[counted] + values[counted]}
        )
    )


async def insert_new(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with the same primary key; False where there is."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table).values(dict(values)).on_conflict_do_nothing()
    return (await connection.execute(insert.returning(*table.primary_key))).first() is not None


async def insert_missing(
    connection: AsyncConnection, column: Column[Any], ids: Iterable[int], values: Mapping[str, Any]
) -> None:
    """Insert rows for those of any number of ids that there are none for yet.

    Args:
        connection: in a transaction.
        column: primary key of a table, which the ids are put into.
        ids: any number.
        values: of the other columns, the same in each row.
    """
    of_postgresql = connection.dialect.name == "postgresql"
    parameter = bindparam(None, list(ids), type_=_Ids())
    each: ColumnElement[Any] = (
        func.unnest(parameter).column_valued("value")
        if of_postgresql
        else func.json_each(parameter).table_valued("value").c.value
    )
    # SQLite would take "ON CONFLICT" for the condition of a join, were there no other.
    chosen = select(each, *map(literal, values.values())).where(each.is_not(None))
    insert = (postgresql if of_postgresql else sqlite).insert(column.table)
    await connection.execute(insert.from_select([column.name, *values], chosen).on_conflict_do_nothing())


async def lock_until_commit(connection: AsyncConnection, key: int) -> None:
    """Wait until no other transaction holds a key, and hold it to the end of this one; SQLite's always are alone."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


async def try_lock_until_commit(connection: AsyncConnection, key: int) -> bool:
    """Hold a key to the end of this transaction, unless another one does; SQLite's transactions always are alone."""
    if connection.dialect.name != "postgresql":
        return True
    return bool((await connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key})).scalar())


async def delete_in_steps(database: Database, table: Table, condition: ColumnElement[bool]) -> None:
    """Delete rows, a few thousand in each transaction: nobody has to wait for all of them.

    Raises:
        StoreError: not all were deleted.
    """
    key = list(table.primary_key)
    some = select(*key).where(condition).limit(DELETED_AT_ONCE)
    deleted = DELETED_AT_ONCE
    while deleted >= DELETED_AT_ONCE:
        async with database.writing() as connection:
            await lock_until_commit(connection, DELETE_LOCK)
            deleted = (await connection.execute(delete(table).where(tuple_(*key).in_(some)))).rowcount


class _Ids(TypeDecorator[list[int]]):
    """Any number of ids as one parameter: an array, or JSON where there are none."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: list[int] | None, dialect: Dialect) -> Any:  # noqa: ANN401
        return value if dialect.name == "postgresql" else json.dumps(value)


class among(FunctionElement[bool]):  # noqa: N801 - used like a function, as SQLAlchemy's own are
    """Condition for the rows whose column is one of any number of ids; `IN` takes 32,767 of them at most."""

    type = Boolean()
    name = "among"
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], ids: Iterable[int]) -> None:
        super().__init__(column, bindparam(None, list(ids), type_=_Ids()))


@compiles(among, "postgresql")
def _array(element: among, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401
    column, ids = element.clauses
    return f"{compiler.process(column, **kw)} = ANY ({compiler.process(ids, **kw)})"


@compiles(among, "sqlite")
def _json(element: among, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401
    column, ids = element.clauses
    each = f"json_each({compiler.process(ids, **kw)})"
    return f"{compiler.process(column, **kw)} IN (SELECT value FROM {each})"  # noqa: S608 - a parameter's name


def _store_error(error: Exception) -> StoreError:
    log.warning("The database failed: %s", cause(error))
    return StoreError()
