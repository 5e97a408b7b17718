"""Small values that the bot needs again after a restart."""

from sqlalchemy import delete, insert, select

from bot.storage.database import Database
from bot.storage.tables import meta


class MetaStore:
    """Values by key.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str) -> str | None:
        """Read a value; None where there is none.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            return (await connection.execute(select(meta.c.value).where(meta.c.key == key))).scalar()

    async def set(self, key: str, value: str) -> None:
        """Store a value.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(meta).where(meta.c.key == key))
            await connection.execute(insert(meta).values(key=key, value=value))
