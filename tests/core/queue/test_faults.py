"""What goes wrong between machines: in all of it no request is lost, and each asker gets one answer."""

import asyncio
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyResult, ProgressCallback, Step, ignore_progress
from core.queue.asker import QueueIdentifier, open_database
from core.queue.worker import QueueWorker
from core.service.admission import FETCH_AHEAD, Admission, AdmissionLimits, Ticket
from core.service.identify import IdentifyResult, Request
from core.service.sources import AttachmentSource, SpectrogramSource
from core.settings import Settings
from core.verdict import Prediction, Segment
from tests.core.fetch.servers import Exchange, Server, running_server
from tests.core.queue.processes import WorkerProcess, asking
from tests.support.data import ROOT
from tests.support.postgres import Cluster, running_cluster
from tests.support.processes import eventually
from tests.support.verdicts import make_verdict

LONG_AWAY_S = 17.0
"""Long enough for pauses that double to be as long as that: a minute would show no more."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@dataclass
class Gate:
    """Files that do not come before the gate is opened."""

    content: bytes
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: int = 0

    async def serve(self, exchange: Exchange) -> None:
        self.arrived += 1
        await self.opened.wait()
        await exchange.media(self.content, "audio/wav")

    async def until(self, arrived: int) -> None:
        """Wait until so many downloads have begun."""
        await eventually(lambda: self.arrived >= arrived, 60, f"download {arrived}")


@dataclass
class Room:
    """One queue: its database, a server with files, and what starts workers."""

    cluster: Cluster
    server: Server
    song: bytes
    data: Path
    database: str
    stack: AsyncExitStack

    @property
    def url(self) -> str:
        return self.cluster.url(self.database)

    async def worker(self, **settings: str) -> WorkerProcess:
        """Start a worker, and wait until it takes jobs."""
        process = WorkerProcess(self.url, self.data, GENREGENIE_ALLOWED_HOSTS=self.server.host, **settings)
        await self.stack.enter_async_context(process)
        await process.until_ready()
        return process

    async def asker(self) -> QueueIdentifier:
        return await self.stack.enter_async_context(asking(self.url))

    def gate(self, name: str = "gate") -> Gate:
        gate = Gate(self.song)
        self.server.routes[f"/attachments/1/2/{name}.wav"] = gate.serve
        return gate

    def request(self, name: str = "gate") -> Request:
        return Request(AttachmentSource(self.server.url(f"/attachments/1/2/{name}.wav"), name))

    def rows(self) -> str:
        """Songs in the queue and answers, as `jobs/answers`."""
        jobs = self.cluster.sql("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'identify'", self.database)
        return f"{jobs}/{self.cluster.sql('SELECT count(*) FROM genregenie_answers', self.database)}"

    def listens(self, channel: str) -> bool:
        """Whether a connection has just begun to listen to a channel."""
        listeners = f"SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"{channel}\"'"
        return self.cluster.sql(listeners, self.database) != "0"

    async def until_empty(self) -> None:
        await eventually(lambda: self.rows() == "0/0", 40, "an empty queue")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of this module's own: these tests stop it."""
    with running_cluster() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def room(cluster: Cluster, song: Path, tmp_path: Path) -> AsyncIterator[Room]:
    content = await asyncio.to_thread(song.read_bytes)
    async with running_server() as server, AsyncExitStack() as stack:
        yield Room(cluster, server, content, tmp_path, cluster.new_database(), stack)


def ask(asker: QueueIdentifier, request: Request, steps: list[Step] | None = None) -> "asyncio.Task[IdentifyResult]":
    seen = [] if steps is None else steps
    return asyncio.create_task(asker.identify(request, on_progress=lambda step, share: seen.append(step)))


async def code_of(task: "asyncio.Task[IdentifyResult]") -> ErrorCode:
    with pytest.raises(GenreGenieError) as raised:
        await asyncio.wait_for(task, 60)
    return raised.value.code


