"""How often each genre was asked about: by a server, and by each member who wants that to be counted."""

from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.database import Database, add_or_insert, insert_new
from bot.storage.tables import genre_counts, requests

COUNTED_KINDS: Final = ("slash", "menu", "dropped", "direct", "compare")
"""Kinds of requests that somebody makes about a song; a button under an answer asks about the same one again."""

NOBODY: Final = 0
"""Stands for no member in a server's counts, and for no server in a member's."""

WANTED: Final = ""
"""Genre of the row that says that a member wants to be counted."""


async def count_genre(
    connection: AsyncConnection, kind: str, guild_id: int | None, user_id: int, genre: str, *, private: bool
) -> None:
    """Count a request: for its server where it is public, and for its member where they want it."""
    if kind not in COUNTED_KINDS:
        return
    if guild_id is not None and not private:
        await _add(connection, guild_id, NOBODY, genre, 1)
    if await _wants(connection, user_id):
        await _add(connection, NOBODY, user_id, genre, 1)


class TasteStore:
    """Reads the counts.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_guild(self, guild_id: int, since: float | None) -> dict[str, int]:
        """Count a server's public requests by genre.

        Args:
            guild_id: the server.
            since: seconds since the epoch; None counts all, also those whose rows are deleted by now.

        Raises:
            StoreError: the database failed.
        """
        asked = and_(requests.c.guild_id == guild_id, requests.c.private.is_(False))
        return await self._counts(guild_id, NOBODY, asked, since)

    async def of_member(self, user_id: int, since: float | None) -> dict[str, int] | None:
        """Count a member's own requests everywhere by genre, as `of_guild`; None where they have not asked for it.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            if not await _wants(connection, user_id):
                return None
        return await self._counts(NOBODY, user_id, requests.c.user_id == user_id, since)

    async def opt_in(self, user_id: int) -> None:
        """Count what a member asks from now on, beginning with what is stored of them.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            wanted = {"guild_id": NOBODY, "user_id": user_id, "genre": WANTED, "number": 0}
            if not await insert_new(connection, genre_counts, wanted):
                return
            for genre, number in (await _stored(connection, requests.c.user_id == user_id, None)).items():
                await _add(connection, NOBODY, user_id, genre, number)

    async def opt_out(self, user_id: int) -> None:
        """Delete a member's counts, and count no more.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(genre_counts).where(_of(NOBODY, user_id)))

    async def _counts(
        self, guild_id: int, user_id: int, asked: ColumnElement[bool], since: float | None
    ) -> dict[str, int]:
        async with self._database.reading() as connection:
            if since is not None:
                return await _stored(connection, asked, since)
            kept = select(genre_counts.c.genre, genre_counts.c.number).where(_of(guild_id, user_id))
            return {row.genre: row.number for row in await connection.execute(kept) if row.number}


def _of(guild_id: int, user_id: int) -> ColumnElement[bool]:
    return and_(genre_counts.c.guild_id == guild_id, genre_counts.c.user_id == user_id)


async def _wants(connection: AsyncConnection, user_id: int) -> bool:
    wanted = select(genre_counts.c.number).where(_of(NOBODY, user_id), genre_counts.c.genre == WANTED)
    return (await connection.execute(wanted)).first() is not None


async def _stored(connection: AsyncConnection, asked: ColumnElement[bool], since: float | None) -> dict[str, int]:
    number = func.count()
    query = (
        select(requests.c.genre, number)
        .where(asked, requests.c.genre.is_not(None), requests.c.kind.in_(COUNTED_KINDS))
        .group_by(requests.c.genre)
    )
    if since is not None:
        query = query.where(requests.c.asked_at >= since)
    return {str(genre): int(n) for genre, n in await connection.execute(query)}


async def _add(connection: AsyncConnection, guild_id: int, user_id: int, genre: str, number: int) -> None:
    row = {"guild_id": guild_id, "user_id": user_id, "genre": genre, "number": number}
    await add_or_insert(connection, genre_counts, row, "number")
