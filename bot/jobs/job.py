"""A request on its way."""

import asyncio
import secrets
from dataclasses import dataclass, field

from bot.jobs.request import JobRequest
from bot.jobs.result import SongResult
from core.inference.pipeline import Step
from core.service.admission import Ticket


@dataclass(slots=True)
class Job:
    """What the cancel button finds, and where progress is read.

    Attributes:
        request: what is asked.
        tickets: the places in the queue, one for each song that there was room for.
        key: what the cancel button carries.
        steps: where each admitted song stands, with the share of the step that is done, 0 to 1.
        task: classifies the songs.
        cancel_reason: key of the sentence that the asker reads; None unless it was cancelled.
        recorded: whether what comes of it is stored: not where all that is stored of its asker is being deleted.
    """

    request: JobRequest
    tickets: tuple[Ticket, ...]
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    steps: list[tuple[Step, float | None]] = field(init=False)
    task: "asyncio.Task[list[SongResult]] | None" = None
    cancel_reason: str | None = None
    recorded: bool = True

    def __post_init__(self) -> None:
        """Let every song begin in the queue."""
        self.steps = [(Step.QUEUED, None)] * len(self.tickets)

    @property
    def waiting(self) -> bool:
        """Whether no song of it has had its turn."""
        return all(step is Step.QUEUED for step, _ in self.steps)

    def has_ended(self, index: int) -> bool:
        """Whether something has come of one of the request's songs."""
        return index < len(self.steps) and self.steps[index][0] is Step.DONE

    @property
    def place(self) -> int:
        """Place of its first song in the queue, from 1."""
        return max(1, self.tickets[0].place)

    def cancel(self, reason: str) -> None:
        """End it; `reason` is the key of the sentence that its asker reads."""
        self.cancel_reason = self.cancel_reason or reason
        if self.task is not None:
            self.task.cancel()