async def test_a_busy_worker_that_is_killed_leaves_its_job_to_another(room: Room) -> None:
    idle = await room.worker()
    first, asker, gate = await room.worker(), await room.asker(), room.gate()
    await idle.kill()  # nobody misses it
    steps: list[Step] = []
    task = ask(asker, room.request(), steps)
    await gate.until(1)
    await eventually(lambda: Step.FETCHING in steps, 15, "progress")
    second = await room.worker()
    await first.kill()
    await gate.until(2)
    gate.opened.set()
    result = await asyncio.wait_for(task, 60)
    assert result.verdict.song.source == "gate"
    assert (await second.metrics())["genregenie_queue_redelivered_total"] == 1
    assert (asker.put_again, asker.late) == (0, 0)
    await room.until_empty()
    await eventually(lambda: asker.state and asker.state.workers == 1, 15, "the death to show")


async def test_a_job_that_two_workers_die_of_ends_as_internal_also_when_none_was_left(room: Room) -> None:
    asker, gate = await room.asker(), room.gate()
    task = ask(asker, room.request())
    for attempt in (1, 2):
        worker = await room.worker()
        await gate.until(attempt)
        await worker.kill()
    await room.worker()
    assert await code_of(task) is ErrorCode.INTERNAL
    assert gate.arrived == 2
    await room.until_empty()


async def test_a_worker_that_was_frozen_answers_too_late(room: Room) -> None:
    frozen, asker, gate = await room.worker(), await room.asker(), room.gate()
    task = ask(asker, room.request())
    await gate.until(1)
    other = await room.worker()
    frozen.process.send_signal(signal.SIGSTOP)
    await gate.until(2)
    frozen.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(2)
    gate.opened.set()
    await asyncio.wait_for(task, 60)
    # Whoever answers second finds the job gone, and drops its answer.
    late = 0.0
    for _ in range(300):
        late = sum([(await one.metrics())["genregenie_queue_late_answers_total"] for one in (frozen, other)])
        if late:
            break
        await asyncio.sleep(0.1)
    assert late == 1
    assert (asker.put_again, asker.late) == (0, 0)
    await room.until_empty()
    # It goes on as before.
    assert (await asker.identify(room.request())).cached is False


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_worker_that_is_stopped_finishes_in_its_time_and_gives_the_rest_back(room: Room, in_time: bool) -> None:
    drain_s = "60" if in_time else "1"
    stopped, asker, gate = await room.worker(GENREGENIE_DRAIN_S=drain_s), await room.asker(), room.gate()
    task = ask(asker, room.request())
    await gate.until(1)
    stopped.process.terminate()
    await eventually(lambda: "Stopping: 1 songs" in stopped.log, 15, "the stop")
    if in_time:
        waiting = ask(asker, room.request())  # nobody takes it
        await asyncio.sleep(5)  # longer than a lost worker is waited for
        assert gate.arrived == 1
        gate.opened.set()
        await asyncio.wait_for(task, 60)
        assert await stopped.wait() == 0
        assert not waiting.done()
        await room.worker()
        await asyncio.wait_for(waiting, 60)
    else:
        assert await stopped.wait() == 0
        held = "SELECT args ->> 'crashes' FROM procrastinate_jobs WHERE status = 'todo' AND task_name = 'identify'"
        assert room.cluster.sql(held, room.database) == "0", "it is back, and no crash"
        gate.opened.set()
        await room.worker()
        await asyncio.wait_for(task, 60)
    assert (asker.put_again, asker.late) == (0, 0)
    await room.until_empty()


async def test_what_is_cancelled_while_its_worker_is_stopped_leaves_nothing(room: Room) -> None:
    stopped, asker, gate = await room.worker(GENREGENIE_DRAIN_S="60"), await room.asker(), room.gate()
    task = ask(asker, room.request())
    await gate.until(1)
    stopped.process.terminate()
    await eventually(lambda: "Stopping: 1 songs" in stopped.log, 15, "the stop")
    task.cancel()
    await asyncio.wait([task])
    gate.opened.set()
    assert await stopped.wait() == 0
    await room.until_empty()


