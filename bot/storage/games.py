"""The games of `/guess`: each member's guess, kept as soon as it is made, and the scores of a server."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.database import Database, lock_until_commit, upsert
from bot.storage.tables import games, guesses, requests, scores

MOST_GAMES: Final = 3
"""Games that a server has at a time; a channel has one."""

MOST_GUESSES: Final = 1_000
"""Members who can take part in one game."""

PREPARE_S: Final = 900.0
"""How long a song may take to be there: as long as the interaction's token lives, with which it is posted."""

GIVEN_UP_S: Final = 900.0
"""A game that nobody has ended for so long is in nobody's way any more, whatever kept it from being struck off."""

PREPARED, OPEN, ENDED = "prepared", "open", "ended"


@dataclass(frozen=True, slots=True)
class Game:
    """A game, from when it is asked for until its answer is shown.

    Attributes:
        owner: which process has it: its shards as they are set, nothing where it has all.
        user_id: who started it.
        message_id: the bot's own message.
        token: the interaction's, which edits the message for fifteen minutes.
        state: `prepared` until the song is there, `open` for guesses, `ended` until the answer is shown.
        ends_at: seconds since the epoch; until the song is there, when it has to be.
        host_knows: whether who started it chose the song, and so may not guess.
        correct: the genres that are right, by commas: one, or those that are tied.
        headline: the answer in the game's language.
        votes: the model's votes in the game's language.
        name: the song's.
        link: where the song was posted or is on the web.
    """

    owner: str
    guild_id: int
    user_id: int
    channel_id: int
    message_id: int | None
    token: str | None
    locale: str
    host_knows: bool
    state: str = PREPARED
    ends_at: float = 0.0
    correct: str = ""
    headline: str = ""
    votes: str = ""
    name: str = ""
    link: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What makes a game of a song that has been classified; the attributes are those of `Game`."""

    correct: str
    headline: str
    votes: str
    name: str
    link: str | None


@dataclass(frozen=True, slots=True)
class GameResult:
    """A game whose time is up.

    Attributes:
        guesses: member → genre.
        streaks: member who was right → games in a row.
    """

    game: Game
    guesses: Mapping[int, str]
    streaks: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Score:
    """A member's score in a server."""

    user_id: int
    played: int
    correct: int
    streak: int
    best_streak: int


@dataclass(frozen=True, slots=True)
class PostedSong:
    """A song that was posted in a server for everyone there to hear."""

    sha256: str
    name: str
    channel_id: int
    message_id: int


