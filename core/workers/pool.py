"""The pipeline on a pool of processes, awaited: progress, deadline, cancellation, a fresh worker for a dead one.

A worker is a new interpreter (spawned, never forked), so that it is the same on every platform and inherits nothing: no
token in its environment, no open socket, and on Linux no right to write a file or to open a connection.
"""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Final, Self

from core.audio.decode import DecodeLimits
from core.audio.ffmpeg import FFMPEG_VARIABLE, ffmpeg_path
from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, ClassifyResult, ProgressCallback, Step
from core.logging_setup import current_reference
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.processes import end_guarded, group_options, wait_for_end
from core.settings import Settings
from core.verdict import Prediction
from core.workers import protocol

log = getLogger(__name__)

STOP_GRACE_S: Final = 0.5
"""How long a worker may take to give a job up before it is killed."""

START_TIMEOUT_S: Final = 60.0
MAX_START_FAILURES: Final = 3
WORKER_POLICY: Final = SandboxPolicy(
    read=(Path(os.sep),), limits=ResourceLimits(open_files=None), own_groups=True, guarded=True, max_tasks=128
)
"""A worker reads files wherever they are; it writes none, and has no network."""

MAX_QUEUE: Final = 1024
"""Jobs that may wait for a worker; who asks is admitted before that, by `core.service.admission`."""


class _WorkerLostError(Exception):
    """The worker's process ended, or sent something that it should not."""


class _WorkerStoppedError(_WorkerLostError):
    """We end the worker: it did not give its job up."""


@dataclass(slots=True, eq=False)
class _Job:
    command: protocol.Work
    on_progress: ProgressCallback | None
    timeout_s: float
    answer: asyncio.Future[ClassifyResult]
    deadline: float | None = None
    attempts: int = field(default=0)
    reference: str | None = field(default_factory=current_reference.get)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def report(self, step: Step, share: float | None) -> None:
        if self.on_progress is None or self.answer.done():
            return
        try:
            self.on_progress(step, share)
        except Exception:  # the caller is in trouble, not the worker, nor the next caller
            log.exception("a progress callback failed")
            self.on_progress = None


@dataclass(slots=True)
class WorkerSlot:
    """One slot of the pool: the job that runs in it, and how many of its workers in a row did not start."""

    job: _Job | None = None
    failed_starts: int = 0


