"""When progress is shown: late enough for short jobs to do without, and seldom enough for Discord's rate limits."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from bot.jobs.job import Job
from bot.jobs.responder import Responder

FIRST_PROGRESS_S: Final = 1.0
"""An answer that is there sooner is not preceded by progress."""

PROGRESS_S: Final = 3.0
PROGRESS_EDITS_PER_S: Final = 10.0
"""Edits of all progress messages together; Discord's own limit is 50 requests a second for everything."""


async def show_progress(
    job: Job, responder: Responder, finished: asyncio.Event, running_jobs: Callable[[], int]
) -> None:
    """Show a job's progress again and again until it is finished.

    Args:
        job: whose progress.
        responder: where it is shown.
        finished: set when the job is.
        running_jobs: how many jobs there are at the moment, which share the edits.
    """
    wait_s = FIRST_PROGRESS_S
    while not finished.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(finished.wait(), max(wait_s, running_jobs() / PROGRESS_EDITS_PER_S))
            return
        wait_s = PROGRESS_S
        await responder.progress(job)
