"""Server settings, results, spectrograms, requests and corrections, in one database.

What is stored of a song is keyed by the sha256 of its bytes and carries no name; names are in the rows of the
requests, each with the member who asked.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.settings import BotSettings
from bot.storage.engine import cause, migrate, open_engine
from bot.storage.tables import channels, corrections, guilds, meta, requests, results, songs
from core.audio.spectrogram import QuantizedMel
from core.service.identify import CachedResult, CacheKey
from core.verdict import Prediction

log = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
CLOSE_S: Final = 2.0


class StoreError(Exception):
    """The database did not answer as it should; the cause is in the log."""


@dataclass(frozen=True, slots=True)
class GuildSettings:
    """What a server's admin has set; None is the host's own setting."""

    guild_id: int
    language: str | None = None
    links: bool = True
    max_duration_s: float | None = None
    cooldown_s: float | None = None
    places: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One song that somebody asked about, and what came of it.

    Attributes:
        kind: how it was asked: `slash`, `menu`, `dropped`, `part` or `whole`.
        asked_at: seconds since the epoch.
        seconds: from the asking to the answer.
        outcome: `verdict` or an error's code.
        part: `main`, `whole` or `start:62.0`.
        start: seconds, of the part that was heard.
        end: seconds, likewise.
        duration: seconds, of the whole song.
    """

    guild_id: int | None
    user_id: int
    kind: str
    private: bool
    asked_at: float
    seconds: float
    outcome: str
    genre: str | None = None
    sha256: str | None = None
    name: str | None = None
    model: str | None = None
    part: str | None = None
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """What a server asked, as counts."""

    outcomes: dict[str, int]
    genres: dict[str, int]
    corrections: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What one member says that one song is."""

    sha256: str
    user_id: int
    guild_id: int | None
    heard_as: str
    said: str
    model: str
    corrected_at: float


class Store:
    """The database, and the settings of all servers in memory.

    Implements `core.service.identify.Cache`. A result is kept as long as its song's spectrogram.

    Args:
        settings: where the database is, the quota and the retention times.
        clock: seconds since the epoch.
    """

    def __init__(self, settings: BotSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._engine = open_engine(settings)
        # SQLite has one writer: waiting here costs no thread and no busy timeout.
        self._writing = asyncio.Lock()
        self._guilds: dict[int, GuildSettings] = {}
        self._channels: dict[int, int] = {}

    async def open(self) -> None:
        """Migrate the schema and read the servers' settings.

        Raises:
            ConfigurationError: the database cannot be used.
        """
        await migrate(self._engine)
        async with self._reading() as connection:
            for row in await connection.execute(select(guilds).where(guilds.c.left_at.is_(None))):
                known = row._asdict()
                del known["left_at"]
                self._guilds[row.guild_id] = GuildSettings(**known)
            for row in await connection.execute(select(channels)):
                self._channels[row.channel_id] = row.guild_id

    async def close(self) -> None:
        """Finish the write that is going on, unless it hangs, and close all connections."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S), self._writing:
                pass
        await self._engine.dispose()

    async def reachable(self) -> bool:
        """Whether the database answers."""
        try:
            async with self._reading() as connection:
                await connection.execute(select(meta.c.key).limit(1))
        except StoreError:
            return False
        return True

    # --- servers

    def guild(self, guild_id: int | None) -> GuildSettings:
        """Give the settings of a server; a conversation outside servers has the defaults."""
        return self._guilds.get(guild_id or 0) or GuildSettings(guild_id or 0)

    async def save_guild(self, changed: GuildSettings) -> None:
        """Replace a server's settings.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._writes() as connection:
            await connection.execute(delete(guilds).where(guilds.c.guild_id == changed.guild_id))
            await connection.execute(insert(guilds).values(asdict(changed)))
        self._guilds[changed.guild_id] = changed

    def listens(self, *channel_ids: int | None) -> bool:
        """Whether one of these channels (a thread and its parent) is switched on for dropped audio."""
        return any(channel_id in self._channels for channel_id in channel_ids)

    def listening_channels(self, guild_id: int) -> list[int]:
        """Channels of a server that are switched on."""
        return sorted(channel for channel, guild in self._channels.items() if guild == guild_id)

    async def switch_channel(self, guild_id: int, channel_id: int, *, on: bool) -> None:
        """Switch dropped audio on or off in a channel.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._writes() as connection:
            await connection.execute(delete(channels).where(channels.c.channel_id == channel_id))
            if on:
                await connection.execute(insert(channels).values(channel_id=channel_id, guild_id=guild_id))
        if on:
            self._channels[channel_id] = guild_id
        else:
            self._channels.pop(channel_id, None)

    async def guild_left(self, guild_id: int) -> None:
        """Start the grace time of a server that the bot is no longer in."""
        async with self._writes() as connection:
            marked = await connection.execute(
                update(guilds).where(guilds.c.guild_id == guild_id).values(left_at=self._clock())
            )
            if not marked.rowcount:
                await connection.execute(insert(guilds).values(guild_id=guild_id, links=True, left_at=self._clock()))
        self._guilds.pop(guild_id, None)

    async def guild_present(self, guild_ids: Sequence[int]) -> None:
        """End the grace time of servers that the bot is in."""
        async with self._writes() as connection:
            back = list(
                await connection.execute(
                    select(guilds).where(guilds.c.left_at.is_not(None), guilds.c.guild_id.in_(guild_ids))
                )
            )
            await connection.execute(
                update(guilds).where(guilds.c.guild_id.in_([row.guild_id for row in back])).values(left_at=None)
            )
        for row in back:
            known = row._asdict()
            del known["left_at"]
            self._guilds[row.guild_id] = GuildSettings(**known)

    async def known_guilds(self) -> set[int]:
        """Servers of which anything is stored and whose grace time has not begun."""
        async with self._reading() as connection:
            found = {
                row.guild_id
                for row in await connection.execute(
                    select(requests.c.guild_id).where(requests.c.guild_id.is_not(None)).distinct()
                )
            }
            left = {
                row.guild_id
                for row in await connection.execute(select(guilds.c.guild_id).where(guilds.c.left_at.is_not(None)))
            }
        return (found | set(self._guilds) | set(self._channels.values())) - left

    # --- songs and results: core.service.identify.Cache

    async def get(self, key: CacheKey) -> CachedResult | None:
        """Look up the result for the same bytes; a failing database is a miss, and costs no answer."""
        try:
            async with self._reading() as connection:
                row = (
                    await connection.execute(select(results.c.verdict, results.c.picture).where(_is_result(key)))
                ).first()
            if row is None:
                return None
            await self._touch(key.sha256)
        except StoreError:
            return None
        return CachedResult(await asyncio.to_thread(_prediction, row.verdict), row.picture)

    async def put(self, key: CacheKey, result: CachedResult) -> None:
        """Keep a result, and the song's spectrogram if it comes along."""
        # Beside the loop: the prediction for all of a long song is a megabyte, its spectrogram many.
        described, mel = await asyncio.to_thread(_serialised, result)
        size = len(described) + len(result.picture or b"")
        try:
            async with self._writes() as connection:
                known = await connection.execute(
                    update(songs).where(songs.c.sha256 == key.sha256).values(used_at=self._clock())
                )
                if not known.rowcount:
                    if mel is None:
                        return
                    await connection.execute(
                        insert(songs).values(sha256=key.sha256, size=len(mel), used_at=self._clock(), mel=mel)
                    )
                await connection.execute(delete(results).where(_is_result(key)))
                await connection.execute(
                    insert(results).values(**asdict(key), size=size, verdict=described, picture=result.picture)
                )
                await self._shrink(connection)
        except StoreError:
            return

    async def song(self, sha256: str) -> QuantizedMel | None:
        """Spectrogram of a song, to be heard again; None when it is gone.

        Raises:
            StoreError: the database failed.
        """
        async with self._reading() as connection:
            mel = (await connection.execute(select(songs.c.mel).where(songs.c.sha256 == sha256))).scalar()
        if mel is None:
            return None
        await self._touch(sha256)
        return QuantizedMel.from_bytes(mel)

    async def result(self, sha256: str, model: str, part: str) -> CachedResult | None:
        """Look up the result of a request that was answered before, to be shown again.

        Raises:
            StoreError: the database failed.
        """
        async with self._reading() as connection:
            rows = await connection.execute(
                select(results.c.verdict, results.c.picture).where(results.c.sha256 == sha256, results.c.part == part)
            )
            for row in rows:
                prediction = await asyncio.to_thread(_prediction, row.verdict)
                if str(prediction.model) == model:
                    return CachedResult(prediction, row.picture)
        return None

    async def _touch(self, sha256: str) -> None:
        async with self._writes() as connection:
            await connection.execute(update(songs).where(songs.c.sha256 == sha256).values(used_at=self._clock()))

    async def _shrink(self, connection: AsyncConnection) -> None:
        """Bring what is kept of songs under the quota: the ones not asked for longest go first."""
        over = await self._stored_bytes(connection) - self._settings.store_bytes
        if over <= 0:
            return
        of_results = (
            select(func.coalesce(func.sum(results.c.size), 0))
            .where(results.c.sha256 == songs.c.sha256)
            .scalar_subquery()
        )
        oldest = await connection.execute(
            select(songs.c.sha256, (songs.c.size + of_results).label("size")).order_by(songs.c.used_at)
        )
        gone = []
        for row in oldest:
            if over <= 0:
                break
            gone.append(row.sha256)
            over -= row.size
        await connection.execute(delete(songs).where(songs.c.sha256.in_(gone)))

    async def _stored_bytes(self, connection: AsyncConnection) -> int:
        of_songs = (await connection.execute(select(func.coalesce(func.sum(songs.c.size), 0)))).scalar_one()
        of_results = (await connection.execute(select(func.coalesce(func.sum(results.c.size), 0)))).scalar_one()
        return int(of_songs + of_results)

    # --- requests and corrections

    async def add_request(self, row: RequestRow) -> int:
        """Write down a request that has ended; its id is what buttons carry.

        Raises:
            StoreError: nothing was saved.
        """
        values = asdict(row)
        del values["id"]
        async with self._writes() as connection:
            result = await connection.execute(insert(requests).values(values))
            key = result.inserted_primary_key
        return int(key[0]) if key else 0

    async def request(self, request_id: int) -> RequestRow | None:
        """Read a request; None when it is forgotten.

        Raises:
            StoreError: the database failed.
        """
        async with self._reading() as connection:
            row = (await connection.execute(select(requests).where(requests.c.id == request_id))).first()
        return None if row is None else RequestRow(**row._asdict())

    async def correct(self, request: RequestRow, user_id: int, said: str) -> None:
        """Keep what a member says that a song is: the last word of each on each song.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._writes() as connection:
            await connection.execute(
                delete(corrections).where(corrections.c.sha256 == request.sha256, corrections.c.user_id == user_id)
            )
            await connection.execute(
                insert(corrections).values(
                    sha256=request.sha256,
                    user_id=user_id,
                    guild_id=request.guild_id,
                    heard_as=request.genre,
                    said=said,
                    model=request.model or "",
                    corrected_at=self._clock(),
                )
            )

    async def corrections(self) -> list[Correction]:
        """Read all corrections, oldest first.

        Raises:
            StoreError: the database failed.
        """
        async with self._reading() as connection:
            rows = await connection.execute(select(corrections).order_by(corrections.c.corrected_at))
            return [Correction(**row._asdict()) for row in rows]

    async def stats(self, guild_id: int) -> Stats:
        """Count what a server asked within the retention time.

        Raises:
            StoreError: the database failed.
        """
        async with self._reading() as connection:
            here = requests.c.guild_id == guild_id

            async def counts(column: ColumnElement[str | None]) -> dict[str, int]:
                number = func.count()
                rows = await connection.execute(
                    select(column, number).where(here, column.is_not(None)).group_by(column).order_by(number.desc())
                )
                return {str(name): int(n) for name, n in rows}

            outcomes = await counts(requests.c.outcome)
            genres = await counts(requests.c.genre)
            said = await connection.execute(
                select(func.count()).select_from(corrections).where(corrections.c.guild_id == guild_id)
            )
            return Stats(outcomes, genres, said.scalar_one())

    # --- forgetting

    async def forget_guild(self, guild_id: int) -> None:
        """Delete all that is stored of a server, its settings included.

        Raises:
            StoreError: nothing was deleted.
        """
        async with self._writes() as connection:
            await self._forget_guilds(connection, [guild_id])
            await self._delete_orphans(connection)
        self._forget_in_memory([guild_id])

    async def forget_member(self, guild_id: int, user_id: int) -> None:
        """Delete what is stored of a member in a server.

        Raises:
            StoreError: nothing was deleted.
        """
        async with self._writes() as connection:
            for table in (requests, corrections):
                await connection.execute(delete(table).where(table.c.guild_id == guild_id, table.c.user_id == user_id))
            await self._delete_orphans(connection)

    async def apply_retention(self) -> None:
        """Delete what is past its time, and give the room back to the disk.

        Raises:
            StoreError: nothing was deleted.
        """
        now = self._clock()
        old = now - self._settings.retention_days * DAY_S
        async with self._writes() as connection:
            left = await connection.execute(
                select(guilds.c.guild_id).where(guilds.c.left_at <= now - self._settings.grace_days * DAY_S)
            )
            gone = [row.guild_id for row in left]
            await self._forget_guilds(connection, gone)
            await connection.execute(delete(requests).where(requests.c.asked_at < old))
            await connection.execute(delete(songs).where(songs.c.used_at < old))
            await connection.execute(
                delete(corrections).where(corrections.c.corrected_at < now - self._settings.correction_days * DAY_S)
            )
            await self._delete_orphans(connection)
            await self._shrink(connection)
        self._forget_in_memory(gone)
        if self._engine.dialect.name == "sqlite":
            await self._shrink_file()

    async def _shrink_file(self) -> None:
        async with self._writes() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            # Every step of this statement gives one page back: only a script is carried out to its end.
            if raw is not None:
                await raw.executescript("PRAGMA incremental_vacuum")

    async def _forget_guilds(self, connection: AsyncConnection, guild_ids: Sequence[int]) -> None:
        for table in (requests, corrections, channels, guilds):
            await connection.execute(delete(table).where(table.c.guild_id.in_(guild_ids)))

    async def _delete_orphans(self, connection: AsyncConnection) -> None:
        """Delete songs that no request names any more; their results go with them."""
        await connection.execute(delete(songs).where(~exists().where(requests.c.sha256 == songs.c.sha256)))

    def _forget_in_memory(self, guild_ids: Sequence[int]) -> None:
        for guild_id in guild_ids:
            self._guilds.pop(guild_id, None)
            for channel_id in self.listening_channels(guild_id):
                del self._channels[channel_id]

    # --- remembered between starts

    async def remembered(self, key: str) -> str | None:
        """Value of a key that `remember` wrote.

        Raises:
            StoreError: the database failed.
        """
        async with self._reading() as connection:
            return (await connection.execute(select(meta.c.value).where(meta.c.key == key))).scalar()

    async def remember(self, key: str, value: str) -> None:
        """Keep a value.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._writes() as connection:
            await connection.execute(delete(meta).where(meta.c.key == key))
            await connection.execute(insert(meta).values(key=key, value=value))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _failed(error) from None

    @asynccontextmanager
    async def _writes(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._writing, self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _failed(error) from None


def _serialised(result: CachedResult) -> tuple[str, bytes | None]:
    """Prediction and spectrogram as they are stored."""
    spectrogram = result.spectrogram.to_bytes() if result.spectrogram else None
    return json.dumps(result.prediction.to_dict()), spectrogram


def _prediction(stored: str) -> Prediction:
    return Prediction.from_dict(json.loads(stored))


def _failed(error: SQLAlchemyError) -> StoreError:
    log.warning("The database failed: %s", cause(error))
    return StoreError()


def _is_result(key: CacheKey) -> ColumnElement[bool]:
    return and_(*(results.c[field.name] == getattr(key, field.name) for field in fields(key)))
