"""What is kept of a request: a row while it is open and one when it is done, a count, a line in the log."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from bot.jobs.member_locales import MemberLocales
from bot.jobs.request import JobRequest, Song
from bot.jobs.result import SongResult
from bot.jobs.stored import songs_to_json
from bot.monitoring import Metrics
from bot.storage.corrections import CorrectionStore
from bot.storage.database import StoreError
from bot.storage.neighbours import NeighbourStore
from bot.storage.open_requests import OpenRequest, OpenRequestStore
from bot.storage.requests import RequestRow, RequestStore
from core.errors import GenreGenieError
from core.inference.pipeline import ClassifyOptions
from core.service.identify import IdentifyResult

request_log = logging.getLogger("genregenie.request")

WRITE_DOWN_S: Final = 1.0
"""How long work waits for its request to be written down: a database that hangs costs the record, not the answer."""


class RequestRecorder:
    """Writes requests down before work begins, and counts and stores each song when it is done.

    Args:
        requests: where the songs' rows go.
        open_requests: where a request is while it is on its way.
        neighbours: knows whether there are songs to compare one with.
        corrections: knows what members agree on.
        metrics: counters.
        locales: the members' languages.
    """

    def __init__(
        self,
        requests: RequestStore,
        open_requests: OpenRequestStore,
        neighbours: NeighbourStore,
        corrections: CorrectionStore,
        metrics: Metrics,
        locales: MemberLocales,
    ) -> None:
        self._requests = requests
        self._open_requests = open_requests
        self._neighbours = neighbours
        self._corrections = corrections
        self._metrics = metrics
        self._locales = locales

    async def opened(self, request: JobRequest) -> "asyncio.Task[int] | None":
        """Write a request down; give what `closed` strikes it off by, or None where that would help nobody."""
        if request.place is None:
            return None
        row = OpenRequest(
            self._open_requests.owner,
            request.kind.value,
            request.user_id,
            request.guild_id,
            request.place.channel_id,
            request.private,
            request.locale,
            songs_to_json(request.songs),
            request.whole,
            request.start,
            request.left_out,
            request.restores,
            time.time(),
            request.attempt,
            request.place.token,
            request.place.message_id,
            request.place.posted_id,
            reference=request.reference,
        )
        written = asyncio.create_task(self._open_requests.add(row))
        await asyncio.wait({written}, timeout=WRITE_DOWN_S)
        return written

    async def closed(self, written: "asyncio.Task[int] | None") -> None:
        """Strike a request off; one that cannot be struck off is looked at again after the next start."""
        if written is None:
            return
        try:
            await self._open_requests.delete(await written)
        except StoreError:
            return

    async def left(self, written: "asyncio.Task[int] | None") -> None:
        """Leave a request that could not be answered to whoever looks next at what is open."""
        if written is None:
            return
        try:
            await self._open_requests.leave(await written)
        except StoreError:
            return

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
            row = replace(_row(request, result, seconds), locale=self._locales.recent(request.user_id))
            result = replace(result, request_id=await self._requests.add(row))
            if identified is not None and request.guild_id is not None and not request.private:
                sha256, genre = identified.sha256, identified.prediction.genre
                result = replace(
                    result,
                    has_neighbours=await self._neighbours.exist(request.guild_id, sha256),
                    members_say=await self._corrections.agreed(request.guild_id, sha256, genre),
                )
        except StoreError:
            pass
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
        reference=request.reference,
    )
    if isinstance(result.outcome, GenreGenieError):
        return row
    prediction = result.outcome.prediction
    place = None if request.private else request.place
    return replace(
        row,
        channel_id=place.channel_id if place else None,
        message_id=(request.songs_id or place.posted_id or place.message_id) if place else None,
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
