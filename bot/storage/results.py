"""What the model said of each song, and the song's spectrogram, under a quota.

Both are keyed by the sha256 of the song's bytes and carry no name; names are in the rows of the requests, each with the
member who asked.
"""

import asyncio
import json
from dataclasses import asdict, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Row, and_, delete, exists, false, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.database import (
    DELETE_LOCK,
    Database,
    StoreError,
    delete_in_steps,
    insert_new,
    lock_until_commit,
    try_lock_until_commit,
    upsert,
)
from bot.storage.tables import requests, results, songs
from core.audio.spectrogram import QuantizedMel
from core.constants import FRONT_END_VERSION, SECTION_SECONDS, SEGMENT_SECONDS
from core.service.identify import CachedResult, CacheKey
from core.verdict import Prediction

OTHER_PARTS_FROM_S: Final = SECTION_SECONDS + SEGMENT_SECONDS
"""A song of this duration or longer has another part to ask about."""

_KEPT: Final = (results.c.verdict, results.c.embedding)
_EMBEDDING_TYPE: Final = "<f2"
GROWN: Final = 16
"""The quota is looked at when a process has filled this part of it, and every hour: a sum over all songs is slow."""

AT_ONCE: Final = 1_000
QUOTA_LOCK: Final = 7_201_401


class ResultStore:
    """Implements `core.service.identify.Cache`. A result is kept as long as its song.

    Args:
        database: where they are kept.
        quota_bytes: room for spectrograms and predictions together.
    """

    def __init__(self, database: Database, *, quota_bytes: int) -> None:
        self._database = database
        self._quota_bytes = quota_bytes
        self._grown = 0
        """Bytes that this process has put here since it last looked at the quota."""

    async def get(self, key: CacheKey) -> CachedResult | None:
        """Look up the result for the same bytes; a failing database is a miss, and costs no answer."""
        try:
            async with self._database.reading() as connection:
                row = (await connection.execute(select(*_KEPT).where(_has_key(key)))).first()
            if row is None:
                return None
            await self._touch(key.sha256)
        except StoreError:
            return None
        return CachedResult(await asyncio.to_thread(_prediction, row))

    async def put(self, key: CacheKey, result: CachedResult) -> None:
        """Keep a result, and the song's spectrogram if it comes along."""
        # Beside the loop: the prediction for all of a long song is a megabyte, its spectrogram many.
        prediction, embedding, mel = await asyncio.to_thread(_serialised, result)
        size = len(prediction) + len(embedding or b"")
        now = self._database.clock()
        try:
            async with self._database.writing() as connection:
                known = await connection.execute(update(songs).where(songs.c.sha256 == key.sha256).values(used_at=now))
                if not known.rowcount:
                    if mel is None:
                        return
                    song = {"sha256": key.sha256, "size": len(mel), "used_at": now, "mel": mel}
                    await insert_new(connection, songs, song)
                elif mel is not None:  # the one that is kept may be an older front end's
                    older = and_(songs.c.sha256 == key.sha256, ~_has_results_of(key.front_end))
                    await connection.execute(update(songs).where(older).values(size=len(mel), mel=mel))
                row = {
                    **asdict(key),
                    "size": size,
                    "verdict": prediction,
                    "embedding": embedding,
                }
                await upsert(connection, results, row)
            self._grown += size + len(mel or b"")
            if self._grown > self._quota_bytes / GROWN:
                await self.shrink_to_quota()
        except StoreError:
            return

    async def spectrogram(self, sha256: str) -> QuantizedMel | None:
        """Spectrogram of a song, to classify another part of it or to draw it; None when it is not kept, or no longer.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            current = and_(songs.c.sha256 == sha256, _has_results_of(FRONT_END_VERSION))
            mel = (await connection.execute(select(songs.c.mel).where(current))).scalar()
        if not mel:
            return None
        await self._touch(sha256)
        return QuantizedMel.from_bytes(mel)

    async def find(self, sha256: str, model: str, part: str) -> Prediction | None:
        """Look up the result of a request that was answered before; `model` is its name and version.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            rows = await connection.execute(select(*_KEPT).where(results.c.sha256 == sha256, results.c.part == part))
            for row in rows:
                prediction = await asyncio.to_thread(_prediction, row)
                if str(prediction.model) == model:
                    return prediction
        return None

    async def shrink_to_quota(self) -> None:
        """Delete songs until the rest fits the quota: the ones not asked for longest go first.

        One process does so at a time; another one's quota is the same.

        Raises:
            StoreError: nothing was deleted.
        """
        self._grown = 0
        async with self._database.writing() as connection:
            if not await try_lock_until_commit(connection, QUOTA_LOCK):
                return
            excess = await self._stored_bytes(connection) - self._quota_bytes
            size_of_results = (
                select(func.coalesce(func.sum(results.c.size), 0))
                .where(results.c.sha256 == songs.c.sha256)
                .scalar_subquery()
            )
            size = (songs.c.size + size_of_results).label("size")
            oldest = select(songs.c.sha256, size).order_by(songs.c.used_at).limit(AT_ONCE)
            if excess > 0:  # a sum over all songs is slow: nobody waits for that
                await lock_until_commit(connection, DELETE_LOCK)
            while excess > 0:
                evicted = []
                for row in await connection.execute(oldest):
                    if excess <= 0:
                        break
                    evicted.append(row.sha256)
                    excess -= row.size
                if not evicted:
                    break
                await connection.execute(delete(songs).where(songs.c.sha256.in_(evicted)))

    async def delete_unused_since(self, moment: float) -> None:
        """Delete songs that nobody has asked for since that moment; their results go with them.

        Raises:
            StoreError: not all were deleted.
        """
        await delete_in_steps(self._database, songs, songs.c.used_at < moment)

    async def delete_orphans(self) -> None:
        """Delete songs that no request names any more; their results go with them.

        Raises:
            StoreError: not all were deleted.
        """
        await delete_in_steps(self._database, songs, ~exists().where(requests.c.sha256 == songs.c.sha256))

    async def kept_for(self, connection: AsyncConnection, asked: ColumnElement[bool]) -> int:
        """Count the songs that only requests with that condition name."""
        count = select(func.count()).select_from(songs).where(_only_named_by(asked))
        return int((await connection.execute(count)).scalar_one())

    async def delete_kept_for(self, connection: AsyncConnection, asked: ColumnElement[bool]) -> None:
        """Delete the songs that only requests with that condition name; their results go with them."""
        await connection.execute(delete(songs).where(_only_named_by(asked)))

    async def _touch(self, sha256: str) -> None:
        async with self._database.writing() as connection:
            now = self._database.clock()
            await connection.execute(update(songs).where(songs.c.sha256 == sha256).values(used_at=now))

    async def _stored_bytes(self, connection: AsyncConnection) -> int:
        of_songs = (await connection.execute(select(func.coalesce(func.sum(songs.c.size), 0)))).scalar_one()
        of_results = (await connection.execute(select(func.coalesce(func.sum(results.c.size), 0)))).scalar_one()
        return int(of_songs + of_results)


