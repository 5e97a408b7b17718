"""Answering requests from the queue: what one machine takes, and what keeps a lost machine's jobs from being lost."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from procrastinate import JobContext
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker

from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.inference.pipeline import Step
from core.queue.database import (
    AGAIN_S,
    BEAT_S,
    IN_THE_PAST,
    KEPT_S,
    TASK,
    TIDY,
    DatabaseError,
    QueueDatabase,
    QueueState,
    until_done,
)
from core.queue.messages import KeptSong, Notice, QueuedRequest, answer_to_bytes, read_request
from core.service.admission import (
    ESTIMATE_WEIGHT,
    FETCH_AHEAD,
    FIRST_ESTIMATE_S,
    LINK_SLOTS,
    Admission,
    AdmissionLimits,
)
from core.service.identify import Identifier, IdentifyResult, Request
from core.service.sources import LinkSource, Source, SpectrogramSource
from core.verdict import SongInfo, Verdict

log = logging.getLogger(__name__)

SWEEP_S: Final = 1.0
POLL_S: Final = 1.0
"""How soon a job is found whose notification is lost, or that comes back from a lost worker without one."""

ABORT_POLL_S: Final = 2.0
PROGRESS_S: Final = 1.0
"""Progress is sent no more often: each notification makes every commit of the database wait its turn."""

CLOSE_S: Final = 10.0
"""How long, at the end, the database may take to get jobs back."""

UNLIMITED: Final = AdmissionLimits(1_000_000, 1_000_000, 1_000_000)
"""Who may ask was decided by who put the job into the queue."""

Spectrograms = Callable[[str], Awaitable[QuantizedMel | None]]
"""Looks a kept spectrogram up by its song's digest."""

Observe = Callable[[str, float, IdentifyResult | None], None]
"""Called for each job with `verdict` or an error's code, its seconds, and the answer."""


class _GivenBackError(Exception):
    """The worker ends before the job does."""


class _GiveBack(BaseRetryStrategy):
    """Puts a job that was given back into the queue again."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Retry at once, and by no clock but the database's."""
        return RetryDecision(retry_at=IN_THE_PAST) if isinstance(exception, _GivenBackError) else None


@dataclass(slots=True)
class _Progress:
    """The newest progress of a job, to be sent when its time has come."""

    step: Step | None = None
    share: float | None = None

    def __call__(self, step: Step, share: float | None) -> None:
        if step not in (Step.QUEUED, Step.DONE):  # the asker knows both better
            self.step, self.share = step, share


