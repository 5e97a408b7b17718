"""The queue's statements: one class that knows its tables, for those who ask and for those who work."""

import asyncio
import datetime
import logging
import math
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Notification, Status
from procrastinate.manager import JobManager, NotificationCallback
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.queue.messages import Notice, QueuedRequest, answer_to_bytes, queue_name, request_to_dict
from core.queue.schema import LOCK, prepare
from core.service.admission import FIRST_ESTIMATE_S, MAX_RETRY_S

log = logging.getLogger(__name__)

CONNECT_S: Final = 5
"""How long a connection may take, and a statement waits for one."""

RECONNECT_S: Final = 2.0
"""How long a pool tries by itself to replace a connection; then each statement tries at once. Its pauses double, and
after a minute without a database they would be a minute long."""

KEEPALIVE: Final = {"keepalives_idle": 3, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 8_000}
"""A server that is gone without a word is noticed within ten seconds."""

AGAIN_S: Final = 0.5
"""Pause before something is tried again that the database did not do."""

BEAT_S: Final = 1.0
STALLED_S: Final = 3.5
"""A worker that has not been heard of for so long is taken for lost, and its jobs are given to others."""

ASKER_GONE_S: Final = 20.0
RECOVERY_S: Final = 8.0
"""After a start of the database nobody is taken for lost for so long: they all have been cut off."""

KEPT_S: Final = 900.0
"""Answers that nobody takes are deleted after so long: Discord takes none later than that either."""

MAX_CRASHES: Final = 2
"""Workers that one job may cost."""

TASK: Final = "identify"
LINKS: Final = "-links"
TIDY: Final = "-tidy"
IN_THE_PAST: Final = datetime.datetime.fromtimestamp(0, datetime.UTC)

Result = TypeVar("Result")

