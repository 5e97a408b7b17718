"""How a job answers: what `JobService` needs of Discord, and all that it knows of it."""

from collections.abc import Sequence
from typing import Protocol

from bot.jobs.job import Job
from bot.jobs.request import JobRequest
from bot.jobs.result import SongResult


class Responder(Protocol):
    """Where one request's progress and answer go."""

    async def progress(self, job: Job) -> None:
        """Show how far the job is; a failure is passed over."""

    async def results(self, request: JobRequest, results: Sequence[SongResult]) -> bool:
        """Show what came of the songs; False when it could not be delivered."""

    async def sentence(self, request: JobRequest, key: str) -> bool:
        """Show a sentence instead of results; False when it could not be delivered."""

    async def refused(self, request: JobRequest, key: str) -> bool:
        """Say to the asker alone why nothing is begun; False when it could not be delivered."""
