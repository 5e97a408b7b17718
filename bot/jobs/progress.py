"""When progress is shown: late enough for short jobs to do without, and seldom enough for Discord's rate limits."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from bot.jobs.job import Job
from bot.jobs.responder import Responder

FIRST_PROGRESS_S: Final = 1.0
"""An answer that is there sooner is not preceded by progress."""

PROGRESS_S: Final = 3.0


class EditBudget:
    """So many edits a second, and no more than that at once: a token bucket.

    Args:
        per_s: edits of this process.
        clock: seconds.
    """

    def __init__(self, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._left = self._most
        self._clock = clock
        self._counted_at = clock()

    def take(self) -> bool:
        """Take an edit; False where there is none left, and then it is left out."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted_at) * self._per_s)
        self._counted_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


async def show_progress(
    job: Job, responder: Responder, finished: asyncio.Event, running_jobs: Callable[[], int], edits_per_s: float
) -> None:
    """Show a job's progress again and again until it is finished.

    Args:
        job: whose progress.
        responder: where it is shown.
        finished: set when the job is.
        running_jobs: how many jobs there are at the moment, which share the edits.
        edits_per_s: of all of them together.
    """
    wait_s = FIRST_PROGRESS_S
    while not finished.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(finished.wait(), max(wait_s, running_jobs() / edits_per_s))
            return
        wait_s = PROGRESS_S
        await responder.progress(job)