class GameStore:
    """Games and scores.

    Args:
        database: where they are kept.
        owner: this process's shards, as they are set.
    """

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self.owner = owner
        self._leftovers: list[Game] = []

    async def load(self) -> None:
        """Read the games that an earlier process left, before this one starts any.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            rows = await connection.execute(select(games).where(games.c.owner == self.owner))
            self._leftovers = [_game(row) for row in rows]

    def leave(self, left: Iterable[Game]) -> None:
        """Add games to those that are left: their client is closed, and another may follow."""
        self._leftovers.extend(left)

    def take_leftovers(self) -> Sequence[Game]:
        """Give the games that an earlier process or client left, once."""
        leftovers, self._leftovers = self._leftovers, []
        return leftovers

    async def prepare(self, game: Game) -> int | None:
        """Begin a game whose song is not there yet; gives its id, or None where its channel or server has enough.

        Raises:
            StoreError: nothing was saved.
        """
        now = self._database.clock()
        values = {**asdict(game), "ends_at": now + PREPARE_S}
        del values["id"]
        given_up = and_(games.c.guild_id == game.guild_id, games.c.ends_at < now - GIVEN_UP_S)
        in_guild = select(games.c.channel_id).where(games.c.guild_id == game.guild_id)
        async with self._database.writing() as connection:
            await lock_until_commit(connection, game.guild_id)
            await connection.execute(delete(games).where(given_up))
            channels = [row.channel_id for row in await connection.execute(in_guild)]
            if game.channel_id in channels or len(channels) >= MOST_GAMES:
                return None
            key = (await connection.execute(insert(games).values(values))).inserted_primary_key
        return int(key[0]) if key else None

    async def open(self, game_id: int, answer: Answer, seconds: float) -> Game | None:
        """Take guesses for so long; None where the game is no longer there.

        Raises:
            StoreError: nothing was saved.
        """
        own = games.c.id == game_id
        values = {**asdict(answer), "state": OPEN, "ends_at": self._database.clock() + seconds}
        async with self._database.writing() as connection:
            await connection.execute(update(games).where(own).values(values))
            row = (await connection.execute(select(games).where(own))).first()
        return None if row is None else _game(row)

    async def get(self, game_id: int) -> Game | None:
        """Read a game; None where it is over.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(games).where(games.c.id == game_id))).first()
        return None if row is None else _game(row)

    async def guess(self, game_id: int, user_id: int, genre: str) -> bool:
        """Keep a member's guess in place of an earlier one; False where the time is up, or too many take part.

        Raises:
            StoreError: nothing was saved.
        """
        now = self._database.clock()
        running = and_(games.c.id == game_id, games.c.state == OPEN, games.c.ends_at > now)
        own = and_(guesses.c.game_id == game_id, guesses.c.user_id == user_id)
        async with self._database.writing() as connection:
            game = (await connection.execute(select(games.c.guild_id).where(running))).first()
            if game is None:
                return False
            changed = await connection.execute(update(guesses).where(own).values(genre=genre))
            if not changed.rowcount:
                taking_part = select(func.count()).select_from(guesses).where(guesses.c.game_id == game_id)
                if (await connection.execute(taking_part)).scalar_one() >= MOST_GUESSES:
                    return False
                row = {"game_id": game_id, "user_id": user_id, "guild_id": game.guild_id, "genre": genre}
                await upsert(connection, guesses, row)
        return True

    async def end(self, game_id: int) -> GameResult | None:
        """Close a game and count it in the scores, once however often this is called; None where it is gone.

        Raises:
            StoreError: nothing was saved.
        """
        own = games.c.id == game_id
        async with self._database.writing() as connection:
            row = (await connection.execute(select(games).where(own))).first()
            if row is None:
                return None
            game = _game(row)
            # The scores of a server are counted one game after the other, and this one's once.
            await lock_until_commit(connection, game.guild_id)
            ended = await connection.execute(update(games).where(own, games.c.state == OPEN).values(state=ENDED))
            kept = select(guesses.c.user_id, guesses.c.genre).where(guesses.c.game_id == game_id)
            made = {guess.user_id: guess.genre for guess in await connection.execute(kept)}
            if ended.rowcount:
                await self._count(connection, game, made)
            right = [user_id for user_id, genre in made.items() if genre in game.correct.split(",")]
            streak = select(scores.c.user_id, scores.c.streak).where(
                scores.c.guild_id == game.guild_id, scores.c.user_id.in_(right)
            )
            streaks = {score.user_id: score.streak for score in await connection.execute(streak)}
        return GameResult(game, made, streaks)

    async def delete(self, game_id: int) -> None:
        """Strike a game off: its answer is shown, or cannot be.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(games).where(games.c.id == game_id))

    async def best(self, guild_id: int, most: int) -> list[Score]:
        """Read a server's best scores: by right guesses, among as many by their share.

        Raises:
            StoreError: the database failed.
        """
        order = (scores.c.correct.desc(), scores.c.played, scores.c.played_at.desc())
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(scores).where(scores.c.guild_id == guild_id).order_by(*order).limit(most)
            )
            return [Score(row.user_id, row.played, row.correct, row.streak, row.best_streak) for row in rows]

    async def posted_songs(self, guild_id: int, kinds: Sequence[str], most: int) -> list[PostedSong]:
        """Choose songs at random that members posted for everyone to hear, each once.

        Raises:
            StoreError: the database failed.
        """
        public: ColumnElement[bool] = and_(
            requests.c.guild_id == guild_id,
            requests.c.private.is_(False),
            requests.c.message_id.is_not(None),
            requests.c.sha256.is_not(None),
            requests.c.kind.in_(kinds),
        )
        columns = (requests.c.sha256, requests.c.name, requests.c.channel_id, requests.c.message_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(*columns).where(public).order_by(func.random()).limit(most))
            songs = {
                row.sha256: PostedSong(row.sha256, row.name or "?", row.channel_id, row.message_id) for row in rows
            }
        return list(songs.values())

    async def _count(self, connection: AsyncConnection, game: Game, made: Mapping[int, str]) -> None:
        known = {
            row.user_id: row
            for row in await connection.execute(
                select(scores).where(scores.c.guild_id == game.guild_id, scores.c.user_id.in_(list(made)))
            )
        }
        now = self._database.clock()
        for user_id, genre in made.items():
            before = known.get(user_id)
            right = genre in game.correct.split(",")
            streak = (before.streak if before else 0) + 1 if right else 0
            values = {
                "played": (before.played if before else 0) + 1,
                "correct": (before.correct if before else 0) + right,
                "streak": streak,
                "best_streak": max(before.best_streak if before else 0, streak),
                "played_at": now,
            }
            own = and_(scores.c.guild_id == game.guild_id, scores.c.user_id == user_id)
            if before is None:
                await connection.execute(insert(scores).values(guild_id=game.guild_id, user_id=user_id, **values))
            else:
                await connection.execute(update(scores).where(own).values(values))


def _game(row: Row[tuple[object, ...]]) -> Game:
    return Game(**row._asdict())
