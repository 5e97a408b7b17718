"""The songs that a server has heard, by how alike they sound: the cosine of the model's embeddings."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Row, and_, select, update

from bot.storage.database import Database
from bot.storage.requests import RequestRow
from bot.storage.results import embedding_from_bytes
from bot.storage.tables import requests, results

LEAST_SIMILARITY: Final = 0.5
"""Of two songs in ten, chosen at random, one is as near to the other: below that they have nothing in common."""

MOST_COMPARED: Final = 5_000
"""Requests that one search looks at, the latest."""

MOST_FOUND: Final = 40


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A song that sounds like another.

    Attributes:
        name: what the member who asked last calls it.
        similarity: cosine, 1 at most.
        channel_id: where it was posted or asked about.
        message_id: likewise.
    """

    name: str
    genre: str
    similarity: float
    channel_id: int
    message_id: int


class NeighbourStore:
    """Looks among what was asked in one server for everyone to see; nothing private, nothing of other servers.

    Args:
        database: where requests and results are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exist(self, guild_id: int, sha256: str) -> bool:
        """Whether a server has heard any other song that can be compared with this one.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            own = (await connection.execute(_embedding_of(results.c.sha256 == sha256))).first()
            if own is None:
                return False
            other = select(requests.c.id).join(results, _same_part()).where(_comparable(guild_id, sha256, own)).limit(1)
            return (await connection.execute(other)).first() is not None

    async def nearest(self, request: RequestRow) -> list[Neighbour] | None:
        """Find the songs that sound most like a request's, in its server; None where its embedding is not kept.

        Raises:
            StoreError: the database failed.
        """
        if request.guild_id is None:
            return None
        song = and_(results.c.sha256 == request.sha256, results.c.part == request.part)
        async with self._database.reading() as connection:
            own = (await connection.execute(_embedding_of(song))).first()
            if own is None:
                return None
            others = (
                select(
                    requests.c.sha256,
                    requests.c.name,
                    requests.c.genre,
                    requests.c.channel_id,
                    requests.c.message_id,
                    results.c.embedding,
                )
                .join(results, _same_part())
                .where(_comparable(request.guild_id, request.sha256 or "", own))
                .order_by(requests.c.id.desc())
                .limit(MOST_COMPARED)
            )
            rows = (await connection.execute(others)).all()
        return await asyncio.to_thread(_ranked, own.embedding, rows)

    async def forget_messages(self, message_ids: Sequence[int]) -> None:
        """Note that messages were deleted: their songs are no longer found.

        Raises:
            StoreError: nothing was saved.
        """
        gone = requests.c.message_id.in_(message_ids)
        async with self._database.reading() as connection:
            if (await connection.execute(select(requests.c.id).where(gone).limit(1))).first() is None:
                return
        async with self._database.writing() as connection:
            await connection.execute(update(requests).where(gone).values(message_id=None))


def _embedding_of(song: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a select has no type that is written in one line
    kept = and_(song, results.c.embedding.is_not(None))
    return select(results.c.embedding, results.c.model_sha256, results.c.front_end).where(kept).limit(1)


def _same_part() -> ColumnElement[bool]:
    return and_(results.c.sha256 == requests.c.sha256, results.c.part == requests.c.part)


def _comparable(guild_id: int, sha256: str, own: Row[Any]) -> ColumnElement[bool]:
    """Condition for the public requests of a server about other songs, with an embedding of the same model."""
    return and_(
        requests.c.guild_id == guild_id,
        requests.c.private.is_(False),
        requests.c.message_id.is_not(None),
        requests.c.sha256 != sha256,
        results.c.embedding.is_not(None),
        results.c.model_sha256 == own.model_sha256,
        results.c.front_end == own.front_end,
    )


def _ranked(own: bytes, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Neighbour]:
    """Give each song once, by its latest request, the nearest first."""
    latest = list({row.sha256: row for row in reversed(rows)}.values())
    if not latest:
        return []
    embeddings = np.stack([embedding_from_bytes(row.embedding) for row in latest])
    similarities = embeddings @ embedding_from_bytes(own)
    nearest = np.argsort(-similarities, kind="stable")[:MOST_FOUND]
    return [
        Neighbour(
            latest[i].name or "?",
            latest[i].genre,
            min(1.0, float(similarities[i])),
            latest[i].channel_id,
            latest[i].message_id,
        )
        for i in nearest
        if similarities[i] >= LEAST_SIMILARITY
    ]
