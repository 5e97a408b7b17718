"""What is kept of a request: a row in the database, a count in the metrics, a line in the log."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bot.jobs.request import JobRequest, Song
from bot.jobs.result import SongResult
from bot.monitoring import Metrics
from bot.storage.database import StoreError
from bot.storage.requests import RequestRow, RequestStore
from core.errors import GenreGenieError
from core.inference.pipeline import ClassifyOptions
from core.service.identify import IdentifyResult

request_log = logging.getLogger("genregenie.request")


class RequestRecorder:
    """Counts and stores each song of a request when it is done.

    Args:
        requests: where the rows go.
        metrics: counters.
    """

    def __init__(self, requests: RequestStore, metrics: Metrics) -> None:
        self._requests = requests
        self._metrics = metrics

    async def record(
        self, request: JobRequest, song: Song, outcome: IdentifyResult | GenreGenieError, seconds: float = 0.0
    ) -> SongResult:
        """Give the song's result with the id of its row, or without one when the database failed: no buttons then.

        Args:
            request: of which the song is a part.
            song: what was asked about.
            outcome: what came of it.
            seconds: from its admission to its outcome.
        """
        result = SongResult(song.name, outcome)
        identified = outcome if isinstance(outcome, IdentifyResult) else None
        self._metrics.observe(request.kind, result.code, seconds, identified)
        try:
            return replace(result, request_id=await self._requests.add(_row(request, result, seconds)))
        except StoreError:
            return result


def _row(request: JobRequest, result: SongResult, seconds: float) -> RequestRow:
    row = RequestRow(
        request.guild_id,
        request.user_id,
        request.kind.value,
        request.private,
        time.time() - seconds,
        seconds,
        result.code,
    )
    if isinstance(result.outcome, GenreGenieError):
        return row
    prediction = result.outcome.prediction
    return replace(
        row,
        genre=prediction.genre,
        sha256=result.outcome.sha256,
        name=result.name,
        model=str(prediction.model),
        part=ClassifyOptions(whole=request.whole, start=request.start).part,
        start=prediction.section.start,
        end=prediction.section.end,
        duration=prediction.duration,
    )


def log_request(request: JobRequest, results: Sequence[SongResult], seconds: float, *, delivered: bool) -> None:
    """Write one line about a request: no names, no contents."""
    codes = Counter(result.code for result in results)
    outcome = ",".join(f"{code}×{n}" if n > 1 else code for code, n in codes.items()) or "cancelled"
    cached = sum(isinstance(result.outcome, IdentifyResult) and result.outcome.cached for result in results)
    fields: dict[str, Any] = {
        "guild": request.guild_id,
        "kind": request.kind.value,
        "songs": len(request.songs),
        "seconds": round(seconds, 3),
        "outcome": outcome,
        "cached": cached,
        "delivered": delivered,
    }
    request_log.info("request", extra={"fields": fields})
