"""A visitor's request, from submission to the last model's verdict, as a stream of states for the page to show."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from logging import getLogger
from typing import Final

from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from core.inference.chart import spectrogram
from core.inference.pipeline import ClassifyOptions, Step
from core.service.admission import Admission, Ticket
from core.service.identify import Identifier, IdentifyResult, Request
from core.service.sources import LinkSource, PathSource, Source, SpectrogramSource
from core.verdict import Section, Verdict
from web.uploads import Uploads

log = getLogger(__name__)
request_log = getLogger("genregenie.request")

REFRESH_S: Final = 0.25
"""Shortest time between two states of one request."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A visitor's request for one song.

    Attributes:
        session: the tab that sent it; a tab has one request at a time.
        visitor: whose share of the queue it takes.
        upload: key of an upload, or None.
        link: a link instead, or None.
        default_name: what to call an upload without a name.
    """

    session: str
    visitor: str
    upload: str | None
    link: str | None
    default_name: str


@dataclass(frozen=True, slots=True)
class ViewState:
    """What the page shows at one moment.

    Attributes:
        step: the step that is running.
        share: how much of the step is done, 0 to 1; None if unknown.
        place: place in the queue, from 1; 0 once it is running.
        verdicts: those of the models so far, the chosen one first.
        picture: PNG of the section's spectrogram, one pixel per frame and band.
        comparing: how many models are still to come.
        error: why there is no verdict.
    """

    step: Step = Step.QUEUED
    share: float | None = None
    place: int = 0
    verdicts: tuple[Verdict, ...] = ()
    picture: bytes | None = None
    comparing: int = 0
    error: GenreGenieError | None = None


@dataclass(slots=True)
class _Job:
    ticket: Ticket | None = None
    state: ViewState = field(default_factory=ViewState)

    def on_progress(self, step: Step, share: float | None) -> None:
        if step is not Step.DONE:  # the request goes on after the first model is done
            self.state = replace(self.state, step=step, share=share)

    def current(self) -> ViewState:
        return replace(self.state, place=self.ticket.place if self.ticket else 0)


class PageJobs:
    """Runs the requests of all visitors.

    Args:
        identifier: classifies songs.
        admission: the queue.
        uploads: the files that visitors have sent.
        models: names of the models to compare; the first gives the verdict.
    """

    def __init__(
        self, identifier: Identifier, *, admission: Admission, uploads: Uploads, models: Sequence[str | None]
    ) -> None:
        self._identifier = identifier
        self._admission = admission
        self._uploads = uploads
        self._models = models
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def active(self) -> int:
        """Number of requests that are queued or running."""
        return len(self._tasks)

    async def states(self, request: PageRequest) -> AsyncIterator[ViewState]:
        """Run a request and yield its states. Closing the iterator, or `cancel`, stops the work and its ffmpeg."""
        self.cancel(request.session)
        job = _Job()
        task = asyncio.create_task(self._run(request, job))
        self._tasks[request.session] = task
        shown = None
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=REFRESH_S if shown else 0)
                state = job.current()
                if state != shown and not task.done():
                    shown = state
                    yield state
        finally:
            if self._tasks.get(request.session) is task:
                del self._tasks[request.session]
            task.cancel()
        if task.cancelled():
            yield ViewState(error=GenreGenieError(ErrorCode.CANCELLED))
        else:
            yield replace(job.state, step=Step.DONE, share=1.0)

    def cancel(self, session: str) -> None:
        """Cancel a tab's request, if it has one."""
        task = self._tasks.pop(session, None)
        if task is not None:
            task.cancel()

    async def _run(self, request: PageRequest, job: _Job) -> None:
        began = time.monotonic()
        outcome = "cancelled"
        try:
            await self._classify(request, job)
            outcome = "verdict"
        except GenreGenieError as error:
            job.state = replace(job.state, error=error)
            outcome = error.code.value
        except ConfigurationError as error:
            log.error("%s", error)
            job.state = replace(job.state, error=GenreGenieError(ErrorCode.INTERNAL))
            outcome = ErrorCode.INTERNAL.value
        except Exception:
            log.exception("a request failed")
            job.state = replace(job.state, error=GenreGenieError(ErrorCode.INTERNAL))
            outcome = ErrorCode.INTERNAL.value
        finally:
            fields = {
                "kind": "page-link" if request.link is not None else "page-file",
                "seconds": round(time.monotonic() - began, 3),
                "outcome": outcome,
            }
            request_log.info("request", extra={"fields": fields})

    async def _classify(self, request: PageRequest, job: _Job) -> None:
        """Classify a song with the first model, then compare the others on the same spectrogram.

        Raises:
            GenreGenieError: there is no verdict.
        """
        with contextlib.ExitStack() as stack:
            source: Source
            if request.link is not None:
                source = LinkSource(request.link)
            else:
                upload = stack.enter_context(self._uploads.claim(request.upload or "", request.visitor))
                source = PathSource(upload.path, upload.name or request.default_name)
            (job.ticket,) = self._admission.admit(request.visitor, request.visitor)
            async with job.ticket:
                options = ClassifyOptions(model=self._models[0], keep_spectrogram=True)
                result = await self._identifier.identify(Request(source, options), on_progress=job.on_progress)
                stack.close()  # deletes the upload: from here on the spectrogram is enough
                if result.spectrogram is None:
                    raise RuntimeError("keep_spectrogram was set, but there is no spectrogram")
                picture = await asyncio.to_thread(_picture, result.spectrogram, result.prediction.section)
                others = self._models[1:]
                job.state = replace(job.state, verdicts=(result.verdict,), picture=picture, comparing=len(others))
                kept = SpectrogramSource(result.spectrogram, result.verdict.song.source, result.sha256)
                for model in others:
                    await self._compare(kept, result, model, job)

    async def _compare(self, kept: Source, first: IdentifyResult, model: str | None, job: _Job) -> None:
        """Add another model's verdict on the same section; a model that fails is left out."""
        verdicts = job.state.verdicts
        options = ClassifyOptions(model=model, start=first.prediction.section.start)
        try:
            other = await self._identifier.identify(Request(kept, options))
            verdicts = (*verdicts, other.verdict)
        except (GenreGenieError, ConfigurationError) as error:
            reason = error_sentence(error) if isinstance(error, GenreGenieError) else error
            log.warning("%s could not be compared: %s", model, reason)
        job.state = replace(job.state, verdicts=verdicts, comparing=job.state.comparing - 1)


def _picture(mel: QuantizedMel, section: Section) -> bytes:
    return spectrogram(mel.dequantize(), section)
