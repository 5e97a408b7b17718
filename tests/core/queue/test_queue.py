"""A request answered by another process: the way there and back, and what is bounded on it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pytest
import pytest_asyncio

from core.audio.spectrogram import QuantizedMel
from core.constants import N_MELS
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, Step
from core.queue.asker import QueueIdentifier, open_database
from core.queue.database import TIDY, QueueDatabase, Standing
from core.queue.messages import QueuedRequest, portable_source, queue_name
from core.queue.worker import QueueWorker
from core.service.admission import Admission, AdmissionLimits, Ticket
from core.service.identify import Request, models_digest
from core.service.sources import AttachmentSource, LinkSource, PathSource, SpectrogramSource
from core.settings import Settings
from tests.core.fetch.servers import Exchange, Server, running_server
from tests.core.queue.processes import WorkerProcess, asking
from tests.support.postgres import Cluster
from tests.support.processes import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def database(postgres: Cluster) -> str:
    return postgres.new_database()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(song: Path) -> AsyncIterator[Server]:
    content = await asyncio.to_thread(song.read_bytes)
    async with running_server() as running:
        running.serve("/attachments/1/2/song.wav", content, "audio/wav")
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def worker(
    postgres: Cluster, database: str, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WorkerProcess]:
    settings = {"GENREGENIE_ALLOWED_HOSTS": server.host}
    async with WorkerProcess(postgres.url(database), tmp_path_factory.mktemp("worker"), **settings) as process:
        await process.until_ready()
        yield process


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def asker(postgres: Cluster, database: str, worker: WorkerProcess) -> AsyncIterator[QueueIdentifier]:
    async with asking(postgres.url(database)) as identifier:
        yield identifier


@pytest_asyncio.fixture(loop_scope="module")
async def ticket() -> Ticket:
    return Admission.for_queue(AdmissionLimits()).admit("ana", 1)[0]


def attachment(server: Server) -> AttachmentSource:
    return AttachmentSource(server.url("/attachments/1/2/song.wav"), "hers.wav")


async def test_an_attachment_is_classified_elsewhere_and_kept_there(asker: QueueIdentifier, server: Server) -> None:
    steps: list[Step] = []
    request = Request(attachment(server), ClassifyOptions(picture=True, keep_spectrogram=True))
    result = await asker.identify(request, on_progress=lambda step, share: steps.append(step))
    assert result.verdict.song.source == "hers.wav"
    assert result.picture
    assert len(result.picture) < 120_000
    assert result.spectrogram is None, "the store has it"
    assert (steps[0], steps[-1]) == (Step.QUEUED, Step.DONE)
    again = await asker.identify(Request(request.source, ClassifyOptions(keep_spectrogram=True)))
    assert (result.cached, again.cached) == (False, True)
    assert again.prediction.votes == result.prediction.votes


async def test_an_answer_is_drawn_and_explained_by_whoever_keeps_its_song(
    asker: QueueIdentifier, worker: WorkerProcess, server: Server
) -> None:
    """What is sent is the votes and the song's digest: whoever asks needs no model for it."""
    result = await asker.identify(Request(attachment(server), ClassifyOptions(keep_spectrogram=True)))
    nothing = QuantizedMel(np.zeros((N_MELS, 0), np.uint8), np.zeros(0, np.uint8), 0.0, 0)
    before = await worker.metrics()
    drawn = {
        locale: await asker.illustrate(result.prediction, SpectrogramSource(nothing, "hers", result.sha256), locale)
        for locale in ("en", "es")
    }
    assert drawn["en"].picture
    assert drawn["en"].picture != drawn["es"].picture
    assert len(drawn["en"].picture) < 120_000
    assert drawn["en"].prediction.why
    assert replace(drawn["en"].prediction, why=None) == result.prediction
    assert list(drawn["en"].prediction.votes) == list(result.prediction.votes)
    counted = {name: value for name, value in (await worker.metrics()).items() if "requests_total" in name}
    assert counted == {name: before[name] for name in counted}, "nobody asked about a song"
    with pytest.raises(GenreGenieError) as raised:
        await asker.illustrate(result.prediction, SpectrogramSource(nothing, "hers", "0" * 64), "en")
    assert raised.value.code is ErrorCode.NOT_FOUND


async def test_errors_come_as_they_are(asker: QueueIdentifier, server: Server) -> None:
    with pytest.raises(GenreGenieError) as raised:
        await asker.identify(Request(AttachmentSource(server.url("/attachments/1/2/none.wav"), "none")))
    assert raised.value.code is ErrorCode.UNAVAILABLE
    with pytest.raises(GenreGenieError) as raised:
        await asker.identify(Request(PathSource(Path("here.wav"))))
    assert raised.value.code is ErrorCode.UNSUPPORTED_LINK