class QueueWorker:
    """Takes jobs from the queue and answers them.

    Args:
        queue: the database.
        identifier: answers requests on this machine.
        storeless: answers those that are to leave nothing in the store, as the page's are.
        workers: processes that it classifies with.
        spectrograms: where kept spectrograms are looked up.
        observe: counts what came of each job.

    Attributes:
        state: the queue, as it was a moment ago; None while the database does not answer.
        redelivered: jobs of lost workers that this process gave to others.
        late: answers that were dropped, since another worker had answered or nobody waited.
    """

    def __init__(
        self,
        queue: QueueDatabase,
        identifier: Identifier,
        storeless: Identifier,
        *,
        workers: int,
        spectrograms: Spectrograms,
        observe: Observe,
    ) -> None:
        self._queue = queue
        self._identifier = identifier
        self._storeless = storeless
        self._workers = workers
        self._spectrograms = spectrograms
        self._observe = observe
        self._admission = Admission.for_workers(UNLIMITED, workers)
        self._mean_s = FIRST_ESTIMATE_S
        self._loops: dict[str, Worker] = {}
        self._stopping = False
        self.state: QueueState | None = QueueState()
        self.redelivered = 0
        self.late = 0
        app = queue.app
        app.task(name=TASK, pass_context=True, retry=_GiveBack())(self._run)
        tidy = app.task(name="tidy", queue=queue.files + TIDY, queueing_lock=queue.files + TIDY)(self._tidy)
        # Procrastinate looks after its side tasks, such as listening, only where a periodic one is among them.
        app.periodic(cron="* * * * *")(tidy)

    @property
    def running(self) -> int:
        """Jobs that this process has."""
        return self._admission.jobs

    async def serve(self, stop: asyncio.Event, grace_s: float) -> None:
        """Take jobs until `stop` is set, then finish those that run; after `grace_s` the rest is given back.

        Raises:
            Exception: whatever has broken it before.
        """
        slots = {self._queue.files: self._workers + FETCH_AHEAD, self._queue.links: LINK_SLOTS}
        loops = [asyncio.create_task(self._work(name, count, grace_s)) for name, count in slots.items()]
        # Procrastinate's own heartbeats end when a worker is told to stop, while its jobs go on.
        keeping = [asyncio.create_task(self._beat()), asyncio.create_task(self._sweep())]
        tasks = (*loops, *keeping)
        stopping = asyncio.create_task(stop.wait())
        # Before that, the others end only of what nobody has thought of: a worker that goes on without one looks alive.
        await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        broken = [task for task in tasks if task.done()]
        stopping.cancel()
        self._stopping = True
        log.info("Stopping: %d songs may finish within %g s", self.running, grace_s)
        for worker in self._loops.values():
            worker.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait(loops, timeout=grace_s + CLOSE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in broken:
            task.result()

    async def _work(self, name: str, slots: int, grace_s: float) -> None:
        """Keep a worker of Procrastinate's on a queue: it gives up when the database is away."""
        while not self._stopping:
            worker = self._loops[name] = Worker(
                self._queue.app,
                queues=[name, name + TIDY],
                name=name,
                concurrency=slots,
                fetch_job_polling_interval=POLL_S,
                abort_job_polling_interval=ABORT_POLL_S,
                shutdown_graceful_timeout=grace_s,
                delete_jobs="always",
                install_signal_handlers=False,
                update_heartbeat_interval=86_400,
                stalled_worker_timeout=KEPT_S,
            )
            try:
                await worker.run()  # type: ignore[no-untyped-call]
            except DatabaseError as error:
                log.warning("The queue's database failed: %s", type(error.__cause__ or error).__name__)
            if not self._stopping:
                log.warning("Taking jobs from %s is begun again", name)
                await asyncio.sleep(AGAIN_S)

    async def _beat(self) -> None:
        """Say each second that this process lives, for as long as it does."""
        while True:
            for name, worker in list(self._loops.items()):
                slots = self._workers if name == self._queue.files else 0
                with contextlib.suppress(*DatabaseError):
                    if worker.worker_id is not None and not await self._queue.beat(
                        worker.worker_id, name, slots, self._mean_s
                    ):
                        worker.stop()  # type: ignore[no-untyped-call]  # taken for lost and deleted: it registers anew
            await asyncio.sleep(BEAT_S)

    async def _sweep(self) -> None:
        """Give lost workers' jobs to others each second, if nobody else is at it."""
        while True:
            try:
                redelivered = await self._queue.sweep()
                self.state = await self._queue.state()
            except DatabaseError as error:
                self.state = None
                log.debug("not swept: %s", error)
            else:
                self.redelivered += redelivered
                if redelivered:
                    log.warning("%d jobs of lost workers were put back", redelivered)
            await asyncio.sleep(SWEEP_S)

    async def _tidy(self, timestamp: int) -> None:
        await self._queue.tidy()

    async def _run(self, context: JobContext, /, **arguments: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Answer one job."""
        if context.job.id is None:
            return
        try:
            try:
                request = read_request(arguments)
            except ValueError as error:
                log.error("A job cannot be read: %s", error)
                answer: IdentifyResult | GenreGenieError = GenreGenieError(ErrorCode.INTERNAL)
                key, asker = str(arguments.get("key")), str(arguments.get("asker"))
            else:
                key, asker = request.key, request.asker
                answer = await self._answer(request)
            body = await asyncio.to_thread(answer_to_bytes, answer)
            job_id = context.job.id
            if not await until_done(lambda: self._queue.answer(job_id, key, asker, body)):
                self.late += 1
        except asyncio.CancelledError:
            if context.abort_reason() is AbortReason.SHUTDOWN:
                raise _GivenBackError from None
            raise JobAborted from None
        except DatabaseError:
            log.error("An answer was lost: the queue's database stays away")

    async def _answer(self, request: QueuedRequest) -> IdentifyResult | GenreGenieError:
        began = time.monotonic()
        progress = _Progress()
        sending = asyncio.create_task(self._send_progress(request, progress))
        outcome: IdentifyResult | GenreGenieError
        try:
            outcome = await self._identified(request, progress)
        except GenreGenieError as error:
            outcome = error
        except ConfigurationError as error:
            log.error("%s", error)
            outcome = GenreGenieError(ErrorCode.INTERNAL)
        except Exception:
            log.exception("A job failed")
            outcome = GenreGenieError(ErrorCode.INTERNAL)
        finally:
            sending.cancel()
        seconds = time.monotonic() - began
        if request.prediction is not None:  # nobody asks about a song here
            return outcome
        self._mean_s += ESTIMATE_WEIGHT * (seconds - self._mean_s)
        if isinstance(outcome, GenreGenieError):
            self._observe(outcome.code.value, seconds, None)
            return outcome
        self._observe("verdict", seconds, outcome)
        return replace(outcome, spectrogram=None) if request.use_store else outcome

    async def _identified(self, request: QueuedRequest, progress: _Progress) -> IdentifyResult:
        if request.model_sha256 != self._queue.model_sha256:
            raise ConfigurationError("a job asks for another model than this worker has")
        source = await self._source(request)
        (ticket,) = self._admission.admit(request.key, request.group, links=isinstance(source, LinkSource))
        async with ticket:
            identifier = self._identifier if request.use_store else self._storeless
            if request.prediction is not None and isinstance(source, SpectrogramSource):
                locale = request.options.locale
                drawn = await identifier.illustrate(request.prediction, source, locale, ticket=ticket)
                verdict = Verdict(drawn.prediction, SongInfo(source.name), drawn.elapsed)
                return IdentifyResult(verdict, source.digest, drawn.picture, cached=True)
            return await identifier.identify(Request(source, request.options), on_progress=progress, ticket=ticket)

    async def _source(self, request: QueuedRequest) -> Source:
        """Give the source to open.

        Raises:
            GenreGenieError: `not-found`: the spectrogram is not kept any more.
        """
        source = request.source
        if not isinstance(source, KeptSong):
            return source
        spectrogram = await self._spectrograms(source.sha256)
        if spectrogram is None:
            raise GenreGenieError(ErrorCode.NOT_FOUND)
        return SpectrogramSource(spectrogram, source.name, source.sha256)

    async def _send_progress(self, request: QueuedRequest, progress: _Progress) -> None:
        """Send what has changed, once a second at most."""
        sent = Notice(request.key)
        while True:
            await asyncio.sleep(PROGRESS_S)
            notice = Notice(request.key, progress.step, progress.share)
            if notice != sent and notice.step is not None:
                with contextlib.suppress(*DatabaseError):
                    await self._queue.notify(request.asker, notice)
                sent = notice
