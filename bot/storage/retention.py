"""Deleting what an admin wants deleted, and what is past its time."""

import logging
from dataclasses import astuple, dataclass
from typing import Final

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select

from bot.settings import BotSettings
from bot.storage.database import DELETE_LOCK, Database, StoreError, delete_in_steps, lock_until_commit
from bot.storage.guilds import GuildStore, left_before
from bot.storage.meta import MetaStore
from bot.storage.results import ResultStore
from bot.storage.tables import corrections, games, genre_counts, guesses, open_requests, requests, scores

log = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
OPEN_S: Final = DAY_S
"""How long a request that a crash has ended can be asked again: Discord's addresses of files last as long.

A game that was never ended is kept for as long: the process that had it may come back only then.
"""

PERIOD_S: Final = 3_600.0
TURN: Final = "tidied"
"""Key under which is stored when old data was deleted last."""

MEMBERS_TABLES: Final = (requests, corrections, open_requests, games, guesses, scores, genre_counts)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data is meant: a server's, a member's in one server, or a member's everywhere.

    Attributes:
        guild_id: the server; None is everywhere, direct conversations included.
        user_id: the member; None is everyone.
    """

    guild_id: int | None = None
    user_id: int | None = None

    def __post_init__(self) -> None:
        """Refuse a scope of everyone everywhere: no request means that."""
        if self.guild_id is None and self.user_id is None:
            raise ValueError("a scope needs a server or a member")

    def of(self, table: Table) -> ColumnElement[bool]:
        """Condition for the rows of a table that has both columns."""
        wanted = {"guild_id": self.guild_id, "user_id": self.user_id}
        return and_(*(table.c[name] == value for name, value in wanted.items() if value is not None))

    def has(self, guild_id: int | None, user_id: int) -> bool:
        """Whether what a member asks in a server, or directly (None), is meant."""
        return self.guild_id in (None, guild_id) and self.user_id in (None, user_id)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is stored of someone, as counts.

    Attributes:
        requests: the songs they asked about.
        corrections: what they say that songs are.
        songs: spectrograms and results of songs that nobody else asked about.
        scores: scores in the guessing game, one a server.
        taste: whether the genres they ask about are counted.
        open: requests that are not answered yet, or were interrupted.
        games: guessing games that are not over and that they started or take part in.
    """

    requests: int
    corrections: int
    songs: int
    scores: int = 0
    taste: bool = False
    open: int = 0
    games: int = 0

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return any(astuple(self))


class Retention:
    """Deletes rows from all tables.

    Args:
        settings: the retention times.
        database: where the rows are.
        guilds: holds the servers' settings in memory as well.
        results: knows which songs nobody needs any more.
        meta: knows when old data was deleted last.
    """

    def __init__(
        self, settings: BotSettings, database: Database, guilds: GuildStore, results: ResultStore, meta: MetaStore
    ) -> None:
        self._meta = meta
        self._settings = settings
        self._database = database
        self._guilds = guilds
        self._results = results

    async def held(self, scope: Scope) -> Holdings:
        """Count what `forget` would delete.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            taking_part = select(guesses.c.game_id).where(scope.of(guesses))
            theirs = {table: scope.of(table) for table in (requests, corrections, scores, genre_counts, open_requests)}
            theirs[games] = or_(scope.of(games), games.c.id.in_(taking_part))
            counts = {
                table: (await connection.execute(select(func.count()).select_from(table).where(own))).scalar_one()
                for table, own in theirs.items()
            }
            songs = await self._results.kept_for(connection, scope.of(requests))
        return Holdings(
            counts[requests],
            counts[corrections],
            songs,
            counts[scores],
            counts[genre_counts] > 0,
            counts[open_requests],
            counts[games],
        )

    async def forget(self, scope: Scope) -> None:
        """Delete all that is stored of someone, and give the room back to the disk.

        The spectrograms and results of songs that nobody else asked about go too; of a whole server, its settings.

        Raises:
            StoreError: nothing was deleted.
        """
        async with self._database.writing() as connection:
            await lock_until_commit(connection, DELETE_LOCK)
            await self._results.delete_kept_for(connection, scope.of(requests))
            for table in MEMBERS_TABLES:
                await connection.execute(delete(table).where(scope.of(table)))
            if scope.guild_id is not None and scope.user_id is None:
                await self._guilds.delete(connection, lambda table: table.c.guild_id == scope.guild_id)
        if scope.guild_id is not None and scope.user_id is None:
            self._guilds.forget([scope.guild_id])
        await self._give_room_back()

    async def apply(self) -> None:
        """Delete what is past its time, and give the room back to the disk.

        Raises:
            StoreError: not all was deleted; the next time goes on.
        """
        now = self._database.clock()
        oldest_request = now - self._settings.retention_days * DAY_S
        oldest_correction = now - self._settings.correction_days * DAY_S
        left = left_before(now - self._settings.grace_days * DAY_S)
        for table in MEMBERS_TABLES:
            await delete_in_steps(self._database, table, left(table))
        for table, expired in (
            (requests, requests.c.asked_at < oldest_request),
            (open_requests, open_requests.c.asked_at < now - OPEN_S),
            (games, games.c.ends_at < now - OPEN_S),
            (corrections, corrections.c.corrected_at < oldest_correction),
            (scores, scores.c.played_at < oldest_correction),
        ):
            await delete_in_steps(self._database, table, expired)
        async with self._database.writing() as connection:
            await lock_until_commit(connection, DELETE_LOCK)
            await self._guilds.delete(connection, left)
        await self._results.delete_unused_since(oldest_request)
        await self._results.delete_orphans()
        await self._results.shrink_to_quota()
        await self._give_room_back()

    async def _give_room_back(self) -> None:
        """Give the room of what was deleted back to the disk; it is deleted also where that fails, until next time."""
        try:
            await self._database.vacuum()
        except StoreError:
            log.warning("The room of what was deleted was not given back to the disk")

    async def apply_in_turn(self) -> None:
        """Do as `apply` does, unless a process of the same database has done so within the hour.

        Raises:
            StoreError: not all was deleted; the next time goes on.
        """
        if await self._meta.claim_turn(TURN, PERIOD_S):
            await self.apply()