DatabaseError = (psycopg.Error, ConnectorException)
"""What the database may fail with."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue at one moment.

    Attributes:
        waiting: jobs that wait for a worker.
        running: jobs that a worker has.
        oldest_s: seconds that the oldest job has waited, also one that only another release can read.
        unread_s: seconds that the oldest job has waited which no worker that lives can read.
        workers: processes that work for this queue.
    """

    waiting: int = 0
    running: int = 0
    oldest_s: float = 0.0
    unread_s: float = 0.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands: whether its job and its answer exist, and its place among those that wait, or 0."""

    queued: bool
    answered: bool
    place: int


class QueueDatabase:
    """The queue of one wire format and one set of models.

    Args:
        url: of the PostgreSQL.
        model_sha256: digest of the models that answer.
        max_jobs: jobs that may wait.

    Attributes:
        app: Procrastinate's.
        files: queue of what is quickly fetched.
        links: queue of links, which strangers' servers can make last.
    """

    def __init__(self, url: str, model_sha256: str, *, max_jobs: int) -> None:
        self.model_sha256 = model_sha256
        self.files = queue_name(model_sha256)
        self.links = self.files + LINKS
        self._max_jobs = max_jobs
        self._conninfo = make_conninfo(url, connect_timeout=CONNECT_S, application_name="genregenie", **KEEPALIVE)
        connector = PsycopgConnector(
            pool_factory=_make_pool,
            conninfo=self._conninfo,
            min_size=1,
            max_size=4,
            timeout=CONNECT_S,
            reconnect_timeout=RECONNECT_S,
            configure=_commit_at_once,
        )
        self.app = App(connector=connector)
        self.app.job_manager = self._jobs = _JobManager(connector)
        self._connector = connector

    @property
    def _pool(self) -> AsyncConnectionPool:
        return self._connector.pool

    async def open(self, stack: AsyncExitStack) -> None:
        """Make the tables and connect, until the stack is closed.

        Raises:
            ConfigurationError: the database cannot be used.
        """
        # What it warns of each second while the database is away is said by those who listen.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        try:
            async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                await prepare(connection)
            await stack.enter_async_context(self.app.open_async())
        except DatabaseError as error:
            reason = str(error).splitlines()[0][:200]
            raise ConfigurationError(f"GENREGENIE_QUEUE_URL: the database cannot be used: {reason}") from None

    # ---- For those who ask

    async def register_asker(self, asker: str) -> None:
        """Say that an asker lives; what it has asked for ends when it has not said so for a while."""
        await self._execute(
            "INSERT INTO genregenie_askers (asker) VALUES (%s) ON CONFLICT (asker) DO UPDATE SET seen_at = now()", asker
        )

    async def remove_asker(self, asker: str) -> None:
        """Say that an asker asks no more."""
        await self._execute("DELETE FROM genregenie_askers WHERE asker = %s", asker)

    async def put(self, request: QueuedRequest, *, link: bool) -> int:
        """Put a request into the queue, behind as many of other groups as of its own; gives the job's id.

        One that is there already stays where it is.

        Turns go round: each group's next job is one round after its last, but never in a round that is over; see
        `core.queue.schema`.

        Raises:
            GenreGenieError: `busy`, with `retry_after`: too many wait; `unsupported-link`: the database's JSON does not
                take the texts, such as an address with a NUL in it.
        """
        queue = self.links if link else self.files
        values = (queue, [self.files, self.links], request.group, self._max_jobs, Jsonb(request_to_dict(request)))
        async with self._pool.connection() as connection:
            try:
                row = await (await connection.execute(_PUT, values)).fetchone()
            except psycopg.DataError:  # trying again would not help
                raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK) from None
            if row is None or row[0] is None:
                raise GenreGenieError(ErrorCode.BUSY, retry_after=await self._retry_s(connection))
        return int(row[0])

    async def cancel(self, job_id: int) -> None:
        """Take a job out of the queue, or have its worker end it."""
        await self.app.job_manager.cancel_job_by_id_async(job_id, abort=True, delete_job=True)

    async def take_answers(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Take the answers to requests, those that there are: each is given once."""
        rows = await self._fetch("DELETE FROM genregenie_answers WHERE key = ANY(%s) RETURNING key, body", list(keys))
        return {row["key"]: bytes(row["body"]) for row in rows}

    async def standing(self, keys: Sequence[str]) -> dict[str, Standing]:
        """Look up where requests stand."""
        rows = await self._fetch(_STANDING, list(keys))
        return {row["key"]: Standing(row["queued"], row["answered"], row["place"]) for row in rows}

    async def listen(self, channel: str, on_payload: Callable[[str], None], on_listening: Callable[[], None]) -> None:
        """Listen to a channel for ever, over whatever happens to the database.

        Args:
            channel: to listen to.
            on_payload: called with each notification's.
            on_listening: called whenever listening begins: what was notified before then is not known here.
        """
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    on_listening()
                    async for notification in _notifications(connection):
                        on_payload(notification.payload)
            except psycopg.Error as error:
                log.warning("The queue's database is gone, and is tried again: %s", type(error).__name__)
            await asyncio.sleep(AGAIN_S)

    async def state(self) -> QueueState:
        """Look at the queue."""
        (row,) = await self._fetch(_STATE, STALLED_S, self.files, [self.files, self.links])
        oldest_s, unread_s = (max(0.0, row[name] or 0.0) for name in ("oldest_s", "unread_s"))
        return QueueState(row["waiting"], row["running"], oldest_s, unread_s, row["workers"])

    # ---- For those who work

    async def beat(self, worker_id: int, queue: str, slots: int, mean_s: float) -> bool:
        """Say that a worker lives, and how long a job takes it; False if it has been taken for lost and deleted."""
        return bool(await self._fetch(_BEAT, worker_id, queue, slots, mean_s))

    async def notify(self, asker: str, notice: Notice) -> None:
        """Tell an asker where a request stands; that may get lost."""
        await self._execute("SELECT pg_notify(%s, %s)", asker, notice.to_payload())

    async def answer(self, job_id: int, key: str, asker: str, body: bytes) -> bool:
        """End a job with its answer, in one step; False if it has ended already, so that this answer is dropped."""
        ended = bool(await self._fetch(_ANSWER, job_id, key, asker, body, asker, Notice(key).to_payload()))
        self._jobs.gone.add(job_id)
        return ended

    async def sweep(self) -> int:
        """Give jobs of lost workers to others, and end what nobody waits for; gives how many jobs go to others.

        One process at a time does so; the lock ends with the transaction, not with the session, which a process that
        is frozen would keep.
        """
        async with self._pool.connection() as connection, connection.transaction():
            row = await (await connection.execute(_MAY_SWEEP, (LOCK + 1, RECOVERY_S))).fetchone()
            if row is None or not row[0]:
                return 0
            redelivered = 0
            for job in await self.app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
                redelivered += await self._redeliver(job)
            for statement in _NOBODY_WAITS:
                await connection.execute(statement, {"gone_s": ASKER_GONE_S})
            return redelivered

    async def _redeliver(self, job: Job) -> bool:
        """Give a lost worker's job to another, or end it where it has cost two of them."""
        if job.id is None:
            return False
        if job.task_name != TASK:
            # Tidying, which comes again each minute: where one waits already, this one could not be put back.
            await self._execute("DELETE FROM procrastinate_jobs WHERE id = %s AND status = 'doing'", job.id)
            return False
        crashes = 1 if job.task_kwargs.get("crashes") == 0 else MAX_CRASHES
        if crashes >= MAX_CRASHES:
            log.warning("A job that two workers were lost over is given up")
            body = answer_to_bytes(GenreGenieError(ErrorCode.INTERNAL))
            await self.answer(job.id, str(job.task_kwargs.get("key")), str(job.task_kwargs.get("asker")), body)
            self._jobs.gone.discard(job.id)  # it was never this process's
            return False
        await self._execute(
            "UPDATE procrastinate_jobs SET args = args || %s WHERE id = %s AND status = 'doing'",
            Jsonb({"crashes": crashes}),
            job.id,
        )
        await self.app.job_manager.retry_job(job, retry_at=IN_THE_PAST)
        return True

    async def tidy(self) -> None:
        """Delete what is left over: workers that are gone, answers that nobody took."""
        await self.app.job_manager.prune_stalled_workers(KEPT_S)
        await self._execute(
            "DELETE FROM genregenie_answers WHERE answered_at < now() - make_interval(secs => %s)", KEPT_S
        )

    # ---- Statements

    async def _retry_s(self, connection: psycopg.AsyncConnection) -> int:
        """Seconds after which the jobs that are there should be done."""
        row = await (
            await connection.execute(_PACE, {"queues": [self.files, self.links], "stalled_s": STALLED_S})
        ).fetchone()
        jobs, slots, mean_s = row or (0, 0, None)
        seconds = float(mean_s or FIRST_ESTIMATE_S) * int(jobs) / max(1, int(slots or 0))
        return min(MAX_RETRY_S, max(1, math.ceil(seconds)))

    async def _execute(self, statement: LiteralString, *values: object) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(statement, values)

    async def _fetch(self, statement: LiteralString, *values: object) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return await (await cursor.execute(statement, values)).fetchall()


