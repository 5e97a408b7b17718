"""Turns to send IDENTIFY, which processes that share a PostgreSQL take from it: a row for each bucket of Discord's."""

from typing import Final

from sqlalchemy import text

from bot.storage.database import Database

LONGEST_S: Final = 3_600.0
"""A turn further ahead than this was given out by a clock that has been set back since: it is passed over."""


class IdentifySlotStore:
    """The turns of each bucket, one after the other.

    Args:
        database: where they are kept; a PostgreSQL.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(self, bucket: int, spacing_s: float) -> float:
        """Take the next turn of a bucket; gives the seconds until then, by the database's clock.

        Nobody has to be asked again: whoever dies before a turn leaves that one unused, and no other.

        Args:
            bucket: of the session start limit.
            spacing_s: seconds from a turn to the next one.

        Raises:
            StoreError: no turn was taken.
        """
        parameters = {"bucket": bucket, "spacing": spacing_s, "longest": LONGEST_S}
        async with self._database.writing() as connection:
            booked = await connection.execute(text(_BOOK), parameters)
            return max(0.0, float(booked.scalar_one()))


# The row is locked before its new value is computed: those who come at the same time get one turn after the other.
_BOOK: Final = """
INSERT INTO identify_slots AS slot (bucket, free_at)
VALUES (:bucket, extract(epoch FROM clock_timestamp()) + CAST(:spacing AS double precision))
ON CONFLICT (bucket) DO UPDATE SET free_at = CAST(:spacing AS double precision) + greatest(
    extract(epoch FROM clock_timestamp()),
    CASE WHEN slot.free_at < extract(epoch FROM clock_timestamp()) + CAST(:longest AS double precision)
        THEN slot.free_at END
)
RETURNING free_at - CAST(:spacing AS double precision) - extract(epoch FROM clock_timestamp())
"""