def embedding_from_bytes(stored: bytes) -> NDArray[np.float32]:
    """Read an embedding as it is stored."""
    return np.frombuffer(stored, _EMBEDDING_TYPE).astype(np.float32)


def _serialised(result: CachedResult) -> tuple[str, bytes | None, bytes | None]:
    """Prediction, embedding and spectrogram as they are stored, None where there is none.

    An embedding takes a tenth of the room that its numbers take in the prediction's JSON, and can be read without it.
    """
    spectrogram = result.spectrogram.to_bytes() if result.spectrogram is not None else None
    embedding = result.prediction.embedding
    stored = np.array(embedding, _EMBEDDING_TYPE).tobytes() if embedding else None
    return json.dumps(replace(result.prediction, embedding=()).to_dict()), stored, spectrogram


def _prediction(row: Row[*tuple[Any, ...]]) -> Prediction:
    prediction = Prediction.from_dict(json.loads(row.verdict))
    if row.embedding:
        prediction = replace(prediction, embedding=tuple(embedding_from_bytes(row.embedding).tolist()))
    return prediction


def _only_named_by(asked: ColumnElement[bool]) -> ColumnElement[bool]:
    """Condition for the songs that are named by requests with a condition, and by none without it."""
    named = select(requests.c.sha256).where(requests.c.sha256.is_not(None), asked)
    # A condition on the server is null, and no more false, for a direct conversation.
    others = exists().where(requests.c.sha256 == songs.c.sha256, func.coalesce(asked, false()).is_(false()))
    return and_(songs.c.sha256.in_(named), ~others)


def _has_results_of(front_end: str) -> ColumnElement[bool]:
    """Condition for the songs whose spectrogram is this front end's: it is kept with the first result of it."""
    return exists().where(results.c.sha256 == songs.c.sha256, results.c.front_end == front_end)


def _has_key(key: CacheKey) -> ColumnElement[bool]:
    return and_(*(results.c[field.name] == getattr(key, field.name) for field in fields(key)))