class _JobManager(JobManager):
    """Procrastinate's job manager, for jobs that may be another worker's by the time that this one is done.

    Attributes:
        gone: jobs that are deleted already, with their answer.
    """

    def __init__(self, connector: PsycopgConnector) -> None:
        super().__init__(connector)
        self.gone: set[int] = set()
        self._notified = 0
        """Notifications that have come; Procrastinate forgets those that come while it fetches."""

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Listen for jobs, and count what is heard."""

        async def counted(*, channel: str, notification: Notification) -> None:
            self._notified += 1
            await on_notification(channel=channel, notification=notification)

        await super().listen_for_jobs(on_notification=counted, queues=queues)

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Take a job; None if there was none at the time of the last notification."""
        while True:
            notified = self._notified
            job = await super().fetch_job(queues, worker_id)
            if job is not None or notified == self._notified:
                return job

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Delete the job, unless it has been given to another worker, or is gone."""
        if job.id in self.gone:
            self.gone.discard(job.id)
        elif job.id is not None:
            await until_done(lambda: self.connector.execute_query_async(_FINISH, id=job.id, worker=job.worker_id))

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Put a job back, unless it has been given to another worker already, or is gone."""
        if job.id in self.gone:
            self.gone.discard(job.id)
        elif job.id is not None:
            await until_done(lambda: self.connector.execute_query_async(_RETRY, id=job.id, worker=job.worker_id))


def _make_pool(**arguments: Any) -> AsyncConnectionPool:  # noqa: ANN401 - Procrastinate's
    """Make a pool that asks the server whether it is there only of connections that something has come from.

    Procrastinate's would ask before each statement, which doubles what a job costs.
    """
    return AsyncConnectionPool(**(arguments | {"check": _check}))


async def _check(connection: psycopg.AsyncConnection) -> None:
    """Raise `psycopg.OperationalError` for a connection that the server has closed."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0):  # an end of the connection, or a message that may be one
        await AsyncConnectionPool.check_connection(connection)


async def _commit_at_once(connection: psycopg.AsyncConnection) -> None:
    """Spare each statement a transaction of its own around it."""
    await connection.set_autocommit(True)


async def until_done(work: Callable[[], Awaitable[Result]], within_s: float = 300.0) -> Result:
    """Have the database do something, as often as it fails to.

    Raises:
        psycopg.OperationalError, ConnectorException: it still fails after so many seconds.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            return await work()
        except DatabaseError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(AGAIN_S)


async def _notifications(connection: psycopg.AsyncConnection) -> AsyncIterator[psycopg.Notify]:
    """Give notifications as they come; a connection that is broken shows at the latest when it is asked."""
    while True:
        async for notification in connection.notifies(timeout=CONNECT_S):
            yield notification
        await connection.execute("SELECT 1")


_PUT: Final[LiteralString] = "SELECT genregenie_put_v1(%s, %s, %s, %s, %s)"

_PACE: Final[LiteralString] = """
SELECT
    (SELECT count(*) FROM procrastinate_jobs WHERE queue_name = ANY(%(queues)s) AND status IN ('todo', 'doing')),
    sum(workers.slots), avg(workers.mean_s)
FROM genregenie_workers AS workers JOIN procrastinate_workers AS alive ON alive.id = workers.worker_id
WHERE workers.queue = ANY(%(queues)s) AND alive.last_heartbeat > now() - make_interval(secs => %(stalled_s)s)
"""