@pytest.mark.parametrize(("how", "away_s"), [("stopped", 8), ("killed", 8), ("stopped", LONG_AWAY_S)])
async def test_the_database_goes_and_comes_back(room: Room, how: str, away_s: float) -> None:
    worker, asker, gate = await room.worker(), await room.asker(), room.gate()
    task = ask(asker, room.request())
    await gate.until(1)
    await asyncio.to_thread(room.cluster.stop if how == "stopped" else room.cluster.kill)
    try:
        meanwhile = ask(asker, room.request())
        await eventually(lambda: asker.state is None, 30, "the loss to be noticed")
        gate.opened.set()
        await asyncio.sleep(away_s)
    finally:
        await asyncio.to_thread(room.cluster.start)
    # However long it was away, all are there again within ten seconds.
    await eventually(lambda: asker.state is not None and room.listens(asker.name), 10, "all to be there again")
    for one in (task, meanwhile):
        assert (await asyncio.wait_for(one, 60)).verdict.song.source == "gate"
    # Both listen again: an answer does not wait for anybody to look.
    await asyncio.wait_for(asker.identify(room.request()), 30)
    await room.until_empty()
    assert worker.process.returncode is None


async def test_an_answer_that_a_crash_of_the_database_has_emptied_is_asked_for_again_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are not written ahead: PostgreSQL empties their table when it starts after a crash."""
    await room.worker()
    asker, gate = await room.asker(), room.gate()
    take, may_take = asker._queue.take_answers, asyncio.Event()

    async def take_later(keys: Sequence[str]) -> dict[str, bytes]:
        await may_take.wait()
        return await take(keys)

    monkeypatch.setattr(asker._queue, "take_answers", take_later)
    task = ask(asker, room.request())
    gate.opened.set()
    await eventually(lambda: room.rows() == "0/1", 60, "an answer that nobody takes")
    await asyncio.to_thread(room.cluster.kill)
    await asyncio.to_thread(room.cluster.start)
    assert room.rows() == "0/0"
    may_take.set()
    assert (await asyncio.wait_for(task, 60)).verdict.song.source == "gate"
    assert gate.arrived == 2
    assert (asker.put_again, asker.late) == (1, 0)
    await room.until_empty()


class InOrder:
    """Answers at once, and remembers for whom, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def identify(
        self, request: Request, *, on_progress: ProgressCallback = ignore_progress, ticket: Ticket | None = None
    ) -> IdentifyResult:
        self.names.append(request.source.name)
        return IdentifyResult(make_verdict(Segment(0.0, 3.0, (0.1,) * 10)), "ab" * 32)

    async def illustrate(
        self, prediction: Prediction, song: SpectrogramSource, locale: str, *, ticket: Ticket | None = None
    ) -> ClassifyResult:
        raise NotImplementedError


async def test_two_hundred_songs_of_one_bots_server_do_not_keep_another_bots_five_waiting(room: Room) -> None:
    script = f"""
        import asyncio
        from core.service.admission import Admission, AdmissionLimits
        from core.service.identify import Request
        from core.service.sources import AttachmentSource
        from tests.core.queue.processes import asking
        async def main():
            tickets = Admission.for_queue(AdmissionLimits(500, 500, 500)).admit("many", "many", jobs=200)
            source = AttachmentSource("https://example.org/song.wav", "many")
            async with asking({room.url!r}) as asker:
                results = await asyncio.gather(*(asker.identify(Request(source), ticket=one) for one in tickets))
                print(len(results), asker.put_again, asker.late)
        asyncio.run(main())
        """
    asker = await room.asker()
    many = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    await eventually(lambda: room.rows() == "200/0", 120, "two hundred songs of the one")
    tickets = Admission.for_queue(AdmissionLimits()).admit("few", "few", jobs=5)
    source = AttachmentSource("https://example.org/song.wav", "few")
    tasks = [asyncio.create_task(asker.identify(Request(source), ticket=ticket)) for ticket in tickets]
    await eventually(lambda: room.rows() == "205/0", 60, "five songs of the other")
    answers, stop = InOrder(), asyncio.Event()

    async def spectrogram(_: str) -> None:
        return None

    queue = await open_database(room.stack, Settings.model_validate({"queue_url": room.url}))
    worker = QueueWorker(queue, answers, answers, workers=1, spectrograms=spectrogram, observe=lambda *_: None)
    serving = asyncio.create_task(worker.serve(stop, 5))
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    output, _ = await asyncio.wait_for(many.communicate(), 120)
    assert output.split() == [b"200", b"0", b"0"]
    assert (asker.put_again, asker.late, worker.late) == (0, 0, 0)
    assert len(answers.names) == 205, "each is answered once"
    assert max(i for i, name in enumerate(answers.names) if name == "few") < 10 + 1 + FETCH_AHEAD
    await room.until_empty()
    stop.set()
    await serving


