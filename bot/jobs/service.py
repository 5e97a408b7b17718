"""One request from asking to answer: admission, classification of its songs, progress meanwhile, and the answer."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final

from bot.jobs.job import Job
from bot.jobs.progress import show_progress
from bot.jobs.records import RequestRecorder, log_request
from bot.jobs.request import JobRequest, RequestKind, Song
from bot.jobs.responder import Responder
from bot.jobs.result import SongResult
from bot.settings import BotSettings
from bot.storage.guilds import GuildStore
from bot.storage.host import HostStore
from bot.storage.retention import Scope
from core.errors import ConfigurationError, ErrorCode, GenreGenieError, too_long
from core.inference.pipeline import ClassifyOptions, ClassifyResult, Step
from core.logging_setup import current_reference
from core.service.admission import Admission, Ticket
from core.service.identify import Identifier, IdentifyResult, Request
from core.service.sources import LinkSource, SpectrogramSource
from core.verdict import Prediction

log = logging.getLogger(__name__)

RESTARTING: Final = "bot.restarting"
MAINTENANCE: Final = "bot.maintenance"
NOT_SERVED: Final = "bot.not-served"
LINKS_OFF: Final = "bot.links-off-everywhere"
RESTART_NOTICE_S: Final = 3.0
"""How long, at the end, may be spent on telling askers whose jobs are not finished."""

LAST_DEEDS_S: Final = 1.0
"""How long a task may go on that was cancelled, and then was cancelled again."""


class JobService:
    """Takes every request from asking to answer.

    Args:
        settings: limits.
        host: whom it serves, and whether it works at all.
        guilds: the servers' own limits.
        identifier: classifies the songs.
        admission: who may ask now.
        recorder: counts and stores what came of each song.
    """

    def __init__(
        self,
        settings: BotSettings,
        *,
        host: HostStore,
        guilds: GuildStore,
        identifier: Identifier,
        admission: Admission,
        recorder: RequestRecorder,
    ) -> None:
        self._settings = settings
        self._host = host
        self._guilds = guilds
        self._identifier = identifier
        self._admission = admission
        self._recorder = recorder
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._replaced: set[tuple[int, int]] = set()
        """Messages, each with the stored request whose answer gives way to one that is on its way."""
        self._closing = False

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that the end waits for."""
        task = asyncio.create_task(_logged(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def replaces(self, message_id: int, request_id: int) -> bool:
        """Whether an answer that takes the place of a stored request's in this message is on its way."""
        return (message_id, request_id) in self._replaced

    def start_answer(self, request: JobRequest, responder: Responder) -> asyncio.Task[None] | None:
        """Begin to answer a request; None where another that takes the place of the same answer is on its way."""
        if request.place is None or request.place.message_id is None or request.restores is None:
            return self.start(self.answer(request, responder))
        replaced = (request.place.message_id, request.restores)
        if replaced in self._replaced:
            return None
        self._replaced.add(replaced)
        task = self.start(self.answer(request, responder))
        task.add_done_callback(lambda _: self._replaced.discard(replaced))
        return task

    def find(self, key: str) -> Job | None:
        """Find a job that is on its way."""
        return self._jobs.get(key)

    def forget(self, scope: Scope) -> None:
        """Cancel the jobs of whose data is about to be deleted, and record nothing more of them."""
        for job in self._jobs.values():
            if scope.has(job.request.guild_id, job.request.user_id):
                job.recorded = False
                job.cancel("error.cancelled")

    async def answer(self, request: JobRequest, responder: Responder) -> None:
        """Take a request all the way; whatever fails, its asker is told, by the next process if need be."""
        current_reference.set(request.reference)
        written = await self._recorder.opened(request)
        answered = True
        try:
            answered = await self._answered(request, responder)
        except asyncio.CancelledError:
            answered = not self._closing
            raise
        finally:
            if answered:
                await self._recorder.closed(written)
            elif not self._closing:
                await self._recorder.left(written)

    async def _answered(self, request: JobRequest, responder: Responder) -> bool:
        """Take a request to its answer; False where the end of the process, or of its client, leaves it to the next."""
        try:
            if self._closing:
                return await self._put_off(request, responder)
            if (refusal := self._refusal(request)) is not None:
                log.info("Refused: %s", refusal)
                await responder.refused(request, refusal)
                return True
            return await self._answer(request, responder)
        except Exception:
            log.exception("A request failed")
        try:
            await responder.sentence(request, "error.internal")
        except Exception as error:
            # Nothing can be said: the client, which discord.py may give up at any time, is closed.
            log.error("An answer could not be delivered: %s", type(error).__name__)
            return False
        return True

    def _refusal(self, request: JobRequest) -> str | None:
        """Key of the sentence with which the host refuses a request; None where it does not."""
        if not self._host.serves(request.user_id, request.guild_id):
            return NOT_SERVED
        if self._host.switches.maintenance:
            return MAINTENANCE
        if not self._host.switches.links and any(isinstance(song.source, LinkSource) for song in request.songs):
            return LINKS_OFF
        return None

    async def _put_off(self, request: JobRequest, responder: Responder) -> bool:
        """Ask to be asked again, unless the next process answers: False."""
        if _answered_next_time(request):
            return False
        return await responder.sentence(request, RESTARTING)

    async def settle(self, timeout_s: float) -> None:
        """Wait until what is on its way has been answered, for so long at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def close(self, grace_s: float) -> None:
        """Take nothing new, tell those who wait, let running jobs finish for `grace_s` and tell the rest."""
        self._closing = True
        for job in self._jobs.values():
            if job.waiting:
                job.cancel(RESTARTING)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for job in self._jobs.values():
            job.cancel(RESTARTING)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=RESTART_NOTICE_S)
            # Once more for those whose last deed hangs, such as a reaction that is taken back while Discord fails.
            for _ in range(2):
                for task in late:
                    task.cancel()
                if late:
                    _, late = await asyncio.wait(late, timeout=LAST_DEEDS_S)

    async def _answer(self, request: JobRequest, responder: Responder) -> bool:
        """Classify the songs and answer; False where the next process has to."""
        began = time.monotonic()
        results: list[SongResult]
        answered = True
        try:
            tickets = self._admit(request)
        except GenreGenieError as error:
            results = [await self._recorder.record(request, request.songs[0], error)]
            delivered = await responder.results(request, results)
        else:
            job = Job(request, tickets)
            finished = await self._run(job, responder)
            results = finished or []
            if finished is not None:
                delivered = await responder.results(request, finished)
            elif job.cancel_reason == RESTARTING:
                delivered = answered = await self._put_off(request, responder)
            else:
                delivered = await responder.sentence(request, job.cancel_reason or "error.internal")
        log_request(request, results, time.monotonic() - began, delivered=delivered)
        return answered

    def _admit(self, request: JobRequest) -> tuple[Ticket, ...]:
        guild = self._guilds.settings(request.guild_id)
        limits = self._settings.limits.tightened(guild.places, guild.cooldown_s)
        links = any(isinstance(song.source, LinkSource) for song in request.songs)
        return self._admission.admit(
            request.user_id, request.group, jobs=len(request.songs), links=links, limits=limits
        )

    async def _run(self, job: Job, responder: Responder) -> list[SongResult] | None:
        """Classify all songs and show progress meanwhile; None when the job was cancelled."""
        job.task = asyncio.create_task(self._classify_all(job))
        self._jobs[job.key] = job
        finished = asyncio.Event()
        edits_per_s = self._settings.own_progress_edits_per_s
        progress = asyncio.create_task(show_progress(job, responder, finished, lambda: len(self._jobs), edits_per_s))
        try:
            await asyncio.wait({job.task})
        finally:
            del self._jobs[job.key]
            job.task.cancel()
            for ticket in job.tickets:
                ticket.leave()
            finished.set()
            # An edit under way is waited for: one that comes after the answer would cover it.
            await asyncio.gather(progress, return_exceptions=True)
        if job.task.cancelled():
            # What the next process answers has not come to an end.
            put_off = job.cancel_reason == RESTARTING and _answered_next_time(job.request)
            if job.recorded and not put_off:
                for index, song in enumerate(job.request.songs):
                    if not job.has_ended(index):
                        await self._recorder.record(job.request, song, GenreGenieError(ErrorCode.CANCELLED))
            return None
        return job.task.result()

    async def _classify_all(self, job: Job) -> list[SongResult]:
        admitted = len(job.tickets)
        results = await asyncio.gather(*(self._classify(job, index) for index in range(admitted)))
        # A request of more songs than there was room for.
        for song in job.request.songs[admitted:]:
            results.append(await self._recorder.record(job.request, song, GenreGenieError(ErrorCode.BUSY)))
        return results

    async def _classify(self, job: Job, index: int) -> SongResult:
        request, song = job.request, job.request.songs[index]

        def on_progress(step: Step, share: float | None) -> None:
            job.steps[index] = (step, share)

        began = time.monotonic()
        outcome: IdentifyResult | GenreGenieError
        try:
            async with job.tickets[index]:
                on_progress(Step.FETCHING, None)
                identified = await self._identifier.identify(
                    self._request(request, song),
                    on_progress=on_progress,
                    ticket=job.tickets[index],
                )
            self._check_length(request, identified)
            # The store has the spectrogram; it need not stay in memory until Discord has taken the answer.
            outcome = replace(identified, spectrogram=None)
        except GenreGenieError as error:
            outcome = error
        except ConfigurationError as error:
            log.error("%s", error)
            outcome = GenreGenieError(ErrorCode.INTERNAL)
        except Exception:
            log.exception("A request failed")
            outcome = GenreGenieError(ErrorCode.INTERNAL)
        on_progress(Step.DONE, 1.0)
        result = await self._recorder.record(request, song, outcome, time.monotonic() - began)
        return replace(result, kept=self._settings.store_bytes > 0)

    async def illustrate(
        self, prediction: Prediction, song: SpectrogramSource, *, user_id: int, guild_id: int | None, locale: str
    ) -> ClassifyResult:
        """Draw and explain a prediction that was made before, in turn with the songs that wait.

        It takes no cooldown: nobody asks about a song here, and an answer is often looked at at once.

        Raises:
            GenreGenieError: `busy`, `timeout`, `internal`; `not-found`: the song is not kept any more.
        """
        guild = self._guilds.settings(guild_id)
        limits = self._settings.limits.tightened(guild.places, None)
        [ticket] = self._admission.admit(user_id, guild_id or -user_id, limits=limits, cooldown=False)
        async with ticket:
            return await self._identifier.illustrate(prediction, song, locale, ticket=ticket)

    def _request(self, request: JobRequest, song: Song) -> Request:
        already_kept = isinstance(song.source, SpectrogramSource)
        kept = self._settings.store_bytes > 0
        return Request(
            song.source,
            ClassifyOptions(
                whole=request.whole,
                start=request.start,
                # Later, for those who ask for the details; where nothing is kept there is no later.
                picture=not kept and len(request.songs) == 1,
                keep_spectrogram=not already_kept and kept,
                locale=request.locale,
                max_duration_s=self._guilds.settings(request.guild_id).max_duration_s,
            ),
        )

    def _check_length(self, request: JobRequest, identified: IdentifyResult) -> None:
        """Hold an answer that was known already against the server's own limit.

        Raises:
            GenreGenieError: `too-long`.
        """
        longest = self._guilds.settings(request.guild_id).max_duration_s
        if longest is not None and identified.prediction.duration > longest:
            raise too_long(longest)


def _answered_next_time(request: JobRequest) -> bool:
    """Whether the next process answers what this one does not: what nobody has asked for by a command."""
    return request.kind in (RequestKind.AUTOSCAN, RequestKind.DIRECT) and request.place is not None


async def _logged(coroutine: Coroutine[Any, Any, None]) -> None:
    """Put a failure into the log."""
    try:
        await coroutine
    except Exception:
        log.exception("A task failed")
