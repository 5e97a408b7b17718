"""What a job shows on its way and in the end."""

from dataclasses import replace

import pytest

from bot.jobs.job import Job
from bot.jobs.progress import EditBudget
from bot.jobs.request import JobRequest, ReplyCapabilities, RequestKind, Song
from bot.jobs.result import SongResult
from bot.ui.message import OutgoingMessage
from bot.ui.responder import DiscordResponder, progress_text
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import translate
from core.inference.pipeline import Step
from core.service.admission import Admission, AdmissionLimits
from core.service.sources import LinkSource
from tests.bot.storage.rows import Clock
from tests.bot.ui.identified import identified


class Sent:
    """A delivery that keeps what it is given."""

    shows_progress = True

    def __init__(self) -> None:
        self.shown: list[OutgoingMessage] = []
        self.answers: list[OutgoingMessage] = []
        self.failures: list[tuple[OutgoingMessage, ErrorCode | None, bool]] = []

    async def progress(self, message: OutgoingMessage) -> None:
        self.shown.append(message)

    async def final(self, message: OutgoingMessage) -> bool:
        self.answers.append(message)
        return True

    async def failed(self, message: OutgoingMessage, code: ErrorCode | None, *, beside: bool = False) -> bool:
        self.failures.append((message, code, beside))
        return True


def request(songs: int = 1, capabilities: ReplyCapabilities | None = None) -> JobRequest:
    named = tuple(Song(LinkSource(f"https://example.org/{n}"), f"song {n}") for n in range(songs))
    return JobRequest(RequestKind.SLASH, 1, 2, False, "en", named, capabilities=capabilities or ReplyCapabilities())


def job(songs: int = 1, *, ahead: int = 0) -> Job:
    admission = Admission(AdmissionLimits(), slots=1)
    admission.admit(9, 9, jobs=ahead + 1)
    return Job(request(songs), admission.admit(1, 2, jobs=songs))


async def test_progress_says_the_place_in_the_queue_then_the_step_and_its_share() -> None:
    one = job()
    assert progress_text(one) == translate("bot.progress.queued", "en", place=1)
    one.steps[0] = (Step.FETCHING, None)
    assert progress_text(one) == translate("bot.progress.fetching", "en")
    one.steps[0] = (Step.DECODING, 0.5)
    assert progress_text(one).startswith(translate("bot.progress.decoding", "en"))
    assert "50" in progress_text(one)


async def test_progress_of_several_songs_counts_those_that_are_done() -> None:
    several = job(3)
    several.steps[0] = (Step.DONE, 1.0)
    assert progress_text(several) == translate("bot.progress.several", "en", done=1, n=3)


async def test_the_same_progress_is_shown_once_with_the_button_that_cancels() -> None:
    sent, one = Sent(), job()
    responder = DiscordResponder(sent)
    await responder.progress(one)
    await responder.progress(one)
    one.steps[0] = (Step.FETCHING, None)
    await responder.progress(one)
    assert len(sent.shown) == 2
    assert sent.shown[0].view is not None
    [button] = sent.shown[0].view.children
    assert button.custom_id == f"gg:cancel:{one.key}"  # type: ignore[attr-defined]


async def test_progress_over_the_budget_is_left_out_and_said_by_the_next_one_and_answers_never_are() -> None:
    clock = Clock()
    budget = EditBudget(2.0, clock=clock)
    sent = [Sent() for _ in range(5)]
    responders = [DiscordResponder(one, budget) for one in sent]
    jobs = [job() for _ in sent]

    async def shown() -> list[int]:
        for responder, one in zip(responders, jobs, strict=True):
            await responder.progress(one)
        return [len(one.shown) for one in sent]

    assert await shown() == [1, 1, 0, 0, 0]
    clock.now += 0.5
    assert await shown() == [1, 1, 1, 0, 0]  # the first two have nothing new to say, and take nothing
    clock.now += 1_000  # no more than a second's are saved up
    for one in jobs:
        one.steps[0] = (Step.FETCHING, None)
    assert await shown() == [2, 2, 1, 0, 0]
    for responder, one in zip(responders, jobs, strict=True):
        assert await responder.results(one.request, [SongResult("song.mp3", identified(), 7)])
    assert [len(one.answers) for one in sent] == [1] * 5


async def test_where_progress_is_not_shown_it_takes_nothing_from_the_budget() -> None:
    budget, sent = EditBudget(1.0, clock=Clock()), Sent()
    sent.shows_progress = False
    await DiscordResponder(sent, budget).progress(job())
    assert sent.shown == []
    assert budget.take()


@pytest.mark.parametrize(("request_id", "buttons"), [(7, True), (None, False)])
async def test_results_have_buttons_where_their_request_is_stored(request_id: int | None, buttons: bool) -> None:
    sent = Sent()
    assert await DiscordResponder(sent).results(request(), [SongResult("song.mp3", identified(), request_id)])
    [answer] = sent.answers
    assert answer.embeds
    assert (answer.view is not None) == buttons


async def test_results_and_sentences_keep_to_what_the_channel_allows() -> None:
    sent = Sent()
    limited = request(capabilities=ReplyCapabilities(embeds=False, notice="no embeds"))
    await DiscordResponder(sent).results(limited, [SongResult("song.mp3", identified(), 7)])
    await DiscordResponder(sent).sentence(limited, "bot.restarting")
    assert not sent.answers[0].embeds
    assert (sent.answers[0].content or "").endswith("no embeds")
    assert (sent.answers[1].content or "").startswith(translate("bot.restarting", "en"))


async def test_songs_that_there_was_no_room_for_are_said_under_the_results() -> None:
    sent = Sent()
    crowded = replace(request(2), left_out=1)
    results = [SongResult(song.name, identified(), None) for song in crowded.songs]
    await DiscordResponder(sent).results(crowded, results)
    refused = SongResult("song 0", GenreGenieError(ErrorCode.BUSY))
    await DiscordResponder(sent).results(crowded, [refused])  # one refusal of them all
    more = translate("bot.reply.more-songs", "en", songs=2, n=1)
    assert (sent.answers[0].content or "").endswith(f"\n{more}")
    assert [(message.content, code) for message, code, _ in sent.failures] == [
        (translate("error.busy", "en"), ErrorCode.BUSY)
    ]


async def test_what_failed_is_for_the_asker_beside_what_did_not() -> None:
    sent = Sent()
    silent = SongResult("b", GenreGenieError(ErrorCode.SILENT), None)
    results = [SongResult("a", identified(), 1), silent]
    await DiscordResponder(sent).results(request(2), results)
    await DiscordResponder(sent).results(replace(request(2), private=True), results)
    [(alone, code, beside)] = sent.failures
    assert (alone.content, code, beside) == (f"2. **b**: {translate('error.silent', 'en')}", ErrorCode.SILENT, True)
    public, private = (message.content or "" for message in sent.answers)
    assert "**b**" not in public
    assert private == f"{public}\n{alone.content}"
