"""The jobs where all requests end up: admission, progress, hearing, the answer, and a line about it in the log."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import discord

from bot.jobs.request import JobRequest, ReplyCapabilities, Song
from bot.monitoring import Metrics
from bot.settings import BotSettings
from bot.storage.store import RequestRow, Store, StoreError
from bot.ui.delivery import Delivery
from bot.ui.embeds import Reply, SongResult, answers_reply, sentence
from bot.ui.permissions import capabilities
from bot.ui.views import cancel_view, pick_view, result_view
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.inference.pipeline import ClassifyOptions, Step
from core.service.admission import Admission, Ticket
from core.service.identify import Identifier, IdentifyResult, Request
from core.service.sources import SpectrogramSource

log = logging.getLogger(__name__)
request_log = logging.getLogger("genregenie.request")

FIRST_PROGRESS_S: Final = 1.0
"""An answer that is there sooner is not preceded by progress."""

PROGRESS_S: Final = 3.0
PROGRESS_EDITS_PER_S: Final = 10.0
"""Edits of all progress messages together; Discord's own limit is 50 requests a second for everything."""

TELL_S: Final = 3.0
"""How long, at the end, those are told whose work is not finished."""


@dataclass(slots=True)
class Job:
    """A request on its way: what Cancel finds, and where progress is read."""

    ask: JobRequest
    tickets: tuple[Ticket, ...]
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    steps: list[tuple[Step, float | None]] = field(default_factory=list)
    task: "asyncio.Task[list[SongResult]] | None" = None
    reason: str | None = None

    @property
    def waiting(self) -> bool:
        """Whether no song of it has had its turn."""
        return all(step is Step.QUEUED for step, _ in self.steps)

    def cancel(self, reason: str) -> None:
        """End it; `reason` is the key of the sentence that its asker reads."""
        self.reason = self.reason or reason
        if self.task is not None:
            self.task.cancel()

    def progress_text(self) -> str:
        """Say how far it is."""
        locale = self.ask.locale
        if self.waiting:
            return translate("bot.progress.queued", locale, place=max(1, self.tickets[0].place))
        if len(self.steps) > 1:
            done = sum(step is Step.DONE for step, _ in self.steps)
            return translate("bot.progress.several", locale, done=done, n=len(self.steps))
        step, share = self.steps[0]
        text = translate(f"bot.progress.{step.value}", locale)
        return text if share is None or step is Step.DONE else f"{text} {percent(share, locale)}"