class WorkerPool:
    """Processes that classify, behind an asyncio interface.

    Args:
        settings: limits; `workers` is the size of the pool unless `size` is given.
        size: number of processes.
        max_queue: jobs that may wait before `busy` is answered.

    Attributes:
        ready_count: workers that are warm.
        busy_count: workers at work.
        restarts: workers that were replaced.
    """

    def __init__(self, settings: Settings, *, size: int | None = None, max_queue: int = MAX_QUEUE) -> None:
        self._settings = settings
        self._size = size or settings.workers
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(max_queue)
        self._slots: list[asyncio.Task[None]] = []
        self._places: list[WorkerSlot] = []
        self._first_ready: asyncio.Future[None] | None = None
        self._closing = False
        self._unusable: ConfigurationError | None = None
        self._unanswered: set[asyncio.Future[ClassifyResult]] = set()
        self.ready_count = 0
        self.busy_count = 0
        self.restarts = 0

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close at once."""
        await self.close(0)

    @property
    def size(self) -> int:
        """Number of processes."""
        return self._size

    @property
    def queued(self) -> int:
        """Jobs that wait for a worker."""
        return self._queue.qsize()

    async def start(self) -> None:
        """Start the workers; returns at once, while they warm up.

        Raises:
            ConfigurationError: there is no ffmpeg.
        """
        ffmpeg_path(self._settings.ffmpeg)
        self._first_ready = asyncio.get_running_loop().create_future()
        # Nobody has to ask for readiness: a failure that nobody awaits is in the log already.
        self._first_ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._places = [WorkerSlot() for _ in range(self._size)]
        self._slots = [
            asyncio.create_task(self._keep_slot(slot), name=f"worker-{i}") for i, slot in enumerate(self._places)
        ]

    async def ready(self) -> None:
        """Wait until a worker is warm.

        Raises:
            ConfigurationError: none can be: the model is missing or unusable, or workers die at start.
        """
        if self._first_ready is None:
            raise RuntimeError("the pool is not started")
        await asyncio.shield(self._first_ready)

    async def classify_file(
        self,
        path: Path,
        options: ClassifyOptions | None = None,
        *,
        on_progress: ProgressCallback | None = None,
        spent_s: float = 0.0,
    ) -> ClassifyResult:
        """Classify a file. Cancelling the caller ends the work and its ffmpeg.

        Args:
            path: of the file.
            options: what to classify.
            on_progress: called at each step.
            spent_s: seconds of the job's time that fetching the file has taken.

        Raises:
            GenreGenieError: the file has no verdict, or `busy`, `timeout`, `internal`.
            ConfigurationError: `options.model` cannot be used.
        """
        options = options or ClassifyOptions()
        longest = self._settings.max_duration_s
        limits = DecodeLimits(
            self._settings.max_file_bytes,
            min(longest, options.max_duration_s or longest),
            self._settings.job_timeout_s,
        )
        absolute = str(path.absolute())  # noqa: ASYNC240 - asks no disk
        return await self._submit(protocol.ClassifyFile(absolute, limits, options), on_progress, spent_s)

    async def classify_spectrogram(
        self,
        spectrogram: QuantizedMel,
        options: ClassifyOptions | None = None,
        *,
        on_progress: ProgressCallback | None = None,
    ) -> ClassifyResult:
        """Classify a song whose spectrogram was kept; raises as `classify_file` does."""
        command = protocol.ClassifySpectrogram(spectrogram.to_bytes(), options or ClassifyOptions())
        return await self._submit(command, on_progress)

    async def illustrate(self, prediction: Prediction, spectrogram: QuantizedMel, locale: str) -> ClassifyResult:
        """Draw and explain a prediction that was made before: see `core.inference.pipeline.illustrate`.

        Raises:
            GenreGenieError: `busy`, `timeout`, `internal`.
        """
        return await self._submit(protocol.Illustrate(spectrogram.to_bytes(), prediction, locale), None)

    async def close(self, grace_s: float = 0) -> None:
        """Take no new work, give running and waiting work `grace_s` seconds, then end the workers."""
        self._closing = True
        if self._unanswered:
            await asyncio.wait(self._unanswered, timeout=grace_s)
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots.clear()
        self._fail_waiting(GenreGenieError(ErrorCode.CANCELLED))
        if self._first_ready and not self._first_ready.done():
            self._first_ready.set_exception(ConfigurationError("the workers were ended before one was ready"))

    async def _submit(
        self,
        command: protocol.Work,
        on_progress: ProgressCallback | None,
        spent_s: float = 0.0,
    ) -> ClassifyResult:
        if self._unusable is not None:
            raise self._unusable
        if self._closing:
            raise GenreGenieError(ErrorCode.BUSY)
        if not self._slots:
            raise RuntimeError("the pool is not started")
        left_s = self._settings.job_timeout_s - spent_s
        if left_s <= 0:
            raise GenreGenieError(ErrorCode.TIMEOUT)
        answer: asyncio.Future[ClassifyResult] = asyncio.get_running_loop().create_future()
        job = _Job(command, on_progress, left_s, answer)
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise GenreGenieError(ErrorCode.BUSY) from None
        self._unanswered.add(job.answer)
        job.answer.add_done_callback(self._unanswered.discard)
        job.report(Step.QUEUED, None)
        # Cancelling this await cancels the answer, upon which the slot stops the worker.
        return await job.answer

    async def _keep_slot(self, slot: WorkerSlot) -> None:
        """Keep a worker in one slot of the pool: a fresh one whenever it is lost."""
        try:
            while True:
                try:
                    await self._run_worker(slot)
                except _WorkerStoppedError:
                    pass
                except _WorkerLostError as lost:
                    log.warning("a worker was lost: %s", lost)
                except ConfigurationError as error:
                    if not self._was_ready:
                        self._give_up(error)
                        return
                    log.error("a worker cannot start: %s", error)
                except Exception:
                    log.exception("a worker was lost")
                current_reference.set(None)
                self.restarts += 1
                slot.job = _retry_once(slot.job)
                # Another one may yet come up.
                none_starts = all(place.failed_starts >= MAX_START_FAILURES for place in self._places)
                if none_starts and self.ready_count == 0:
                    if not self._was_ready:
                        self._give_up(ConfigurationError("workers end at start; see the log"))
                        return
                    self._fail_waiting(GenreGenieError(ErrorCode.INTERNAL))
                await asyncio.sleep(_pause(slot.failed_starts))
        finally:
            if slot.job is not None:
                slot.job.fail(self._unusable or GenreGenieError(ErrorCode.CANCELLED))

    async def _run_worker(self, slot: WorkerSlot) -> None:
        """Start a worker and give it jobs until it is lost.

        Raises:
            _WorkerLostError: it is; `slot` has the job that it had.
            ConfigurationError: it has no model to use.
        """
        slot.failed_starts += 1
        process = await self._spawn()
        try:
            await self._wait_until_ready(process)
            slot.failed_starts = 0
            self.ready_count += 1
            try:
                if self._first_ready and not self._first_ready.done():
                    self._first_ready.set_result(None)
                while True:
                    slot.job = slot.job or await self._queue.get()
                    await self._run_job(process, slot.job)
                    slot.job = None
            finally:
                self.ready_count -= 1
        finally:
            await _end(process)

    @property
    def _was_ready(self) -> bool:
        """Whether a worker was ever warm: what fails after that may pass."""
        ready = self._first_ready
        return ready is not None and ready.done() and not ready.cancelled() and ready.exception() is None

    def _give_up(self, error: ConfigurationError) -> None:
        log.error("workers cannot start: %s", error)
        self._unusable = error
        if self._first_ready and not self._first_ready.done():
            self._first_ready.set_exception(error)
        self._fail_waiting(error)

    def _fail_waiting(self, error: Exception) -> None:
        while not self._queue.empty():
            self._queue.get_nowait().fail(error)

    async def _spawn(self) -> Process:
        root = Path(__file__).parents[2]
        environment = minimal_environment(
            Path(tempfile.gettempdir()),
            PYTHONPATH=str(root),
            **{FFMPEG_VARIABLE: ffmpeg_path(self._settings.ffmpeg)},
            # One core a worker: the pool is what uses several. Threads of BLAS would cost memory too.
            OMP_NUM_THREADS="1",
            OPENBLAS_NUM_THREADS="1",
        )
        arguments = [sys.executable, "-P", "-m", "core.workers.worker"]
        if self._settings.model:
            arguments.append(self._settings.model)
        noisy = log.isEnabledFor(10)
        try:
            return await asyncio.create_subprocess_exec(
                *sandboxed_command(arguments, WORKER_POLICY),
                stdin=PIPE,
                stdout=PIPE,
                stderr=None if noisy else asyncio.subprocess.DEVNULL,
                env=environment,
                limit=protocol.MAX_LINE,
                **group_options(),
            )
        except OSError as error:  # no memory or no process left
            raise _WorkerLostError(f"not started: {error.strerror}") from None

    async def _wait_until_ready(self, process: Process) -> None:
        try:
            # Not `wait_for`: before Python 3.12 it can swallow the cancellation that closes the pool.
            async with asyncio.timeout(START_TIMEOUT_S):
                event = await _receive(process)
        except TimeoutError:
            raise _WorkerLostError("not ready in time") from None
        if isinstance(event, protocol.Unusable):
            raise ConfigurationError(event.reason)
        if not isinstance(event, protocol.Ready):
            raise _WorkerLostError(f"sent {type(event).__name__} before it was ready")

    async def _run_job(self, process: Process, job: _Job) -> None:
        """Run one job: it has its answer when this returns.

        Raises:
            _WorkerLostError: the worker is gone or had to be killed; the job may have no answer.
        """
        if job.answer.done():
            return
        if job.deadline is None:
            job.deadline = time.monotonic() + job.timeout_s
        # What goes wrong with it is logged under the id of who asked, by this task.
        current_reference.set(job.reference)
        self.busy_count += 1
        try:
            try:
                async with asyncio.timeout(max(0.0, job.deadline - time.monotonic())):
                    await _send(process, job.command)
            except TimeoutError:
                job.fail(GenreGenieError(ErrorCode.TIMEOUT))
                raise _WorkerStoppedError from None
            await self._follow(process, job)
            current_reference.set(None)
        finally:
            self.busy_count -= 1

    async def _follow(self, process: Process, job: _Job) -> None:
        """Pass a job's events on until its last one, its deadline or its cancellation."""
        while True:
            receiving = asyncio.ensure_future(_receive(process))
            try:
                # _work has set the deadline.
                left = max(0.0, (job.deadline or 0.0) - time.monotonic())
                await asyncio.wait((receiving, job.answer), timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not receiving.done():
                    code = ErrorCode.CANCELLED if job.answer.done() else ErrorCode.TIMEOUT
                    job.fail(GenreGenieError(code))
                    await self._stop(process, receiving, code)
                    return
                event = receiving.result()
            finally:
                receiving.cancel()
                await asyncio.wait((receiving,))  # until it has, the pipe has a reader
            if self._settle(job, event):
                return

    async def _stop(
        self,
        process: Process,
        receiving: "asyncio.Future[protocol.Event]",
        code: ErrorCode,
    ) -> None:
        """Have the worker give its job up; kill it if it does not."""
        await _send(process, protocol.Cancel(code))
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                event = await receiving
                while isinstance(event, protocol.Progress):
                    event = await _receive(process)
        except TimeoutError:
            raise _WorkerStoppedError from None

    def _settle(self, job: _Job, event: protocol.Event) -> bool:
        """Take one event; True when it was the job's last."""
        match event:
            case protocol.Progress(step, share):
                job.report(step, share)
                return False
            case protocol.Classified(result):
                if not job.answer.done():
                    job.answer.set_result(result)
            case protocol.Refused(error):
                job.fail(error)
            case protocol.ModelUnusable(reason):
                job.fail(ConfigurationError(reason))
            case protocol.Crashed(trace):
                log.error("a worker failed on a file:\n%s", trace)
                job.fail(GenreGenieError(ErrorCode.INTERNAL))
            case _:
                raise _WorkerLostError(f"sent {type(event).__name__} in the middle of a job")
        return True


def _retry_once(job: _Job | None) -> _Job | None:
    """Try a job whose worker died once more; after that, the job is what kills workers."""
    if job is None or job.answer.done():
        return None
    job.attempts += 1
    if job.attempts > 1:
        job.fail(GenreGenieError(ErrorCode.INTERNAL))
        return None
    return job


def _pause(failed_starts: int) -> float:
    """Seconds before the next worker: none after one that had been at work."""
    return 0.0 if failed_starts <= 1 else min(30.0, 2.0**failed_starts / 4)


async def _send(process: Process, command: protocol.Command) -> None:
    if process.stdin is None:  # pragma: no cover - it was started with a pipe
        raise _WorkerLostError("no pipe")
    try:
        process.stdin.write(protocol.encode(command))
        await process.stdin.drain()
    except (ConnectionError, OSError):
        raise _WorkerLostError("gone") from None


async def _receive(process: Process) -> protocol.Event:
    if process.stdout is None:  # pragma: no cover - it was started with a pipe
        raise _WorkerLostError("no pipe")
    try:
        message, lengths = protocol.decode_line(await process.stdout.readuntil(b"\n"))
        return protocol.read_event(message, [await process.stdout.readexactly(length) for length in lengths])
    except (asyncio.IncompleteReadError, ConnectionError):
        raise _WorkerLostError("gone") from None
    except (asyncio.LimitOverrunError, ValueError, TypeError, RecursionError) as error:
        raise _WorkerLostError(f"sent something that is no message: {type(error).__name__}") from None


async def _end(process: Process) -> None:
    """Kill a worker with its children and wait for it."""
    end_guarded(process)
    await wait_for_end(process)
