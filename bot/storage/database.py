"""Connections to the database: many readers, one writer at a time, and one error for whatever fails."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.settings import BotSettings
from bot.storage.engine import cause, migrate, open_engine
from bot.storage.tables import meta

log = logging.getLogger(__name__)

CLOSE_S: Final = 2.0


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
        # SQLite has one writer: waiting here costs no thread and no busy timeout.
        self._write_lock = asyncio.Lock()

    async def open(self) -> None:
        """Bring the schema up to date.

        Raises:
            ConfigurationError: the database cannot be used.
        """
        await migrate(self._engine)

    async def close(self) -> None:
        """Finish the write that is going on, unless it hangs, and close all connections."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S), self._write_lock:
                pass
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
        except SQLAlchemyError as error:
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
        except SQLAlchemyError as error:
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


def _store_error(error: SQLAlchemyError) -> StoreError:
    log.warning("The database failed: %s", cause(error))
    return StoreError()
