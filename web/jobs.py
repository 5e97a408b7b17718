"""A visitor's request, from submission to the last model's verdict, as a stream of states for the page to show."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Final

from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from core.inference.pipeline import ClassifyOptions, Step
from core.memory import return_memory
from core.service.admission import Admission, Ticket
from core.service.identify import Identifier, IdentifyResult, Request
from core.service.sources import LinkSource, PathSource, Source, SpectrogramSource
from core.verdict import Section, Verdict
from web.kept import KeptLink, KeptSong, KeptSongs
from web.uploads import Uploads

log = getLogger(__name__)
request_log = getLogger("genregenie.request")

REFRESH_S: Final = 0.25
"""Shortest time between two states of one request."""

REPEAT_S: Final = 12.0
"""After how long a state that has not changed is told again: who hears nothing for longer has lost the connection."""

ABANDONED_S: Final = 15.0
"""How long a request goes on that no tab asks about: long enough to reload the page, or for a connection to return."""

KEPT_S: Final = 3_600.0
"""How long an answer can be looked at again."""

IDLE_S: Final = 30.0
"""After how long without a request the page gives back the memory that it needed for the last ones."""

MAX_KEPT: Final = 256
"""Answers that are kept in all, about 100 kB each; the oldest go first."""

MAX_KEPT_PER_VISITOR: Final = 32
MAX_LINK: Final = 2_000
"""Characters of a link."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A visitor's request for one song.

    Attributes:
        visitor: whose share of the queue it takes.
        upload: key of an upload, or None.
        link: a link instead, or None.
        default_name: what to call an upload without a name.
        turn: number of the request in its tab.
        compare: whether to ask the other models too, and to keep the answer and the song for what its visitor asks
            next.
        of: the answer about the same song that another part is asked for of, instead of a song.
        whole: vote over the whole song.
        from_s: take the thirty seconds from this second on.
    """

    visitor: str
    upload: str | None
    link: str | None
    default_name: str
    turn: int = 0
    compare: bool = True
    of: "Job | None" = None
    whole: bool = False
    from_s: float | None = None

    @property
    def options(self) -> ClassifyOptions:
        """The part of the song that is asked for."""
        return ClassifyOptions(whole=self.whole, start=self.from_s)


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


class Job:
    """One request, until its answer is forgotten.

    Attributes:
        key: secret that names it.
        request: what was asked.
        is_part: whether it is about another part of a song that is kept.
        song: what is kept of the song.
        name: what the song is called, once that is known.
        link: where the song came from; None for an upload.
        state: what there is to show, without its place in the queue.
        task: the work.
        answered: done once the state is the last one.
        share: address under which others can see the answer, and the secret that takes it back.
        sharing: held while that begins.
        corrections: how often the visitor has said what the song really is.
    """

    def __init__(self, request: PageRequest) -> None:
        self.key = secrets.token_urlsafe(16)
        earlier = request.of
        self.is_part = earlier is not None
        self.request = replace(request, of=None)  # which may be forgotten before this one
        self.song: KeptSong = earlier.song if earlier is not None else KeptSong(request.visitor)
        self.name: str = earlier.name if earlier is not None else request.link or ""
        self.link: str | None = earlier.link if earlier is not None else request.link
        self.share: tuple[str, str] | None = None
        self.sharing = asyncio.Lock()
        self.corrections = 0
        self.state = ViewState()
        self.ticket: Ticket | None = None
        self.task: asyncio.Task[None]
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.watchers = 0
        self.timer: asyncio.TimerHandle | None = None

    def on_progress(self, step: Step, share: float | None) -> None:
        """Take progress; the request goes on after the first model is done."""
        if step is not Step.DONE:
            self.state = replace(self.state, step=step, share=share)

    def current(self) -> ViewState:
        """Return what there is to show now."""
        return replace(self.state, place=self.ticket.place if self.ticket else 0)


class PageJobs:
    """Runs the requests of all visitors, and keeps their answers for a while.

    Args:
        identifier: classifies songs.
        admission: the queue.
        uploads: the files that visitors have sent.
        models: names of the models to compare; the first gives the verdict.
        songs: what is kept of songs.
        observe: counts a song, as `core.service.shared.SharedService.observe` does.
    """

    def __init__(
        self,
        identifier: Identifier,
        *,
        admission: Admission,
        uploads: Uploads,
        models: Sequence[str | None],
        songs: KeptSongs,
        observe: Callable[[str, str, float, IdentifyResult | None], None] | None = None,
    ) -> None:
        self._identifier = identifier
        self._admission = admission
        self._uploads = uploads
        self._models = models
        self._songs = songs
        self._observe = observe
        self._jobs: dict[str, Job] = {}
        self._watched: Counter[str] = Counter()
        self._closing = False
        self._idle: asyncio.TimerHandle | None = None

    @property
    def active(self) -> int:
        """Number of requests that are queued or running."""
        return sum(not job.answered.done() for job in self._jobs.values())

    @property
    def kept(self) -> int:
        """Number of requests that are known, answered ones too."""
        return len(self._jobs)

    def start(self, request: PageRequest) -> Job:
        """Begin a request. It ends when it is answered, cancelled, or nobody has asked about it for a while."""
        job = Job(request)
        if job.is_part:
            job.song.answers += 1
        self._jobs[job.key] = job
        self._stop_idling()
        job.task = asyncio.create_task(self._run(job))
        job.task.add_done_callback(lambda _: self._done(job))
        self._expect_watcher(job)
        return job

    def find(self, key: str) -> Job | None:
        """Find a request, which then counts as asked about; None if it is not known, or no longer."""
        job = self._jobs.get(key)
        if job is not None and not job.answered.done():
            self._expect_watcher(job)
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a request and its ffmpeg."""
        job.task.cancel()

    def not_shared(self, token: str) -> None:
        """Take note that an answer is shared no longer."""
        for job in self._jobs.values():
            if job.share is not None and job.share[0] == token:
                job.share = None

    def watching(self, visitor: str) -> int:
        """Count the streams that a visitor has open."""
        return self._watched[visitor]

    async def watch(self, job: Job) -> AsyncGenerator[ViewState, None]:
        """Yield the states of a request, the present one first and each one again from time to time, until it is done.

        When the page is closed, the last state is not among them: the tab is to send the song again, to who comes next.
        """
        with self._watcher(job):
            shown, told = None, 0.0
            while True:
                done = job.answered.done()
                state = job.current()
                if self._closing:
                    return
                if state != shown or time.monotonic() - told >= REPEAT_S:
                    shown, told = state, time.monotonic()
                    yield state
                if done:
                    return
                await asyncio.wait({job.answered}, timeout=REFRESH_S)

    async def close(self) -> None:
        """Cancel all requests, and forget all answers."""
        self._closing = True
        self._stop_idling()
        working = [job for job in self._jobs.values() if not job.answered.done()]
        for job in working:
            job.task.cancel()
        if working:
            await asyncio.wait({job.answered for job in working})
        for job in list(self._jobs.values()):
            self._forget(job)

    @contextlib.contextmanager
    def _watcher(self, job: Job) -> Iterator[None]:
        job.watchers += 1
        self._watched[job.request.visitor] += 1
        try:
            yield
        finally:
            job.watchers -= 1
            self._watched[job.request.visitor] -= 1
            if not self._watched[job.request.visitor]:
                del self._watched[job.request.visitor]
            if not job.answered.done():
                self._expect_watcher(job)

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def _expect_watcher(self, job: Job) -> None:
        self._set_timer(job, ABANDONED_S, self._abandon)

    def _abandon(self, job: Job) -> None:
        """Cancel a request that nobody asks about, and forget it: who comes back after all sends the song again."""
        if not job.watchers:
            self._forget(job)
            job.task.cancel()

    def _done(self, job: Job) -> None:
        """Keep the answer for a while, within the bounds."""
        if job.task.cancelled():
            error = None if job.state.verdicts else GenreGenieError(ErrorCode.CANCELLED)
            job.state = replace(job.state, error=error)
        job.ticket = None
        job.state = replace(job.state, step=Step.DONE, share=1.0, comparing=0)
        job.answered.set_result(None)
        if not self.active and not self._closing:
            self._stop_idling()
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, return_memory)
        if self._jobs.get(job.key) is not job:
            return
        if not job.request.compare:  # a program's, which has it in hand and is told no key
            self._forget(job)
            return
        self._set_timer(job, KEPT_S, self._forget)
        # What has no verdict goes first, but for this one, which its tab has yet to read.
        answered = [one for one in self._jobs.values() if one.answered.done() and one is not job]
        answered.sort(key=lambda one: bool(one.state.verdicts))
        own = [one for one in answered if one.request.visitor == job.request.visitor]
        for kept, most in ((own, MAX_KEPT_PER_VISITOR), (answered, MAX_KEPT)):
            for one in kept[: max(0, len(kept) + 1 - most)]:
                self._forget(one)

    def _forget(self, job: Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        if self._jobs.pop(job.key, None) is not None:
            self._songs.release(job.song)

    def _set_timer(self, job: Job, seconds: float, act: Callable[[Job], None]) -> None:
        if job.timer is not None:
            job.timer.cancel()
        job.timer = asyncio.get_running_loop().call_later(seconds, act, job)

    async def _run(self, job: Job) -> None:
        began = time.monotonic()
        outcome = "cancelled"
        result = None
        try:
            result = await self._classify(job)
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
                "kind": "page-link" if job.request.link is not None else "page-file",
                "seconds": round(time.monotonic() - began, 3),
                "outcome": outcome,
            }
            request_log.info("request", extra={"fields": fields})
            if self._observe is not None:
                self._observe(str(fields["kind"]), outcome, time.monotonic() - began, result)

    async def _classify(self, job: Job) -> IdentifyResult:
        """Classify a song with the first model, then compare the others on the same spectrogram; gives the first's.

        Raises:
            GenreGenieError: there is no verdict.
        """
        request, song = job.request, job.song
        options = replace(request.options, model=self._models[0], keep_spectrogram=not job.is_part)
        with contextlib.ExitStack() as stack:
            source = self._source(job)  # first: what is not there costs its visitor no turn
            is_link = request.link is not None and not job.is_part
            (job.ticket,) = self._admission.admit(request.visitor, request.visitor, links=is_link)
            if isinstance(source, PathSource):  # only now: what there is no room for yet need not be sent again
                stack.enter_context(self._uploads.claim(request.upload or "", request.visitor))
            async with job.ticket as ticket:
                result = await self._identifier.identify(
                    Request(source, options), on_progress=job.on_progress, ticket=ticket
                )
                stack.close()  # deletes the upload: from here on the spectrogram is enough
                spectrogram = source.spectrogram if isinstance(source, SpectrogramSource) else result.spectrogram
                if spectrogram is None:
                    raise RuntimeError("keep_spectrogram was set, but there is no spectrogram")
                verdict = replace(result.verdict, song=song.info) if job.is_part else result.verdict
                if not job.is_part and request.compare:
                    song.info, song.sha256 = verdict.song, result.sha256
                    self._songs.keep(song, spectrogram)
                picture = None
                if request.compare:
                    picture = await asyncio.to_thread(_picture, spectrogram, verdict.prediction.section)
                others = self._models[1:] if request.compare else []
                job.state = replace(job.state, verdicts=(verdict,), picture=picture, comparing=len(others))
                kept = SpectrogramSource(spectrogram, verdict.song.source, result.sha256)
                for model in others:
                    await self._compare(kept, verdict, model, job)
        return result

    def _source(self, job: Job) -> Source:
        """Find the song of a request.

        Raises:
            GenreGenieError: `not-found`: there is no upload of that key, or nothing is kept of that song any more.
        """
        request, song = job.request, job.song
        if job.is_part:
            if song.spectrogram is None:
                raise GenreGenieError(ErrorCode.NOT_FOUND)
            return SpectrogramSource(song.spectrogram, song.info.source, song.sha256)
        if request.link is not None:
            if not request.compare:
                return LinkSource(request.link)
            return KeptLink(request.link, lambda path: self._songs.keep_sound(song, path))
        upload = self._uploads.find(request.upload or "", request.visitor)
        job.name = upload.name or request.default_name
        return PathSource(upload.path, job.name)

    async def _compare(self, kept: Source, first: Verdict, model: str | None, job: Job) -> None:
        """Add another model's verdict on the same part; a model that fails is left out."""
        verdicts = job.state.verdicts
        whole = job.request.whole
        options = ClassifyOptions(model=model, whole=whole, start=None if whole else first.prediction.section.start)
        try:
            other = await self._identifier.identify(Request(kept, options))
            verdicts = (*verdicts, replace(other.verdict, song=first.song))
        except (GenreGenieError, ConfigurationError) as error:
            reason = error_sentence(error) if isinstance(error, GenreGenieError) else error
            log.warning("%s could not be compared: %s", model, reason)
        job.state = replace(job.state, verdicts=verdicts, comparing=job.state.comparing - 1)


def _picture(mel: QuantizedMel, section: Section) -> bytes:
    from core.inference.chart import spectrogram  # with Pillow, which nothing else of the page needs

    return spectrogram(mel.dequantize(), section)