class JobService:
    """Takes every request from asking to answer.

    Args:
        settings: limits.
        store: where requests are written down, and servers' own limits are.
        identifier: who hears.
        admission: who may ask now.
        metrics: counters.
    """

    def __init__(
        self,
        settings: BotSettings,
        *,
        store: Store,
        identifier: Identifier,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self.store = store
        self._admission = admission
        self._settings = settings
        self._identifier = identifier
        self._metrics = metrics
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._noticed: set[tuple[int, str]] = set()
        self._closing = False

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that the end waits for."""
        task = asyncio.create_task(_guarded(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def find(self, key: str) -> Job | None:
        """Find a request that is on its way."""
        return self._jobs.get(key)

    def once(self, channel_id: int | None, capabilities: ReplyCapabilities) -> ReplyCapabilities:
        """Leave the notice about a channel's permissions in the first time only."""
        if capabilities.notice is None:
            return capabilities
        said = (channel_id or 0, capabilities.notice)
        if said in self._noticed:
            return replace(capabilities, notice=None)
        self._noticed.add(said)
        return capabilities

    def capabilities(self, interaction: discord.Interaction[Any], locale: str) -> ReplyCapabilities:
        """Say what an answer to an interaction may consist of."""
        if interaction.guild_id is None:
            return ReplyCapabilities()
        return self.once(interaction.channel_id, capabilities(interaction.app_permissions, locale))

    def public_locale(self, guild_id: int | None, preferred: str | None) -> str:
        """Language of what all of a server see: what its admin chose, else the server's own."""
        return self.store.guild(guild_id).language or preferred or "en"

    async def answer(self, ask: JobRequest, delivery: Delivery) -> None:
        """Take a request all the way; whatever fails, its asker is told."""
        try:
            await self._answer(ask, delivery)
        except Exception:
            log.exception("A request failed")
            await delivery.final(sentence(translate("error.internal", ask.locale)))

    async def _answer(self, ask: JobRequest, delivery: Delivery) -> None:
        began = time.monotonic()
        if self._closing:
            await delivery.final(sentence(translate("bot.restarting", ask.locale)))
            return
        answers: Sequence[SongResult]
        try:
            tickets = self._admit(ask)
        except GenreGenieError as error:
            answers = [
                SongResult(item.name, error, await self._record(ask, item, error, 0.0)) for item in ask.items[:1]
            ]
            reply = answers_reply(answers, ask.locale)
        else:
            work = Job(ask, tickets, steps=[(Step.QUEUED, None)] * len(tickets))
            heard = await self._work(work, delivery)
            answers = heard or []
            reply = (
                self._reply(ask, heard)
                if heard is not None
                else sentence(translate(work.reason or "error.internal", ask.locale))
            )
        delivered = await delivery.final(_fitted(reply, ask))
        _log_request(ask, answers, time.monotonic() - began, delivered)

    async def settle(self, seconds: float) -> None:
        """Wait until what is on its way has been answered, for so long at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self, grace_s: float) -> None:
        """Take nothing new, tell those who wait, let running work finish for `grace_s` and tell the rest."""
        self._closing = True
        for work in self._jobs.values():
            if work.waiting:
                work.cancel("bot.restarting")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for work in self._jobs.values():
            work.cancel("bot.restarting")
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=TELL_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _admit(self, ask: JobRequest) -> tuple[Ticket, ...]:
        own = self.store.guild(ask.guild_id)
        limits = self._settings.limits.tightened(own.places, own.cooldown_s)
        return self._admission.admit(ask.user_id, ask.group, jobs=len(ask.items), limits=limits)

    async def _work(self, work: Job, delivery: Delivery) -> list[SongResult] | None:
        """Hear all songs and show progress meanwhile; None when it was cancelled."""
        work.task = asyncio.create_task(self._hear_all(work))
        self._jobs[work.key] = work
        stop = asyncio.Event()
        progress = asyncio.create_task(self._show_progress(work, delivery, stop))
        try:
            await asyncio.wait({work.task})
        finally:
            del self._jobs[work.key]
            work.task.cancel()
            for ticket in work.tickets:
                ticket.leave()
            stop.set()
            # An edit under way is waited for: one that comes after the answer would cover it.
            await asyncio.gather(progress, return_exceptions=True)
        if work.task.cancelled():
            for item in work.ask.items:
                cancelled = GenreGenieError(ErrorCode.CANCELLED)
                await self._record(work.ask, item, cancelled, 0.0)
            return None
        return work.task.result()

    async def _show_progress(self, work: Job, delivery: Delivery, stop: asyncio.Event) -> None:
        shown = ""
        wait = FIRST_PROGRESS_S
        while not stop.is_set():
            load = len(self._jobs) / PROGRESS_EDITS_PER_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(wait, load))
                return
            wait = PROGRESS_S
            text = work.progress_text()
            if text != shown:
                await delivery.progress(text, cancel_view(work.key, work.ask.locale))
                shown = text

    async def _hear_all(self, work: Job) -> list[SongResult]:
        items = work.ask.items
        heard = await asyncio.gather(*(self._hear(work, i) for i in range(len(work.tickets))))
        # A request of more songs than there was room for.
        for item in items[len(work.tickets) :]:
            busy = GenreGenieError(ErrorCode.BUSY)
            heard.append(SongResult(item.name, busy, await self._record(work.ask, item, busy, 0.0)))
        return heard

    async def _hear(self, work: Job, index: int) -> SongResult:
        ask, item = work.ask, work.ask.items[index]

        def progress(step: Step, share: float | None) -> None:
            work.steps[index] = (step, share)

        began = time.monotonic()
        outcome: IdentifyResult | GenreGenieError
        try:
            async with work.tickets[index]:
                progress(Step.FETCHING, None)
                heard = await self._identifier.identify(self._request(ask, item), on_progress=progress)
            # The store has the spectrogram; it need not stay in memory until Discord has taken the answer.
            outcome = replace(heard, spectrogram=None)
            self._check_length(ask, heard)
        except GenreGenieError as error:
            outcome = error
        except ConfigurationError as error:
            log.error("%s", error)
            outcome = GenreGenieError(ErrorCode.INTERNAL)
        except Exception:
            log.exception("A request failed")
            outcome = GenreGenieError(ErrorCode.INTERNAL)
        progress(Step.DONE, 1.0)
        return SongResult(item.name, outcome, await self._record(ask, item, outcome, time.monotonic() - began))

    def _request(self, ask: JobRequest, item: Song) -> Request:
        again = isinstance(item.source, SpectrogramSource)
        return Request(
            item.source,
            ClassifyOptions(
                whole=ask.whole,
                start=ask.start,
                picture=True,
                keep_spectrogram=not again and self._settings.store_bytes > 0,
                locale=ask.locale,
                max_duration_s=self.store.guild(ask.guild_id).max_duration_s,
            ),
        )

    def _check_length(self, ask: JobRequest, heard: IdentifyResult) -> None:
        """Hold an answer that was known already against the server's own limit.

        Raises:
            GenreGenieError: `too-long`.
        """
        longest = self.store.guild(ask.guild_id).max_duration_s
        if longest is not None and heard.prediction.duration > longest:
            raise GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=f"{longest / 60:g}")

    def _reply(self, ask: JobRequest, answers: Sequence[SongResult]) -> Reply:
        view = None
        if len(answers) == 1:
            only = answers[0]
            if isinstance(only.outcome, IdentifyResult) and only.request_id is not None:
                view = result_view(only.request_id, only.outcome.prediction, ask.locale, whole=ask.whole)
        else:
            view = pick_view(answers, ask.locale)
        return answers_reply(answers, ask.locale, view)

    async def _record(
        self, ask: JobRequest, item: Song, outcome: IdentifyResult | GenreGenieError, seconds: float
    ) -> int | None:
        """Count a song and write it down; None when the database failed, which costs the buttons only."""
        row = _row(ask, item, outcome, seconds)
        self._metrics.heard(ask.kind, row.outcome, seconds, outcome if isinstance(outcome, IdentifyResult) else None)
        try:
            return await self.store.add_request(row)
        except StoreError:
            return None


def _row(ask: JobRequest, item: Song, outcome: IdentifyResult | GenreGenieError, seconds: float) -> RequestRow:
    row = RequestRow(
        ask.guild_id,
        ask.user_id,
        ask.kind,
        ask.private,
        time.time() - seconds,
        seconds,
        "verdict" if isinstance(outcome, IdentifyResult) else outcome.code.value,
    )
    if isinstance(outcome, GenreGenieError):
        return row
    prediction = outcome.prediction
    return replace(
        row,
        genre=prediction.genre,
        sha256=outcome.sha256,
        name=outcome.verdict.song.title or item.name,
        model=str(prediction.model),
        part=ClassifyOptions(whole=ask.whole, start=ask.start).part,
        start=prediction.section.start,
        end=prediction.section.end,
        duration=prediction.duration,
    )


def _fitted(reply: Reply, ask: JobRequest) -> Reply:
    """Leave out what the channel does not allow."""
    if not ask.capabilities.embeds:
        reply = reply.as_text()
    elif not ask.capabilities.files:
        reply = reply.without_pictures()
    return reply.with_notice(ask.capabilities.notice)


def _log_request(ask: JobRequest, answers: Sequence[SongResult], seconds: float, delivered: bool) -> None:
    """One line a request: no names, no contents."""
    outcomes = Counter(
        "verdict" if isinstance(answer.outcome, IdentifyResult) else answer.outcome.code.value for answer in answers
    )
    described = ",".join(f"{code}×{n}" if n > 1 else code for code, n in outcomes.items()) or "cancelled"
    cached = sum(isinstance(answer.outcome, IdentifyResult) and answer.outcome.cached for answer in answers)
    fields: dict[str, Any] = {
        "guild": ask.guild_id,
        "kind": ask.kind,
        "songs": len(ask.items),
        "seconds": round(seconds, 3),
        "outcome": described,
        "cached": cached,
        "delivered": delivered,
    }
    request_log.info("request", extra={"fields": fields})


async def _guarded(coroutine: Coroutine[Any, Any, None]) -> None:
    """Keep a failure to one line in the log."""
    try:
        await coroutine
    except Exception:
        log.exception("A task failed")
