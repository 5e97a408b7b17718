"""Small values that the bot needs again after a restart."""

from sqlalchemy import Float, case, cast, func, select, update

from bot.storage.database import Database, insert_new, upsert
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
            await upsert(connection, meta, {"key": key, "value": value})

    async def claim_turn(self, key: str, period_s: float) -> bool:
        """Take the turn to do something that one process does, once in a period; False where it is not time yet.

        Raises:
            StoreError: nothing was saved.
        """
        now = self._database.clock()
        async with self._database.writing() as connection:
            if await insert_new(connection, meta, {"key": key, "value": str(now)}):
                return True
            # A clock that was set back does not stop it for ever. The value of no other key is read as a number.
            age = case((meta.c.key == key, func.abs(cast(meta.c.value, Float) - now)), else_=0.0)
            taken = await connection.execute(
                update(meta).where(meta.c.key == key, age >= period_s).values(value=str(now))
            )
            return bool(taken.rowcount)