async def test_what_is_lost_from_the_queue_is_put_there_again_once(room: Room) -> None:
    await room.worker()
    asker, gate = await room.asker(), room.gate()
    task = ask(asker, room.request())
    await gate.until(1)
    room.cluster.sql("DELETE FROM procrastinate_jobs", room.database)
    await gate.until(2)
    gate.opened.set()
    await asyncio.wait_for(task, 60)
    assert (asker.put_again, asker.late) == (1, 0)
    gate = room.gate("twice")
    task = ask(asker, room.request("twice"))
    for attempt in (1, 2):
        await gate.until(attempt)
        room.cluster.sql("DELETE FROM procrastinate_jobs", room.database)
    assert await code_of(task) is ErrorCode.INTERNAL
    gate.opened.set()
    await room.until_empty()


async def test_another_releases_job_is_left_alone_and_its_age_shows(room: Room) -> None:
    worker, asker = await room.worker(), await room.asker()
    room.cluster.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('genregenie-99-abc', 'identify', "
        f"jsonb_build_object('asker', '{asker.name}', 'asked_at', extract(epoch FROM now()) - 100))",
        room.database,
    )
    await eventually(lambda: asker.state and asker.state.oldest_s > 100, 60, "its age")
    assert asker.state
    assert asker.state.unread_s > 100
    assert (asker.state.waiting, asker.state.running) == (0, 0)
    room.server.serve("/attachments/1/2/song.wav", room.song, "audio/wav")
    await asyncio.wait_for(asker.identify(room.request("song")), 60)
    assert room.rows() == "1/0"
    shown = await worker.metrics()
    assert shown["genregenie_queue_unread_oldest_seconds"] > 100
    assert shown['genregenie_step_seconds_count{step="decode"}'] == 1
    # What its own release can read is not unread, as long as a worker lives.
    gate = room.gate()
    room.cluster.sql("DELETE FROM procrastinate_jobs", room.database)
    tasks = [ask(asker, room.request()) for _ in range(8)]
    await eventually(lambda: asker.state and asker.state.waiting and asker.state.oldest_s > 0, 60, "one that waits")
    assert asker.state.unread_s == 0
    gate.opened.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def test_what_a_killed_asker_has_asked_ends(room: Room) -> None:
    await room.worker()
    gate, waiting = room.gate(), room.gate("other")
    script = f"""
        import asyncio
        from core.service.identify import Request
        from core.service.sources import AttachmentSource
        from tests.core.queue.processes import asking
        async def main():
            async with asking({room.url!r}) as asker:
                await asyncio.gather(*(
                    asker.identify(Request(AttachmentSource({room.server.url("/attachments/1/2/")!r} + name, "x")))
                    for name in ["gate.wav", "other.wav"] * 5
                ))
        asyncio.run(main())
        """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    await gate.until(1)
    await waiting.until(1)
    process.kill()
    await process.wait()
    assert room.rows() == "10/0"
    await eventually(lambda: room.rows() == "0/0", 60, "the end of its jobs")
    assert room.cluster.sql("SELECT count(*) FROM genregenie_askers", room.database) == "0"
    gate.opened.set()
    waiting.opened.set()
