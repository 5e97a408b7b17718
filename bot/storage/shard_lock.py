"""One process a shard, on however many machines: each holds its shards in the PostgreSQL that they share.

The locks are advisory ones of a connection's own, so they end with it: at once where a process ends, within seconds
where its machine is gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.settings import BotSettings
from bot.storage.engine import GONE_S, cause, open_engine
from core.errors import ConfigurationError
from core.i18n.catalog import translate

log = logging.getLogger(__name__)

SHARD_LOCK: Final = 7_201_403
"""Class of the locks that one process holds for each of its shards."""

COUNT_LOCK: Final = 7_201_404
"""Class of the locks that all share who have the same number of shards in all; 0 is a process that has all of them."""

WAIT_S: Final = GONE_S + 4.0
"""How long the server may take to notice that whoever held a shard is gone."""

AGAIN_S: Final = 0.5
CHECK_S: Final = 5.0


class ShardLock:
    """Holds the shards of this process.

    Args:
        settings: where the database is, and which shards are this process's.

    Raises:
        ConfigurationError: the URL is not one of a database.
    """

    def __init__(self, settings: BotSettings) -> None:
        self._engine = open_engine(settings)
        self._shards = settings.shard_ids or [0]  # who has all of them has that one
        self._count = settings.shard_count or 0 if settings.shard_ids else 0
        self._connection: AsyncConnection | None = None

    async def take(self, wait_s: float = WAIT_S) -> None:
        """Take hold of the shards.

        Args:
            wait_s: how long another process may still have one of them.

        Raises:
            ConfigurationError: it has one still, or the database cannot be used.
        """
        try:
            await self._take(wait_s)
        except SQLAlchemyError as error:
            raise ConfigurationError(translate("bot.start.database-write", reason=cause(error))) from None

    async def keep(self) -> None:
        """Keep hold of the shards over whatever happens to the database, for ever.

        Raises:
            ConfigurationError: another process has taken one of them meanwhile.
        """
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                if self._connection is not None:
                    await self._connection.execute(text("SELECT 1"))
                else:
                    await self._take(WAIT_S)
            except SQLAlchemyError as error:
                log.warning("The hold on the shards is lost, and taken again: %s", cause(error))
                await self._let_go()

    async def close(self) -> None:
        """Let go of the shards."""
        await self._let_go()
        await self._engine.dispose()

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.invalidate()  # closed, not given back to the pool: the locks are the connection's
                await connection.close()
            except SQLAlchemyError as error:
                log.debug("A connection could not be closed: %s", cause(error))

    async def _take(self, wait_s: float) -> None:
        connection = await self._engine.connect()
        self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        give_up_at = asyncio.get_running_loop().time() + wait_s
        while (holder := await self._holder(self._connection)) is not None:
            if asyncio.get_running_loop().time() >= give_up_at:
                raise ConfigurationError(translate("bot.start.shards-in-use", address=holder))
            await asyncio.sleep(AGAIN_S)

    async def _holder(self, connection: AsyncConnection) -> str | None:
        """Take the locks; where that cannot be, take none and give the address of one who has them."""
        parameters = {"shards": SHARD_LOCK, "counts": COUNT_LOCK, "count": self._count}
        await connection.execute(text("SELECT pg_advisory_lock_shared(:counts, :count)"), parameters)
        held = True
        for shard in self._shards:
            lock = text("SELECT pg_try_advisory_lock(:shards, :shard)")
            held = held and bool((await connection.execute(lock, {**parameters, "shard": shard})).scalar())
        other = (await connection.execute(text(_OTHER), {**parameters, "ids": self._shards})).scalar()
        if held and other is None:
            return None
        await connection.execute(text("SELECT pg_advisory_unlock_all()"))
        return str(other or "localhost")


_OTHER: Final = """
SELECT coalesce(host(activity.client_addr), 'localhost')
FROM pg_locks AS lock JOIN pg_stat_activity AS activity USING (pid)
WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 2 AND lock.pid <> pg_backend_pid()
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (
        (lock.classid::bigint = :counts AND lock.objid::bigint <> :count)
        OR (lock.classid::bigint = :shards AND lock.objid::bigint = ANY(:ids))
    )
LIMIT 1
"""


@asynccontextmanager
async def sole_server(settings: BotSettings) -> AsyncIterator[ShardLock]:
    """Hold this process's shards while the context lasts; whoever opens it has `ShardLock.keep` run meanwhile.

    Raises:
        ConfigurationError: another process has one of them.
    """
    lock = ShardLock(settings)
    try:
        await lock.take()
        yield lock
    finally:
        await lock.close()
