"""A job's progress and results → messages with their buttons, and on to their delivery."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bot.jobs.job import Job
from bot.jobs.progress import EditBudget
from bot.jobs.request import JobRequest, RequestKind
from bot.jobs.result import SongResult
from bot.ui.compare import compare_message
from bot.ui.delivery import Delivery
from bot.ui.embeds import members_say, results_message
from bot.ui.message import TRACEABLE, OutgoingMessage, reference_line, text_message
from bot.ui.views import cancel_view, results_view
from core.errors import GenreGenieError
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.inference.pipeline import Step

INTERNAL: Final = "error.internal"


class DiscordResponder:
    """Implements `bot.jobs.responder.Responder` for one request.

    Args:
        delivery: where the messages go.
        budget: how often progress may be shown, that of all requests together; what it leaves out, the next one says.
    """

    def __init__(self, delivery: Delivery, budget: EditBudget | None = None) -> None:
        self._delivery = delivery
        self._budget = budget
        self._shown = ""

    async def progress(self, job: Job) -> None:
        """Show how far the job is, unless that is what is shown already, or the budget is used up."""
        if not self._delivery.shows_progress:
            return
        text = progress_text(job)
        if text != self._shown and (self._budget is None or self._budget.take()):
            await self._delivery.progress(replace(text_message(text), view=cancel_view(job.key, job.request.locale)))
            self._shown = text

    async def results(self, request: JobRequest, results: Sequence[SongResult]) -> bool:
        """Show the songs' results, with as much as the channel allows; what failed is the asker's own business."""
        errors = [result.outcome for result in results if isinstance(result.outcome, GenreGenieError)]
        if len(errors) == len(results):
            message = _traceable(results_message(results, request.asker_locale), request, errors, request.asker_locale)
            return await self._delivery.failed(message, errors[0].code)
        view = results_view(results, request.locale, whole=request.whole)
        if request.kind is RequestKind.COMPARE and len(results) == 2:
            if errors:
                message = results_message(results, request.asker_locale, failed=True)
                return await self._delivery.failed(message, errors[0].code)
            compared = await compare_message(results, request.locale, view)
            return await self._delivery.final(compared.fitted(request.capabilities))
        # Where nobody but the asker reads, one message says everything: a second answer to a message, of the same
        # nonce, Discord would take for another attempt at the first.
        alone = request.private or request.kind is RequestKind.DIRECT
        message = results_message(results, request.locale, view, failed=None if alone else False)
        if request.left_out and len(results) > 1:
            notice = translate("bot.reply.more-songs", request.locale, n=request.left_out, songs=len(request.songs))
            message = message.with_notice(notice)
        if len(results) == 1 and results[0].members_say is not None:
            message = message.with_notice(members_say(results[0].members_say, request.locale))
        if alone:
            message = _traceable(message, request, errors, request.locale)
        delivered = await self._delivery.final(message.fitted(request.capabilities))
        if errors and not alone:
            message = results_message(results, request.asker_locale, failed=True)
            message = _traceable(message, request, errors, request.asker_locale)
            await self._delivery.failed(message, errors[0].code, beside=True)
        return delivered

    async def sentence(self, request: JobRequest, key: str) -> bool:
        """Show a sentence instead of results."""
        alone = request.kind is RequestKind.AUTOSCAN or request.restores is not None
        locale = request.asker_locale if alone else request.locale
        message = text_message(translate(key, locale))
        if key == INTERNAL:
            message = message.with_notice(reference_line(request.reference, locale))
        if alone:
            return await self._delivery.failed(message, None)
        return await self._delivery.final(message.fitted(request.capabilities))

    async def refused(self, request: JobRequest, key: str) -> bool:
        """Say to the asker alone why nothing is begun."""
        return await self._delivery.failed(text_message(translate(key, request.asker_locale)), None)


def _traceable(
    message: OutgoingMessage, request: JobRequest, errors: Sequence[GenreGenieError], locale: str
) -> OutgoingMessage:
    """Put the request's id under what a host may be asked about."""
    if not any(error.code in TRACEABLE for error in errors):
        return message
    return message.with_notice(reference_line(request.reference, locale))


def progress_text(job: Job) -> str:
    """Say how far a job is."""
    locale = job.request.locale
    if job.waiting:
        return translate("bot.progress.queued", locale, place=job.place)
    if len(job.steps) > 1:
        done = sum(step is Step.DONE for step, _ in job.steps)
        return translate("bot.progress.several", locale, done=done, n=len(job.steps))
    step, share = job.steps[0]
    text = translate(f"bot.progress.{step.value}", locale)
    return text if share is None or step is Step.DONE else f"{text} {percent(share, locale)}"
