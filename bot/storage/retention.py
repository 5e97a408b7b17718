"""Deleting what an admin wants deleted, and what is past its time."""

from typing import Final

from sqlalchemy import delete

from bot.settings import BotSettings
from bot.storage.database import Database
from bot.storage.guilds import GuildStore
from bot.storage.results import ResultStore
from bot.storage.tables import corrections, requests

DAY_S: Final = 86_400.0


class Retention:
    """Deletes rows from all tables, each time in one transaction.

    Args:
        settings: the retention times.
        database: where the rows are.
        guilds: holds the servers' settings in memory as well.
        results: knows which songs nobody needs any more.
    """

    def __init__(self, settings: BotSettings, database: Database, guilds: GuildStore, results: ResultStore) -> None:
        self._settings = settings
        self._database = database
        self._guilds = guilds
        self._results = results

    async def forget_guild(self, guild_id: int) -> None:
        """Delete all that is stored of a server, its settings included.

        Raises:
            StoreError: nothing was deleted.
        """
        async with self._database.writing() as connection:
            for table in (requests, corrections):
                await connection.execute(delete(table).where(table.c.guild_id == guild_id))
            await self._guilds.delete(connection, [guild_id])
            await self._results.delete_orphans(connection)
        self._guilds.forget([guild_id])

    async def forget_member(self, guild_id: int, user_id: int) -> None:
        """Delete what is stored of a member in a server.

        Raises:
            StoreError: nothing was deleted.
        """
        async with self._database.writing() as connection:
            for table in (requests, corrections):
                await connection.execute(delete(table).where(table.c.guild_id == guild_id, table.c.user_id == user_id))
            await self._results.delete_orphans(connection)

    async def apply(self) -> None:
        """Delete what is past its time, and give the room back to the disk.

        Raises:
            StoreError: nothing was deleted.
        """
        now = self._database.clock()
        oldest_request = now - self._settings.retention_days * DAY_S
        oldest_correction = now - self._settings.correction_days * DAY_S
        async with self._database.writing() as connection:
            left = await self._guilds.left_before(connection, now - self._settings.grace_days * DAY_S)
            for table in (requests, corrections):
                await connection.execute(delete(table).where(table.c.guild_id.in_(left)))
            await self._guilds.delete(connection, left)
            await connection.execute(delete(requests).where(requests.c.asked_at < oldest_request))
            await self._results.delete_unused_since(connection, oldest_request)
            await connection.execute(delete(corrections).where(corrections.c.corrected_at < oldest_correction))
            await self._results.delete_orphans(connection)
            await self._results.shrink_to_quota(connection)
        self._guilds.forget(left)
        await self._database.vacuum()
