"""Requests from submission to the last model, with real workers and a real model."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

import web.jobs
from core.errors import ErrorCode
from core.fetch.tempfiles import TemporaryFiles
from core.inference.model_card import model_file
from core.inference.pipeline import Step
from core.service.admission import Admission, AdmissionLimits
from core.service.identify import LocalIdentifier
from core.workers.pool import WorkerPool
from tests.core.fetch.servers import running_server
from tests.support.processes import eventually, ffmpegs, held_ffmpeg
from web.app import open_service
from web.jobs import Job, PageJobs, PageRequest, ViewState
from web.kept import KeptSongs
from web.settings import WebSettings
from web.uploads import Uploads

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Backend:
    """What the page runs on, with three models, the second of which cannot be used."""

    settings: WebSettings
    pool: WorkerPool
    files: TemporaryFiles
    uploads: Uploads
    models: Sequence[str]

    def jobs(
        self, limits: AdmissionLimits | None = None, slots: int = 1, models: Sequence[str] | None = None
    ) -> PageJobs:
        identifier = LocalIdentifier(self.settings, pool=self.pool)
        admission = Admission(limits or self.settings.limits, slots=slots)
        songs = KeptSongs(self.files, self.settings)
        return PageJobs(
            identifier, admission=admission, uploads=self.uploads, models=models or self.models, songs=songs
        )

    async def send(self, song: Path, visitor: str = "ana") -> PageRequest:
        return await send(self.uploads, song, visitor)


async def send(uploads: Uploads, song: Path, visitor: str) -> PageRequest:
    content = await asyncio.to_thread(song.read_bytes)

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    key = await uploads.receive(visitor, song.name, len(content), chunks())
    return PageRequest(visitor, key, None, "unnamed")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def backend(model: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    place = tmp_path_factory.mktemp("backend")
    models = []
    for name in ("genie", "broken", "augmented"):
        path = place / f"{name}.tflite"
        shutil.copy(model_file(model), path)
        card = json.loads(model_file(model).with_suffix(".json").read_text("utf-8"))
        sha256 = "0" * 64 if name == "broken" else card["sha256"]
        path.with_suffix(".json").write_text(json.dumps(card | {"name": name, "sha256": sha256}), "utf-8")
        models.append(str(path))
    settings = WebSettings(model=models[0], max_duration_s=7_200, data_dir=place)
    with TemporaryFiles(place / "tmp", quota=2**30, min_free=0) as files:
        uploads = Uploads(files, settings)
        async with WorkerPool(settings) as pool:
            await pool.ready()
            yield Backend(settings, pool, files, uploads, models)
        uploads.close()
        assert files.reserved == 0


async def last(jobs: PageJobs, job: Job) -> ViewState:
    seen = [state async for state in jobs.watch(job)]
    return seen[-1]


async def answer(jobs: PageJobs, request: PageRequest) -> ViewState:
    return await last(jobs, jobs.start(request))


async def test_all_models_classify_the_section_that_the_first_one_found(backend: Backend, long_song: Path) -> None:
    request = await backend.send(long_song)
    end = await answer(backend.jobs(), request)
    assert (end.step, end.error, end.comparing) == (Step.DONE, None, 0)
    models = [verdict.prediction.model.name for verdict in end.verdicts]
    assert models == ["genie", "augmented"]  # a broken one is left out
    assert end.verdicts[1].elapsed.decode == 0  # its spectrogram is the first one's
    assert {verdict.song.source for verdict in end.verdicts} == {long_song.name}
    first, second = (verdict.prediction for verdict in end.verdicts)
    assert first.section == second.section
    assert [s.start for s in first.segments] == [s.start for s in second.segments]
    for one, other in zip(first.segments, second.segments, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=0.05)
    assert end.picture is not None
    assert end.picture.startswith(b"\x89PNG")


async def test_the_upload_is_deleted_once_there_is_a_verdict(backend: Backend, song: Path) -> None:
    request = await backend.send(song)
    jobs = backend.jobs(models=backend.models[:1])
    async for state in jobs.watch(jobs.start(request)):
        if state.verdicts:
            assert backend.files.reserved == 0
    assert state.verdicts


async def test_a_bad_file_gives_an_error_and_no_verdict(backend: Backend, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"no sound" * 100)
    end = await answer(backend.jobs(), await backend.send(bad))
    assert end.error is not None
    assert end.error.code is ErrorCode.NOT_AUDIO
    assert end.verdicts == ()
    assert backend.files.reserved == 0


async def test_a_file_that_was_never_sent_is_not_found(backend: Backend) -> None:
    for request in (PageRequest("ana", "guessed", None, ""), PageRequest("ana", None, None, "")):
        end = await answer(backend.jobs(), request)
        assert end.error is not None
        assert end.error.code is ErrorCode.NOT_FOUND


async def test_a_full_queue_is_busy_and_says_when_to_retry(backend: Backend, song: Path, hour: Path) -> None:
    jobs = backend.jobs(AdmissionLimits(total=1, per_group=1, per_requester=1))
    first = jobs.start(await backend.send(hour))
    await anext(jobs.watch(first))
    end = await answer(jobs, request := await backend.send(song, "ben"))
    backend.uploads.discard(request.upload or "")
    assert end.error is not None
    assert end.error.code is ErrorCode.BUSY
    assert int(end.error.params["retry_after"]) >= 1
    jobs.cancel(first)
    await eventually(lambda: backend.files.reserved == 0)


async def test_a_song_that_there_is_no_room_for_need_not_be_sent_again(
    backend: Backend, song: Path, hour: Path
) -> None:
    jobs = backend.jobs(AdmissionLimits(total=1, per_group=1, per_requester=1))
    first = jobs.start(await backend.send(hour))
    await anext(jobs.watch(first))
    request = await backend.send(song, "ben")
    for _ in range(2):
        refused = await answer(jobs, request)
        assert refused.error is not None
        assert refused.error.code is ErrorCode.BUSY
    jobs.cancel(first)
    await last(jobs, first)
    assert (await answer(jobs, request)).verdicts
    await eventually(lambda: backend.files.reserved == 0)


async def test_what_is_not_there_costs_no_turn(backend: Backend, song: Path) -> None:
    jobs = backend.jobs(AdmissionLimits(cooldown_s=600.0))
    missing = await answer(jobs, PageRequest("ana", "expired", None, ""))
    assert missing.error is not None
    assert missing.error.code is ErrorCode.NOT_FOUND
    assert (await answer(jobs, await backend.send(song))).verdicts
    soon = await answer(jobs, request := await backend.send(song))
    assert soon.error is not None
    assert soon.error.code is ErrorCode.COOLDOWN
    backend.uploads.discard(request.upload or "")
    assert backend.files.reserved == 0


async def test_what_failed_does_not_push_out_answers(
    backend: Backend, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.jobs, "MAX_KEPT_PER_VISITOR", 2)
    jobs = backend.jobs(models=backend.models[:1])
    answered = jobs.start(await backend.send(song))
    assert (await last(jobs, answered)).verdicts
    failed = [jobs.start(PageRequest("ana", "guessed", None, "")) for _ in range(3)]
    for job in failed:
        await last(jobs, job)
    assert [jobs.find(job.key) is job for job in (answered, *failed)] == [True, False, False, True]


async def test_a_state_that_does_not_change_is_told_again(
    backend: Backend, hour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.jobs, "REPEAT_S", 0.5)
    jobs = backend.jobs(AdmissionLimits(), slots=1)
    first = jobs.start(await backend.send(hour))
    await eventually(lambda: backend.pool.busy_count == 1)
    waiting = jobs.start(await backend.send(hour, "ben"))
    states = jobs.watch(waiting)
    told = [await asyncio.wait_for(anext(states), 30) for _ in range(4)]
    assert [state.place for state in told[1:]] == [1, 1, 1]
    await states.aclose()
    for job in (first, waiting):
        jobs.cancel(job)
        await last(jobs, job)
    await eventually(lambda: backend.files.reserved == 0)


async def test_a_queued_request_shows_its_place_and_moves_up(backend: Backend, song: Path, hour: Path) -> None:
    jobs = backend.jobs()
    first = jobs.start(await backend.send(hour, "one"))
    await eventually(lambda: backend.pool.busy_count == 1)
    places = []
    waiting = [jobs.start(await backend.send(song, visitor)) for visitor in ("two", "three")]
    for job in waiting:
        async for state in jobs.watch(job):
            if state.place:
                places.append(state.place)
                break
    assert places == [1, 2]
    jobs.cancel(first)
    for job in waiting:
        assert (await last(jobs, job)).verdicts
    assert (await last(jobs, first)).error is not None


async def test_cancelling_a_request_stops_its_own_ffmpeg_only(backend: Backend, song: Path, hour: Path) -> None:
    jobs = backend.jobs(slots=2)
    long = jobs.start(await backend.send(hour))
    await eventually(ffmpegs, 30)
    short = asyncio.create_task(answer(jobs, await backend.send(song)))
    jobs.cancel(long)
    end = await last(jobs, long)
    assert end.error is not None
    assert end.error.code is ErrorCode.CANCELLED
    assert (await short).verdicts
    await eventually(lambda: not ffmpegs() and backend.files.reserved == 0)
    assert jobs.active == 0


async def test_a_request_that_nobody_asks_about_any_more_is_cancelled(
    backend: Backend, hour: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.jobs, "ABANDONED_S", 0.3)
    caplog.set_level("INFO", "genregenie.request")
    jobs = backend.jobs()
    job = jobs.start(await backend.send(hour))
    states = jobs.watch(job)
    await anext(states)
    await held_ffmpeg()  # which now cannot finish by itself
    await asyncio.sleep(0.5)
    assert not job.answered.done()  # it is watched
    await states.aclose()
    await eventually(lambda: not ffmpegs() and backend.files.reserved == 0)
    assert jobs.active == 0
    assert [record.fields["outcome"] for record in caplog.records] == ["cancelled"]


async def test_what_is_cancelled_while_models_are_compared_keeps_its_verdict(backend: Backend, song: Path) -> None:
    jobs = backend.jobs()
    job = jobs.start(await backend.send(song))
    async for state in jobs.watch(job):
        if state.verdicts:
            jobs.cancel(job)
    assert (state.step, state.error, state.comparing) == (Step.DONE, None, 0)
    assert state.verdicts


async def test_a_closing_page_does_not_call_its_requests_cancelled(backend: Backend, hour: Path) -> None:
    jobs = backend.jobs()
    states = jobs.watch(jobs.start(await backend.send(hour)))
    await anext(states)
    await jobs.close()
    assert all(state.error is None for state in [state async for state in states])


async def test_a_link_without_a_fetcher_is_unsupported(backend: Backend) -> None:
    request = replace(PageRequest("ana", None, None, ""), link="https://example.org/song.mp3")
    end = await answer(backend.jobs(), request)
    assert end.error is not None
    assert end.error.code is ErrorCode.UNSUPPORTED_LINK


async def test_slow_links_of_one_visitor_keep_no_other_visitor_waiting(
    model: str | None, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.jobs, "ABANDONED_S", 600.0)
    async with running_server() as server:
        server.routes["/silent*"] = lambda exchange: asyncio.sleep(3_600)
        settings = WebSettings(data_dir=tmp_path, workers=1, allowed_hosts=(server.host,), web_max_jobs_per_visitor=8)
        async with open_service(settings, [model]) as service:
            await service.pool.ready()
            for number in range(8):
                service.jobs.start(PageRequest("mallory", None, server.url(f"/silent/{number}.mp3"), ""))
            await server.wait_for_requests()
            assert (await answer(service.jobs, await send(service.uploads, song, "ana"))).verdicts
            assert service.jobs.active == 8  # they hold what they may hold, and the rest of them waits