async def test_who_shares_no_store_gets_the_spectrogram_also_of_a_known_song_and_another_model_is_asked_here(
    asker: QueueIdentifier, postgres: Cluster, database: str, server: Server
) -> None:
    async with asking(postgres.url(database), store_is_shared=False) as page:
        result = await page.identify(Request(attachment(server), ClassifyOptions(keep_spectrogram=True)))
        assert result.spectrogram
        assert result.spectrogram.duration == pytest.approx(result.prediction.duration, abs=0.1)
        assert not result.cached
        with pytest.raises(GenreGenieError):  # this one has nothing here to ask
            await page.identify(Request(attachment(server), ClassifyOptions(model="plain")))


async def test_what_is_cancelled_leaves_nothing(
    asker: QueueIdentifier, postgres: Cluster, database: str, server: Server, ticket: Ticket
) -> None:
    begun = asyncio.Event()

    async def never(exchange: Exchange) -> None:
        begun.set()
        await asyncio.sleep(3_600)

    server.routes["/attachments/1/2/never.wav"] = never
    source = AttachmentSource(server.url("/attachments/1/2/never.wav"), "never")
    running = asyncio.create_task(asker.identify(Request(source), ticket=ticket))
    await begun.wait()
    running.cancel()
    await asyncio.wait([running], timeout=30)
    assert running.done(), "it waits for the worker, who waits for a song that never comes"
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'identify'"
    await eventually(lambda: postgres.sql(jobs, database) == "0", 15, "the end of the job")
    assert postgres.sql("SELECT count(*) FROM genregenie_answers", database) == "0"


async def test_turns_go_round_between_groups_of_all_processes_and_too_many_are_busy(
    postgres: Cluster, server: Server
) -> None:
    """Nobody works here: the order of the jobs is the order in which they would be taken."""
    database = postgres.new_database()
    url = postgres.url(database)
    admission = Admission.for_queue(AdmissionLimits(per_group=500, per_requester=500))
    async with asking(url, max_jobs=60) as one, asking(url, max_jobs=60) as other:
        tasks = []

        def ask(asker: QueueIdentifier, group: str, count: int) -> None:
            for ticket in admission.admit(group, group, jobs=count):
                tasks.append(asyncio.create_task(asker.identify(Request(attachment(server)), ticket=ticket)))

        def waiting() -> int:
            return int(postgres.sql("SELECT count(*) FROM procrastinate_jobs", database))

        ask(one, "many", 50)
        await eventually(lambda: waiting() == 50, what="the jobs of the one")
        ask(other, "few", 5)
        await eventually(lambda: waiting() == 55, what="the jobs of the other")
        order = postgres.sql(
            "SELECT string_agg(left(args ->> 'group', 1), '' ORDER BY priority DESC, id) FROM procrastinate_jobs",
            database,
        )
        assert order == "mf" * 5 + "m" * 45
        ask(other, "few", 5)
        await eventually(lambda: waiting() == 60, what="a full queue")
        with pytest.raises(GenreGenieError) as refused:
            await one.identify(Request(attachment(server)))
        assert refused.value.code is ErrorCode.BUSY
        assert int(refused.value.params["retry_after"]) > 1
        await eventually(lambda: one.state and one.state.waiting == 60, what="the state")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await eventually(lambda: waiting() == 0, what="the end of all")


async def test_a_text_that_the_database_does_not_take_is_refused_at_once(asker: QueueIdentifier) -> None:
    with pytest.raises(GenreGenieError) as refused:
        await asyncio.wait_for(asker.identify(Request(LinkSource("https://example.org/\0"))), 30)
    assert refused.value.code is ErrorCode.UNSUPPORTED_LINK


@pytest.mark.parametrize("full", [False, True], ids=["room", "full"])
async def test_a_request_that_is_given_up_while_it_is_put_again_leaves_nothing_and_no_other_waits_for_ever(
    postgres: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """Nobody works here."""
    monkeypatch.setattr("core.queue.asker.CHECK_S", 0.1)
    database = postgres.new_database()
    async with asking(postgres.url(database), max_jobs=1) as asker:

        def jobs() -> int:
            return int(postgres.sql("SELECT count(*) FROM procrastinate_jobs", database))

        async def look(what: str) -> None:
            seen = postgres.sql("SELECT max(seen_at) FROM genregenie_askers", database)
            await eventually(
                lambda: postgres.sql("SELECT max(seen_at) FROM genregenie_askers", database) > seen, what=what
            )

        given_up = asyncio.create_task(asker.identify(Request(attachment(server))))
        await eventually(lambda: jobs() == 1, what="the job")
        await look("its id")
        async with await psycopg.AsyncConnection.connect(postgres.url(database)) as other:
            # Whoever puts a job of this group waits for that.
            await other.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(queue_name || ' ', 0)) FROM procrastinate_jobs"
            )
            gone = "DELETE FROM procrastinate_jobs"
            another = (
                f"WITH gone AS ({gone} RETURNING queue_name)"
                " INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT queue_name, 'another' FROM gone"
            )
            postgres.sql(another if full else gone, database)
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await eventually(lambda: postgres.sql(waiting, database) == "1", what="its being put again")
            given_up.cancel()
            await asyncio.wait([given_up], timeout=30)
        await eventually(lambda: jobs() == int(full), what="the end of what was put again")
        await look("the next look")


