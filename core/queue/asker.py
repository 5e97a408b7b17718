"""Asking other machines: a request becomes a job in the queue, and its answer comes back by notification."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, ClassifyResult, ProgressCallback, Step, ignore_progress
from core.queue.database import AGAIN_S, DatabaseError, QueueDatabase, QueueState, until_done
from core.queue.messages import Notice, QueuedRequest, portable_source, read_answer
from core.service.admission import Ticket
from core.service.identify import Identifier, IdentifyResult, ModelDigests, Request, models_digest
from core.service.sources import LinkSource, PortableSource, SpectrogramSource
from core.settings import Settings
from core.verdict import Prediction

log = logging.getLogger(__name__)

CHECK_S: Final = 2.0
"""How often an asker says that it lives, and looks where its requests stand."""

PUT_WITHIN_S: Final = 120.0
"""How long a request waits for a database that is away, before it is `busy`."""

WAIT_S: Final = 900.0
"""How long an answer is waited for: Discord takes none later."""

DRAWN_WITHIN_S: Final = 60.0
"""How long a picture is waited for: the votes that it shows are known, and are shown without it then."""


@dataclass(slots=True, eq=False)
class _Asked:
    """A request that waits for its answer."""

    request: QueuedRequest
    link: bool
    on_progress: ProgressCallback
    ticket: Ticket | None
    answer: asyncio.Future[bytes]
    job_id: int | None = None
    put_again: bool = False

    def report(self, notice: Notice) -> None:
        """Pass progress on."""
        if notice.step is None or self.answer.done():
            return
        self.place(0)
        try:
            self.on_progress(notice.step, notice.share)
        except Exception:  # the caller is in trouble, not the other requests
            log.exception("a progress callback failed")
            self.on_progress = ignore_progress

    def place(self, place: int) -> None:
        """Show the place among those that wait, 0 for one that runs."""
        if self.ticket is not None:
            self.ticket.queue_place = place


class QueueIdentifier:
    """Answers requests over the queue; implements `core.service.identify.Identifier`.

    Args:
        queue: the database.
        settings: the model.
        local: answers what only this machine can open; None refuses that as `unsupported-link`.
        store_is_shared: whether the workers keep spectrograms, and look them up, in the store that this process uses
            too. Without that an answer brings the spectrogram along, and what comes of it is classified here.

    Attributes:
        name: what this asker is called in the queue; its answers are notified under that name.
        state: the queue, as it was a moment ago; None while the database does not answer.
        put_again: requests that were lost from the queue and put there again.
        late: answers that nobody waited for any more.
    """

    def __init__(
        self, queue: QueueDatabase, settings: Settings, *, local: Identifier | None = None, store_is_shared: bool
    ) -> None:
        self._queue = queue
        self._local = local
        self._store_is_shared = store_is_shared
        self._digests = ModelDigests(settings.model)
        self.name = f"genregenie_{secrets.token_hex(12)}"
        self._asked: dict[str, _Asked] = {}
        self._arrived: set[str] = set()
        self._taking: set[str] = set()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.state: QueueState | None = QueueState()
        self.put_again = 0
        self.late = 0

    async def open(self, stack: AsyncExitStack) -> None:
        """Begin to listen for answers, until the stack is closed."""
        await self._queue.register_asker(self.name)
        stack.push_async_callback(self._close)
        listening = asyncio.Event()

        def on_listening() -> None:
            listening.set()
            self._arrived |= self._asked.keys()  # who knows what was missed
            self._news.set()

        self._start(self._queue.listen(self.name, self._on_payload, on_listening))
        self._start(self._take_answers())
        self._start(self._keep_up())
        await listening.wait()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*DatabaseError):
            await self._queue.remove_asker(self.name)

    async def identify(
        self, request: Request, *, on_progress: ProgressCallback = ignore_progress, ticket: Ticket | None = None
    ) -> IdentifyResult:
        """Answer a request; cancelling the caller takes it out of the queue, or has its worker end it.

        Raises:
            GenreGenieError: there is no verdict; `busy`: too many wait, or the database stays away; `timeout`: no
                worker has answered.
            ConfigurationError: the model asked for cannot be used.
        """
        source = await request.source.portable()
        digest = await self._digests.of(request.options.model)
        here = source is None or (isinstance(source, SpectrogramSource) and not self._store_is_shared)
        # What another model is asked, the workers of this queue need not have.
        if source is None or here or digest != self._queue.model_sha256:
            if self._local is None:
                raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
            return await self._local.identify(request, on_progress=on_progress, ticket=ticket)
        queued = self._queued(source, request.options, digest, ticket)
        on_progress(Step.QUEUED, None)
        answer = await self._answer(queued, isinstance(source, LinkSource), on_progress, ticket)
        on_progress(Step.DONE, 1.0)
        return answer

    async def illustrate(
        self, prediction: Prediction, song: SpectrogramSource, locale: str, *, ticket: Ticket | None = None
    ) -> ClassifyResult:
        """Have a prediction that was made before drawn and explained; cancelling the caller ends that.

        Raises:
            GenreGenieError: `busy`, `timeout`, `internal`; `not-found`: the song is not kept any more;
                `unsupported-link`: no worker could look it up.
        """
        if not self._store_is_shared:
            if self._local is None:
                raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
            return await self._local.illustrate(prediction, song, locale, ticket=ticket)
        queued = replace(
            self._queued(song, ClassifyOptions(locale=locale), self._queue.model_sha256, ticket), prediction=prediction
        )
        answer = await self._answer(queued, False, ignore_progress, ticket, DRAWN_WITHIN_S)
        return ClassifyResult(answer.prediction, answer.verdict.elapsed, answer.picture)

    def _queued(
        self, source: PortableSource, options: ClassifyOptions, model_sha256: str, ticket: Ticket | None
    ) -> QueuedRequest:
        return QueuedRequest(
            secrets.token_hex(16),
            self.name,
            "" if ticket is None else str(ticket.group),
            model_sha256,
            portable_source(source),
            options,
            self._store_is_shared,
        )

    async def _answer(
        self,
        queued: QueuedRequest,
        link: bool,
        on_progress: ProgressCallback,
        ticket: Ticket | None,
        within_s: float = WAIT_S,
    ) -> IdentifyResult:
        """Put a request into the queue and wait for its answer; raises the error that it may be."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        # Before it is put: its answer may be there before we know that it is.
        asked = self._asked[queued.key] = _Asked(queued, link, on_progress, ticket, future)
        put_within_s = min(PUT_WITHIN_S, within_s)
        putting = asyncio.ensure_future(until_done(lambda: self._queue.put(queued, link=link), put_within_s))
        try:
            asked.job_id = await asyncio.shield(putting)
            async with asyncio.timeout(within_s):
                body = await asked.answer
        except DatabaseError:
            raise GenreGenieError(ErrorCode.BUSY, retry_after=int(put_within_s)) from None
        except TimeoutError:
            raise GenreGenieError(ErrorCode.TIMEOUT) from None
        finally:
            del self._asked[queued.key]
            asked.place(0)
            if asked.job_id is None:
                self._start(self._cancel_when_put(putting))
            elif asked.answer.cancelled() or not asked.answer.done():
                self._start(self._cancel(asked.job_id))
        # Beside the loop: all of a long song is megabytes.
        answer = await asyncio.to_thread(read_answer, body)
        if isinstance(answer, GenreGenieError):
            raise answer
        return answer

    async def _cancel_when_put(self, putting: "asyncio.Future[int]") -> None:
        with contextlib.suppress(GenreGenieError, *DatabaseError):
            await self._cancel(await putting)

    async def _cancel(self, job_id: int) -> None:
        with contextlib.suppress(*DatabaseError):
            await until_done(lambda: self._queue.cancel(job_id), PUT_WITHIN_S)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A task of the queue failed", exc_info=error)

    def _on_payload(self, payload: str) -> None:
        try:
            notice = Notice.from_payload(payload)
        except ValueError:
            log.warning("A notification that cannot be read was passed over")
            return
        if notice.step is None:
            self._arrived.add(notice.key)
            self._news.set()
        elif notice.key in self._asked:
            self._asked[notice.key].report(notice)

    async def _take_answers(self) -> None:
        """Take the answers that were notified, all that have come meanwhile at once."""
        while True:
            await self._news.wait()
            self._news.clear()
            # What is being taken is neither in the queue nor answered yet, and not lost.
            self._taking, self._arrived = self._arrived, set()
            try:
                answers = await self._queue.take_answers(sorted(self._taking))
            except DatabaseError:
                self._arrived |= self._taking
                self._news.set()
                await asyncio.sleep(AGAIN_S)
                continue
            for key, body in answers.items():
                asked = self._asked.get(key)
                if asked is None or asked.answer.done():
                    self.late += 1
                else:
                    asked.answer.set_result(body)
            self._taking = set()

    async def _keep_up(self) -> None:
        """Say that this asker lives, and look after its requests, for ever."""
        while True:
            try:
                await self._queue.register_asker(self.name)
                self.state = await self._queue.state()
                await self._look_after()
            except DatabaseError:
                self.state = None
            except Exception:  # without this task all requests would wait until they are taken for abandoned
                log.exception("Looking after the requests failed")
                self.state = None
            await asyncio.sleep(CHECK_S)

    async def _look_after(self) -> None:
        """Show places, take answers whose notification was lost, and put what is lost into the queue again, once."""
        # Not those that are being put: they may be there by the time that it is known that they were not.
        asked = {key: one for key, one in self._asked.items() if one.job_id is not None}
        standing = await self._queue.standing(list(asked)) if asked else {}
        for key, one in asked.items():
            found = standing[key]
            if key not in self._asked or one.answer.done():
                continue
            one.place(found.place)
            if found.answered:
                self._arrived.add(key)
                self._news.set()
            elif not found.queued and key not in self._arrived | self._taking:
                await self._put_again(one)

    async def _put_again(self, one: _Asked) -> None:
        if one.put_again:
            one.answer.set_result(_INTERNAL)
            return
        try:
            job_id = await self._queue.put(one.request, link=one.link)
        except GenreGenieError:
            if not one.answer.done():
                one.answer.set_result(_INTERNAL)
            return
        one.job_id = job_id
        one.put_again = True
        self.put_again += 1
        log.warning("A request was lost from the queue, and is put there again")
        if one.request.key not in self._asked:  # given up meanwhile: what was cancelled is the job before
            self._start(self._cancel(job_id))


_INTERNAL: Final = b'{"type": "error", "payloads": [], "code": "internal", "params": {}}'


async def open_queue(
    stack: AsyncExitStack, settings: Settings, *, local: Identifier | None = None, store_is_shared: bool
) -> QueueIdentifier:
    """Connect to the queue of the settings until the stack is closed.

    Raises:
        ConfigurationError: the database, or the model, cannot be used.
    """
    identifier = QueueIdentifier(
        await open_database(stack, settings), settings, local=local, store_is_shared=store_is_shared
    )
    await identifier.open(stack)
    return identifier


async def open_database(stack: AsyncExitStack, settings: Settings) -> QueueDatabase:
    """Connect to the queue's database until the stack is closed; raises as `open_queue` does."""
    if settings.queue_url is None:
        raise RuntimeError("there is no queue in the settings")
    digest = await asyncio.to_thread(models_digest, settings.model)
    queue = QueueDatabase(settings.queue_url.get_secret_value(), digest, max_jobs=settings.queue_max_jobs)
    await queue.open(stack)
    return queue
