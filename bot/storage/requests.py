"""Who asked about which song, where and when, and what came of it."""

from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ColumnElement, func, insert, select

from bot.storage.database import Database
from bot.storage.tables import corrections, requests
from bot.storage.tastes import count_genre


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One song that somebody asked about, and what came of it.

    Attributes:
        kind: how it was asked, a `bot.jobs.request.RequestKind`.
        asked_at: seconds since the epoch.
        seconds: from the request to its answer.
        outcome: `verdict` or an error's code.
        genre: what the model predicted.
        sha256: of the song's bytes.
        name: what the asker calls the song.
        model: name and version.
        part: `main`, `whole` or `start:62.0`.
        start: seconds, of the part that was classified.
        end: seconds, likewise.
        duration: seconds, of the whole song.
        channel_id: where the song was posted or asked about.
        message_id: of the message with the song, or with the answer; None of what is private, and once it is deleted.
        reference: the short id that log lines and error messages carry.
        locale: the asker's language; None where it was not known.
        id: what buttons carry; None until it is stored.
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
    channel_id: int | None = None
    message_id: int | None = None
    reference: str | None = None
    locale: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """A server's requests of a time, as counts.

    Attributes:
        outcomes: `verdict` or an error's code → requests, most first.
        genres: genre → requests, most first.
        corrections: members' corrections.
    """

    outcomes: dict[str, int]
    genres: dict[str, int]
    corrections: int


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """A song that was not classified, without a word of what it was or who asked.

    Attributes:
        at: seconds since the epoch.
        code: the error's.
        kind: how it was asked.
        guild_id: the server; None in a direct conversation.
        reference: the short id that log lines and error messages carry.
    """

    at: float
    code: str
    kind: str
    guild_id: int | None
    reference: str | None


MAX_ERRORS: Final = 15
NO_ERRORS: Final = ("verdict", "cancelled", "cooldown")
"""Outcomes that are no errors: an answer, and what members meant to happen."""


class RequestStore:
    """The requests that have ended.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: RequestRow) -> int:
        """Store a request that has ended and give its id.

        Raises:
            StoreError: nothing was saved.
        """
        values = asdict(row)
        del values["id"]
        async with self._database.writing() as connection:
            result = await connection.execute(insert(requests).values(values))
            key = result.inserted_primary_key
            if row.genre is not None:
                await count_genre(connection, row.kind, row.guild_id, row.user_id, row.genre, private=row.private)
        return int(key[0]) if key else 0

    async def get(self, request_id: int) -> RequestRow | None:
        """Read a request; None when it is deleted.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(requests).where(requests.c.id == request_id))).first()
        return None if row is None else RequestRow(**row._asdict())

    async def last_locale(self, user_id: int) -> str | None:
        """Read the language of a member's last request of which it is known.

        Raises:
            StoreError: the database failed.
        """
        theirs = (requests.c.user_id == user_id) & requests.c.locale.is_not(None)
        query = select(requests.c.locale).where(theirs).order_by(requests.c.id.desc()).limit(1)
        async with self._database.reading() as connection:
            locale: str | None = (await connection.execute(query)).scalar()
            return locale

    async def stats(self, guild_id: int, seconds: float) -> Stats:
        """Count what was asked in a server in the last seconds, and corrected.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            since = self._database.clock() - seconds
            in_guild = (requests.c.guild_id == guild_id) & (requests.c.asked_at >= since)

            async def counts(column: ColumnElement[str | None]) -> dict[str, int]:
                number = func.count()
                rows = await connection.execute(
                    select(column, number).where(in_guild, column.is_not(None)).group_by(column).order_by(number.desc())
                )
                return {str(name): int(n) for name, n in rows}

            outcomes = await counts(requests.c.outcome)
            genres = await counts(requests.c.genre)
            # Those are kept for longer than the requests that they are about.
            recent = (corrections.c.guild_id == guild_id) & (corrections.c.corrected_at >= since)
            corrected = await connection.execute(select(func.count()).select_from(corrections).where(recent))
            return Stats(outcomes, genres, corrected.scalar_one())

    async def since(self, seconds: float) -> dict[str, int]:
        """Count all outcomes of the last seconds, most first.

        Raises:
            StoreError: the database failed.
        """
        number = func.count()
        recent = requests.c.asked_at >= self._database.clock() - seconds
        query = select(requests.c.outcome, number).where(recent).group_by(requests.c.outcome).order_by(number.desc())
        async with self._database.reading() as connection:
            return {str(outcome): int(n) for outcome, n in await connection.execute(query)}

    async def by_guild(self, seconds: float) -> dict[int, int]:
        """Count the songs that servers asked about in the last seconds.

        Raises:
            StoreError: the database failed.
        """
        recent = requests.c.asked_at >= self._database.clock() - seconds
        in_guilds = recent & requests.c.guild_id.is_not(None)
        query = select(requests.c.guild_id, func.count()).where(in_guilds).group_by(requests.c.guild_id)
        async with self._database.reading() as connection:
            return {int(guild_id): int(n) for guild_id, n in await connection.execute(query)}

    async def last_errors(self) -> list[ErrorRow]:
        """Read the newest errors, newest first.

        Raises:
            StoreError: the database failed.
        """
        wanted = (requests.c.asked_at, requests.c.outcome, requests.c.kind, requests.c.guild_id, requests.c.reference)
        query = select(*wanted).where(requests.c.outcome.not_in(NO_ERRORS))
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(requests.c.id.desc()).limit(MAX_ERRORS))
            return [ErrorRow(*row) for row in rows]