async def test_a_request_that_is_being_put_is_not_taken_for_lost(
    postgres: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody works here."""
    monkeypatch.setattr("core.queue.asker.CHECK_S", 0.1)
    looked, known = asyncio.Event(), asyncio.Event()
    standing = QueueDatabase.standing

    async def slow_standing(queue: QueueDatabase, keys: Sequence[str]) -> dict[str, Standing]:
        found = await standing(queue, keys)
        looked.set()
        await known.wait()
        return found

    monkeypatch.setattr(QueueDatabase, "standing", slow_standing)
    database = postgres.new_database()
    async with asking(postgres.url(database)) as asker:
        async with await psycopg.AsyncConnection.connect(postgres.url(database)) as other:
            # Whoever puts a job of this group waits for that.
            name = queue_name(models_digest(None))
            await other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s || ' ', 0))", (name,))
            task = asyncio.create_task(asker.identify(Request(attachment(server))))
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await eventually(lambda: postgres.sql(waiting, database) == "1", what="its being put")
            seen: set[str] = set()

            def has_looked() -> bool:
                seen.add(postgres.sql("SELECT max(seen_at) FROM genregenie_askers", database))
                return looked.is_set() or len(seen) > 2

            await eventually(has_looked, what="two looks, or one that lasts")
        jobs = "SELECT count(*) FROM procrastinate_jobs"
        await eventually(lambda: postgres.sql(jobs, database) == "1", what="the job")
        await asyncio.sleep(0.2)  # the asker is told its id
        known.set()
        seen.clear()
        await eventually(lambda: has_looked() and len(seen) > 2, what="two looks more")
        assert (asker.put_again, postgres.sql(jobs, database)) == (0, "1")
        task.cancel()
        await asyncio.wait([task], timeout=30)


async def test_a_request_that_is_put_twice_is_there_once(postgres: Cluster, server: Server) -> None:
    """As it is where the connection is lost before the first one's id has come."""
    database = postgres.new_database()
    async with AsyncExitStack() as stack:
        queue = await open_database(stack, Settings.model_validate({"queue_url": postgres.url(database)}))
        source = portable_source(attachment(server))
        request = QueuedRequest("key", "ana", "", queue.model_sha256, source, ClassifyOptions())
        first, again = await queue.put(request, link=False), await queue.put(request, link=False)
        other = await queue.put(replace(request, key="another"), link=False)
    assert first == again != other
    assert postgres.sql("SELECT count(*) FROM procrastinate_jobs", database) == "2"


async def test_a_lost_workers_tidying_keeps_no_song_waiting(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.queue.database.RECOVERY_S", 0.0)
    database = postgres.new_database()
    async with AsyncExitStack() as stack:
        queue = await open_database(stack, Settings.model_validate({"queue_url": postgres.url(database)}))
        tidying = queue.files + TIDY
        postgres.sql(
            f"""
            WITH lost AS (
                INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute') RETURNING id
            )
            INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status, args, worker_id)
            SELECT queue, task, waits, status::procrastinate_job_status, '{{"asker": "ana", "crashes": 0}}', id
            FROM lost, (
                VALUES ('{tidying}', 'tidy', '{tidying}', 'doing'), ('{queue.files}', 'identify', NULL, 'doing')
            ) AS jobs (queue, task, waits, status)
            """,
            database,
        )
        columns = "queue_name, task_name, queueing_lock"
        postgres.sql(f"INSERT INTO procrastinate_jobs ({columns}) VALUES ('{tidying}', 'tidy', '{tidying}')", database)
        postgres.sql("INSERT INTO genregenie_askers (asker) VALUES ('ana')", database)
        assert await asyncio.wait_for(queue.sweep(), 30) == 1
    left = "SELECT string_agg(task_name || ' ' || status, ', ' ORDER BY task_name) FROM procrastinate_jobs"
    assert postgres.sql(left, database) == "identify todo, tidy todo"


async def test_a_worker_that_is_broken_ends(
    asker: QueueIdentifier, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("not the database's")

    async def spectrogram(_: str) -> None:
        return None

    url = postgres.url(postgres.new_database())
    async with AsyncExitStack() as stack:
        queue = await open_database(stack, Settings.model_validate({"queue_url": url}))
        monkeypatch.setattr(queue, "state", broken)
        worker = QueueWorker(queue, asker, asker, workers=1, spectrograms=spectrogram, observe=lambda *_: None)
        with pytest.raises(RuntimeError, match="not the database's"):
            await asyncio.wait_for(worker.serve(asyncio.Event(), 1.0), 60)
    assert not worker.running
