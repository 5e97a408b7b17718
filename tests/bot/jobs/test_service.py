"""Requests from asking to answer, with a real queue and a real database; only the classification is made up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.jobs.job import Job
from bot.jobs.member_locales import MemberLocales
from bot.jobs.records import RequestRecorder
from bot.jobs.request import JobRequest, ReplyPlace, RequestKind, Song
from bot.jobs.result import SongResult
from bot.jobs.service import JobService
from bot.monitoring import Metrics
from bot.settings import BotSettings
from bot.storage.guilds import GuildSettings
from bot.storage.retention import Scope
from bot.storage.stores import Stores
from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ProgressCallback, ignore_progress
from core.service.admission import Admission, Ticket
from core.service.identify import Identifier, IdentifyResult, Request
from core.service.sources import LinkSource
from core.verdict import Segment
from tests.support.verdicts import make_verdict

HOME, ELSEWHERE, ANN, BEA = 1, 2, 10, 20
VERDICT = make_verdict(Segment(62.0, 65.0, tuple(0.55 if genre == "rock" else 0.05 for genre in GENRES)))


class MadeUpIdentifier(Identifier):
    """Answers as the test says."""

    def __init__(self, answer: Callable[[Request], Awaitable[IdentifyResult]]) -> None:
        self._answer = answer

    async def identify(
        self,
        request: Request,
        *,
        on_progress: ProgressCallback = ignore_progress,
        ticket: Ticket | None = None,
    ) -> IdentifyResult:
        return await self._answer(request)


@dataclass
class Answers:
    """A responder that keeps what it is given."""

    results_given: list[Sequence[SongResult]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    async def progress(self, job: Job) -> None:
        pass

    async def results(self, request: JobRequest, results: Sequence[SongResult]) -> bool:
        self.results_given.append(results)
        return True

    async def sentence(self, request: JobRequest, key: str) -> bool:
        self.sentences.append(key)
        return True

    async def refused(self, request: JobRequest, key: str) -> bool:
        self.sentences.append(key)
        return True


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    opened = Stores(settings(tmp_path))
    await opened.open()
    yield opened
    await opened.close()


def settings(directory: Path, store_mb: int = 512) -> BotSettings:
    return BotSettings(_env_file=None, data_dir=directory, store_mb=store_mb)  # type: ignore[call-arg]


def service(
    stores: Stores,
    tmp_path: Path,
    answer: Callable[[Request], Awaitable[IdentifyResult]],
    own: BotSettings | None = None,
    slots: int = 1,
) -> JobService:
    own = own or settings(tmp_path)
    return JobService(
        own,
        host=stores.host,
        guilds=stores.guilds,
        identifier=MadeUpIdentifier(answer),
        admission=Admission(own.limits, slots=slots),
        recorder=RequestRecorder(
            stores.requests,
            stores.open_requests,
            stores.neighbours,
            stores.corrections,
            Metrics(),
            MemberLocales(stores.requests),
        ),
    )


def request(*names: str, **values: Any) -> JobRequest:
    songs = tuple(Song(LinkSource(f"https://example.org/{name}"), name) for name in names or ("song.mp3",))
    return replace(JobRequest(RequestKind.AUTOSCAN, ANN, HOME, False, "en", songs), **values)


async def rock(_: Request) -> IdentifyResult:
    return IdentifyResult(VERDICT, "a" * 64, b"png")


async def never(_: Request) -> IdentifyResult:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def outcomes(stores: Stores) -> dict[str, int]:
    return (await stores.requests.stats(HOME, 60.0)).outcomes


def codes(answers: Answers) -> list[str]:
    [results] = answers.results_given
    return [result.code for result in results]


async def test_an_answer_is_stored_and_carries_the_id_of_its_row(stores: Stores, tmp_path: Path) -> None:
    answers = Answers()
    await service(stores, tmp_path, rock).answer(request(start=62.0), answers)
    [[result]] = answers.results_given
    assert (result.name, result.code) == ("song.mp3", "verdict")
    stored = await stores.requests.get(result.request_id or 0)
    assert stored is not None
    assert (stored.kind, stored.guild_id, stored.user_id) == ("dropped", HOME, ANN)
    assert (stored.outcome, stored.genre, stored.name, stored.part) == ("verdict", "rock", "song.mp3", "start:62.0")


@pytest.mark.parametrize(("store_mb", "kept"), [(512, True), (0, False)])
async def test_an_answer_is_drawn_at_once_only_where_nothing_is_kept_to_draw_it_later(
    stores: Stores, tmp_path: Path, store_mb: int, kept: bool
) -> None:
    asked: list[Request] = []

    async def answer(identify: Request) -> IdentifyResult:
        asked.append(identify)
        return await rock(identify)

    jobs, answers = service(stores, tmp_path, answer, settings(tmp_path, store_mb)), Answers()
    await jobs.answer(request(), answers)
    await jobs.answer(request("a", "b"), answers)
    assert [result.kept for results in answers.results_given for result in results] == [kept] * 3
    assert [one.options.picture for one in asked] == [not kept, False, False]
    assert [one.options.keep_spectrogram for one in asked] == [kept] * 3


async def test_songs_that_there_is_no_room_for_are_answered_busy_in_their_order(stores: Stores, tmp_path: Path) -> None:
    await stores.guilds.save(GuildSettings(HOME, places=2))
    answers = Answers()
    await service(stores, tmp_path, rock).answer(request("a", "b", "c"), answers)
    assert codes(answers) == ["verdict", "verdict", "busy"]
    assert [result.name for result in answers.results_given[0]] == ["a", "b", "c"]


async def test_a_request_in_the_cooldown_is_answered_once_whatever_it_has_songs(stores: Stores, tmp_path: Path) -> None:
    await stores.guilds.save(GuildSettings(HOME, cooldown_s=600.0))
    jobs = service(stores, tmp_path, rock)
    await jobs.answer(request(), Answers())
    answers = Answers()
    await jobs.answer(request("a", "b"), answers)
    assert codes(answers) == ["cooldown"]


async def test_a_cancelled_job_gives_its_reason_and_is_counted(stores: Stores, tmp_path: Path) -> None:
    jobs = service(stores, tmp_path, never)
    seen: list[Job] = []

    class Watching(Answers):
        async def progress(self, job: Job) -> None:
            seen.append(job)
            found = jobs.find(job.key)
            assert found is job
            found.cancel("error.cancelled")

    answers = Watching()
    await asyncio.wait_for(jobs.answer(request("a", "b"), answers), 20)
    assert answers.sentences == ["error.cancelled"]
    assert await outcomes(stores) == {"cancelled": 2}
    assert jobs.find(seen[0].key) is None


async def test_of_a_cancelled_job_each_song_is_counted_once(stores: Stores, tmp_path: Path) -> None:
    async def but_not_b(identify: Request) -> IdentifyResult:
        return await (never if identify.source.name.endswith("b") else rock)(identify)

    class Impatient(Answers):
        async def progress(self, job: Job) -> None:
            if job.has_ended(0) and job.has_ended(2):
                job.cancel("error.cancelled")

    answers = Impatient()
    await asyncio.wait_for(service(stores, tmp_path, but_not_b, slots=2).answer(request("a", "b", "c"), answers), 20)
    assert answers.sentences == ["error.cancelled"]
    assert await outcomes(stores) == {"verdict": 2, "cancelled": 1}


@pytest.mark.parametrize(
    ("values", "counted"),
    [({"place": ReplyPlace(5, posted_id=6)}, {}), ({"kind": RequestKind.SLASH}, {"cancelled": 1})],
    ids=["posted", "asked"],
)
async def test_what_the_next_process_answers_is_not_counted_as_cancelled(
    stores: Stores, tmp_path: Path, values: dict[str, Any], counted: dict[str, int]
) -> None:
    jobs = service(stores, tmp_path, never)
    jobs.start(jobs.answer(request(**values), Answers()))
    await asyncio.sleep(0.1)
    await jobs.close(0.05)
    assert await outcomes(stores) == counted


@pytest.mark.parametrize("scope", [Scope(user_id=ANN), Scope(HOME), Scope(HOME, ANN)])
async def test_nothing_is_recorded_of_jobs_whose_data_is_deleted_meanwhile(
    stores: Stores, tmp_path: Path, scope: Scope
) -> None:
    jobs, hers, others = service(stores, tmp_path, never), Answers(), Answers()
    place = ReplyPlace(5, message_id=6)
    task = jobs.start(jobs.answer(request(kind=RequestKind.SLASH, place=place), hers))
    jobs.start(jobs.answer(request(user_id=BEA, guild_id=ELSEWHERE), others))
    await asyncio.sleep(0.1)
    jobs.forget(scope)
    await stores.retention.forget(scope)
    await asyncio.wait_for(task, 20)
    assert hers.sentences == ["error.cancelled"]
    assert not await stores.retention.held(Scope(user_id=ANN))
    assert others.sentences == []
    await jobs.close(0.05)
    assert others.sentences == ["bot.restarting"]


@pytest.mark.parametrize("said", [False, True])
async def test_what_cannot_be_said_at_all_is_left_to_the_next_client(
    stores: Stores, tmp_path: Path, said: bool
) -> None:
    class Closed(Answers):
        async def results(self, request: JobRequest, results: Sequence[SongResult]) -> bool:
            raise RuntimeError("Session is closed")

        async def sentence(self, request: JobRequest, key: str) -> bool:
            if not said:
                raise RuntimeError("Session is closed")
            return await super().sentence(request, key)

    answers = Closed()
    await service(stores, tmp_path, rock).answer(request(place=ReplyPlace(5, message_id=6)), answers)
    left = [(one.user_id, one.message_id) for one in stores.open_requests.take_leftovers()]
    assert (answers.sentences, left) == ((["error.internal"], []) if said else ([], [(ANN, 6)]))
    await stores.open_requests.load()
    assert bool(stores.open_requests.take_leftovers()) is not said, "nor is it struck off"


async def test_an_error_without_a_code_is_internal_and_harms_no_other_song(stores: Stores, tmp_path: Path) -> None:
    async def broken(classify: Request) -> IdentifyResult:
        if classify.source.name.endswith("a"):
            raise RuntimeError("unforeseen")
        if classify.source.name.endswith("b"):
            raise GenreGenieError(ErrorCode.SILENT)
        return await rock(classify)

    answers = Answers()
    await service(stores, tmp_path, broken).answer(request("a", "b", "c"), answers)
    assert codes(answers) == ["internal", "silent", "verdict"]


async def test_a_known_answer_is_held_against_the_servers_own_longest_song(stores: Stores, tmp_path: Path) -> None:
    await stores.guilds.save(GuildSettings(HOME, max_duration_s=VERDICT.prediction.duration - 1))
    answers = Answers()
    await service(stores, tmp_path, rock).answer(request(), answers)
    assert codes(answers) == ["too-long"]


async def test_at_the_end_those_who_wait_and_those_who_come_are_told_to_ask_again(
    stores: Stores, tmp_path: Path
) -> None:
    jobs = service(stores, tmp_path, never)
    waiting, late = Answers(), Answers()
    task = jobs.start(jobs.answer(request(), waiting))
    await asyncio.sleep(0)
    await jobs.close(0.05)
    assert task.done()
    await jobs.answer(request(), late)
    assert (waiting.sentences, late.sentences) == (["bot.restarting"], ["bot.restarting"])


async def test_the_end_waits_for_no_last_deed_that_hangs(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in ("RESTART_NOTICE_S", "LAST_DEEDS_S"):
        monkeypatch.setattr(f"bot.jobs.service.{constant}", 0.05)
    taken_back, hanging = False, asyncio.Event()

    async def answer_with_a_reaction(last_deed_s: float) -> None:
        nonlocal taken_back
        try:
            await hanging.wait()
        finally:
            await asyncio.sleep(last_deed_s)
            taken_back = True

    jobs = service(stores, tmp_path, never)
    quick, endless = (jobs.start(answer_with_a_reaction(seconds)) for seconds in (0.0, 600.0))
    await asyncio.sleep(0)
    await asyncio.wait_for(jobs.close(0.05), 20)
    assert taken_back, "what takes no time is done"
    assert quick.done()
    assert endless.cancelled()


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"maintenance": True}, ["bot.maintenance"]),
        ({"links": False}, ["bot.links-off-everywhere"]),
        ({"allowlist": True}, ["bot.not-served"]),
        ({}, []),
    ],
)
async def test_what_the_host_refuses_is_not_begun(
    switches: dict[str, bool], said: list[str], stores: Stores, tmp_path: Path
) -> None:
    await stores.host.switch(**switches)
    answers = Answers()
    await service(stores, tmp_path, rock).answer(request(), answers)
    assert answers.sentences == said
    assert len(answers.results_given) == (0 if said else 1)


@pytest.mark.parametrize("store_mb", [0, 512])
async def test_a_host_that_keeps_no_songs_has_results_that_say_so(
    store_mb: int, stores: Stores, tmp_path: Path
) -> None:
    answers = Answers()
    own = BotSettings(_env_file=None, data_dir=tmp_path, store_mb=store_mb)  # type: ignore[call-arg]
    await service(stores, tmp_path, rock, own).answer(request(), answers)
    [[result]] = answers.results_given
    assert result.kept == (store_mb > 0)