_STANDING: Final[LiteralString] = """
WITH waiting AS (
    SELECT args ->> 'key' AS key, row_number() OVER (PARTITION BY queue_name ORDER BY priority DESC, id) AS place
    FROM procrastinate_jobs WHERE status = 'todo'
)
SELECT
    wanted.key,
    EXISTS (
        SELECT FROM procrastinate_jobs AS jobs
        WHERE jobs.args ->> 'key' = wanted.key AND jobs.status IN ('todo', 'doing')
    ) AS queued,
    EXISTS (SELECT FROM genregenie_answers AS answers WHERE answers.key = wanted.key) AS answered,
    coalesce((SELECT min(place) FROM waiting WHERE waiting.key = wanted.key), 0) AS place
FROM unnest(%s::text[]) AS wanted (key)
"""

_STATE: Final[LiteralString] = """
WITH alive AS (
    SELECT workers.queue FROM genregenie_workers AS workers
    JOIN procrastinate_workers AS alive ON alive.id = workers.worker_id
    WHERE alive.last_heartbeat > now() - make_interval(secs => %s)
), jobs AS (
    SELECT status, queue_name, (args ->> 'asked_at')::float8 AS asked_at FROM procrastinate_jobs
    WHERE task_name = 'identify' AND status IN ('todo', 'doing')
)
SELECT
    count(*) FILTER (WHERE status = 'todo' AND queue_name = ANY(mine)) AS waiting,
    count(*) FILTER (WHERE status = 'doing' AND queue_name = ANY(mine)) AS running,
    extract(epoch FROM now())::float8 - min(asked_at) FILTER (WHERE status = 'todo') AS oldest_s,
    extract(epoch FROM now())::float8 - min(asked_at) FILTER (
        WHERE status = 'todo' AND queue_name <> ALL(ARRAY(SELECT queue FROM alive))
    ) AS unread_s,
    (SELECT count(*) FROM alive WHERE queue = %s) AS workers
FROM (VALUES (%s::text[])) AS queues (mine) LEFT JOIN jobs ON true
"""

_BEAT: Final[LiteralString] = """
WITH alive AS (UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s RETURNING id)
INSERT INTO genregenie_workers (worker_id, queue, slots, mean_s)
SELECT id, %s, %s, %s FROM alive
ON CONFLICT (worker_id) DO UPDATE SET mean_s = excluded.mean_s RETURNING worker_id
"""

_ANSWER: Final[LiteralString] = """
WITH ended AS (
    DELETE FROM procrastinate_jobs WHERE id = %s AND status IN ('todo', 'doing') RETURNING abort_requested
), kept AS (
    INSERT INTO genregenie_answers (key, asker, body) SELECT %s, %s, %s FROM ended WHERE NOT abort_requested
    ON CONFLICT (key) DO UPDATE SET body = excluded.body RETURNING key
)
SELECT 1 AS ended, (SELECT pg_notify(%s, %s) FROM kept) FROM ended
"""

_FINISH: Final[LiteralString] = "DELETE FROM procrastinate_jobs WHERE id = %(id)s AND worker_id = %(worker)s"

_RETRY: Final[LiteralString] = """
WITH ended AS (
    DELETE FROM procrastinate_jobs
    WHERE id = %(id)s AND worker_id = %(worker)s AND status = 'doing' AND abort_requested
)
UPDATE procrastinate_jobs SET status = 'todo', attempts = attempts + 1, worker_id = NULL
WHERE id = %(id)s AND worker_id IS NOT DISTINCT FROM %(worker)s AND status = 'doing' AND NOT abort_requested
"""

_MAY_SWEEP: Final[LiteralString] = """
SELECT pg_try_advisory_xact_lock(%s) AND pg_postmaster_start_time() < now() - make_interval(secs => %s)
"""

_NOBODY_WAITS: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM genregenie_askers WHERE seen_at < now() - make_interval(secs => %(gone_s)s)",
    """
    DELETE FROM procrastinate_jobs
    WHERE task_name = 'identify' AND status <> 'doing'
    AND (status <> 'todo' OR args ->> 'asker' NOT IN (SELECT asker FROM genregenie_askers))
    """,
    """
    UPDATE procrastinate_jobs SET abort_requested = true
    WHERE task_name = 'identify' AND status = 'doing' AND NOT abort_requested
    AND args ->> 'asker' NOT IN (SELECT asker FROM genregenie_askers)
    """,
    "DELETE FROM genregenie_answers WHERE asker NOT IN (SELECT asker FROM genregenie_askers)",
)
"""What has ended without its worker, and what those have asked for who are gone."""
