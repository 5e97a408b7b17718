"""The requests that are on their way: written down before work begins, so that a start after a crash can end them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Row, delete, insert, select, update

from bot.storage.database import Database
from bot.storage.tables import open_requests


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that has not been answered.

    Attributes:
        owner: which process works on it: its shards as they are set, nothing where it has all.
        kind: how it was asked, a `bot.jobs.request.RequestKind`.
        songs: what was asked about, as `bot.jobs.stored` writes it.
        restores: id of the stored request whose reply the bot's message shows meanwhile.
        asked_at: seconds since the epoch.
        attempt: how often it was begun before.
        token: the interaction's, which edits its reply for fifteen minutes; None once that is done.
        message_id: the bot's own message, which shows progress.
        posted_id: the message that is answered, where nobody used a command.
        interrupted: whether it was ended after a crash, and waits to be asked again.
        reference: the short id that log lines and error messages carry.
    """

    owner: str
    kind: str
    user_id: int
    guild_id: int | None
    channel_id: int
    private: bool
    locale: str
    songs: str
    whole: bool
    start: float | None
    left_out: int
    restores: int | None
    asked_at: float
    attempt: int
    token: str | None
    message_id: int | None
    posted_id: int | None
    interrupted: bool = False
    reference: str | None = None
    id: int | None = None


class OpenRequestStore:
    """The open requests.

    Args:
        database: where they are kept.
        owner: this process's shards, as they are set.
    """

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self.owner = owner
        self._leftovers: list[OpenRequest] = []
        self._claimed: set[int] = set()

    async def load(self) -> None:
        """Read what an earlier process left open, before this one opens anything.

        Raises:
            StoreError: the database failed.
        """
        theirs = select(open_requests).where(
            open_requests.c.owner == self.owner, open_requests.c.interrupted.is_(False)
        )
        async with self._database.reading() as connection:
            self._leftovers = [_open_request(row) for row in await connection.execute(theirs)]

    async def leave(self, request_id: int) -> None:
        """Add a request to what is left open: this process cannot end it where it was asked.

        Raises:
            StoreError: the database failed; the next process finds it.
        """
        request = await self.get(request_id)
        if request is not None:
            self._leftovers.append(request)

    def take_leftovers(self) -> Sequence[OpenRequest]:
        """Give what an earlier process, or this one, left open, once."""
        leftovers, self._leftovers = self._leftovers, []
        return leftovers

    async def add(self, row: OpenRequest) -> int:
        """Write a request down and give its id.

        Raises:
            StoreError: nothing was saved.
        """
        values = asdict(row)
        del values["id"]
        async with self._database.writing() as connection:
            key = (await connection.execute(insert(open_requests).values(values))).inserted_primary_key
        return int(key[0]) if key else 0

    async def delete(self, request_id: int) -> None:
        """Strike a request off: it was answered, or cannot be.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(open_requests).where(open_requests.c.id == request_id))

    async def interrupt(self, request_id: int) -> None:
        """Note that a request was ended after a crash; its token is not needed any more.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await connection.execute(
                update(open_requests).where(open_requests.c.id == request_id).values(interrupted=True, token=None)
            )

    async def get(self, request_id: int) -> OpenRequest | None:
        """Read a request; None when it is no longer there.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(open_requests).where(open_requests.c.id == request_id))).first()
        return None if row is None else _open_request(row)

    def is_claimed(self, request_id: int) -> bool:
        """Whether this process has begun a request again, which has not ended yet."""
        return request_id in self._claimed

    def release(self, request_id: int) -> None:
        """Note that a request that was begun again has ended."""
        self._claimed.discard(request_id)

    async def claim(self, request_id: int) -> OpenRequest | None:
        """Take a request off the list to begin it again; None when somebody else was faster.

        Raises:
            StoreError: nothing was saved.
        """
        own = open_requests.c.id == request_id
        async with self._database.writing() as connection:
            row = (await connection.execute(select(open_requests).where(own))).first()
            deleted = await connection.execute(delete(open_requests).where(own))
        if row is None or not deleted.rowcount:
            return None
        self._claimed.add(request_id)
        return _open_request(row)


def _open_request(row: Row[tuple[object, ...]]) -> OpenRequest:
    return OpenRequest(**row._asdict())
