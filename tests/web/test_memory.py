"""Bounds on what is kept of every tab while the page runs."""

import asyncio
import threading
from pathlib import Path
from typing import cast

import pytest

import web.jobs
from core.fetch.tempfiles import TemporaryFiles
from core.service.admission import Admission, AdmissionLimits
from core.service.identify import Identifier
from tests.support.processes import eventually
from web.app import THREADS, start_threads
from web.jobs import PageJobs, PageRequest
from web.kept import KeptSongs
from web.settings import WebSettings
from web.uploads import Uploads


def jobs_without_workers() -> PageJobs:
    """Requests for links that nobody can fetch: each is answered with an error."""
    return PageJobs(
        cast(Identifier, None),
        admission=Admission(AdmissionLimits(1_000, 1_000, 1_000), slots=8),
        uploads=cast(Uploads, None),
        models=[None],
        songs=KeptSongs(TemporaryFiles(Path(), quota=0, min_free=0), WebSettings()),
    )


async def test_the_loops_threads_are_all_there_from_the_start() -> None:
    start_threads()
    ours = {thread for thread in threading.enumerate() if thread.name.startswith("page_")}
    used = set(await asyncio.gather(*(asyncio.to_thread(threading.current_thread) for _ in range(50))))
    assert len(ours) == THREADS
    assert used <= ours


async def test_only_the_latest_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.jobs, "MAX_KEPT", 40)
    jobs = jobs_without_workers()
    started = [jobs.start(PageRequest(f"visitor {i % 3}", None, "not a link", "")) for i in range(60)]
    await eventually(lambda: jobs.active == 0)
    assert jobs.kept == 40
    assert [jobs.find(job.key) for job in started[-40:]] == started[-40:]
    for _ in range(60):
        started.append(jobs.start(PageRequest("one visitor", None, "not a link", "")))
    await eventually(lambda: jobs.active == 0)
    own = [job for job in started if job.request.visitor == "one visitor" and jobs.find(job.key)]
    assert len(own) == web.jobs.MAX_KEPT_PER_VISITOR
    await jobs.close()
    assert jobs.kept == 0


async def test_what_a_program_has_asked_takes_no_visitors_place() -> None:
    jobs = jobs_without_workers()
    visitor = jobs.start(PageRequest("an address", None, "not a link", ""))
    programs = [
        jobs.start(PageRequest("an address", None, "not a link", "", compare=False))
        for _ in range(2 * web.jobs.MAX_KEPT_PER_VISITOR)
    ]
    assert jobs.kept == 1 + len(programs)
    await eventually(lambda: jobs.active == 0)
    assert jobs.kept == 1
    assert jobs.find(visitor.key) is visitor
    for job in programs:
        (state,) = [state async for state in jobs.watch(job)]  # who has it in hand still reads how it ended
        assert state.error is not None


async def test_answers_are_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.jobs, "KEPT_S", 0.05)
    jobs = jobs_without_workers()
    jobs.start(PageRequest("a visitor", None, "not a link", ""))
    assert jobs.kept == 1
    await eventually(lambda: jobs.kept == 0)


async def test_memory_is_given_back_once_nobody_asks_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(web.jobs, "IDLE_S", 0.2)
    monkeypatch.setattr(web.jobs, "return_memory", lambda: given_back.append(jobs.active))
    jobs = jobs_without_workers()
    for _ in range(3):
        jobs.start(PageRequest("a visitor", None, "not a link", ""))
    await eventually(lambda: given_back)
    await asyncio.sleep(0.4)
    assert given_back == [0]
    jobs.start(PageRequest("a visitor", None, "not a link", ""))
    await eventually(lambda: jobs.active == 0)
    await jobs.close()
    await asyncio.sleep(0.4)
    assert given_back == [0]
