"""Who may ask now: cooldowns, shares of one bounded queue, and turns that go round between groups.

It knows a requester (a member, a visitor) and a group (a server, the page), and nothing of Discord. The turns
are round robin between groups: one that asks for 200 songs keeps no other waiting for more than one song.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from core.errors import ErrorCode, GenreGenieError
from core.service.slots import FairSlots

FIRST_ESTIMATE_S: Final = 3.0
"""Seconds that a job is taken to last until some have been measured."""

ESTIMATE_WEIGHT: Final = 0.1
"""Weight of the newest job in the running mean of their durations."""

MAX_RETRY_S: Final = 900
COOLDOWNS_KEPT: Final = 10_000
"""Requesters whose last request is remembered before those whose cooldown is over are swept out."""

FETCH_AHEAD: Final = 2
"""Files that are fetched while all workers are busy with others."""

LINK_SLOTS: Final = 4
"""Links that are fetched at a time; each takes a yt-dlp, about 80 MB."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much may be asked. A job counts from its admission to its end, waiting or running.

    Attributes:
        total: jobs in all.
        per_group: jobs of one group.
        per_requester: jobs of one requester, in whatever group.
        cooldown_s: seconds between two requests of one requester in one group.
    """

    total: int = 256
    per_group: int = 64
    per_requester: int = 16
    cooldown_s: float = 0.0

    def tightened(self, per_group: int | None, cooldown_s: float | None) -> "AdmissionLimits":
        """AdmissionLimits of a group that asks for stricter ones; looser ones than these are passed over."""
        return AdmissionLimits(
            self.total,
            self.per_group if per_group is None else min(self.per_group, per_group),
            self.per_requester,
            self.cooldown_s if cooldown_s is None else max(self.cooldown_s, cooldown_s),
        )


class Ticket:
    """One job's place: `async with ticket:` waits for its turn and gives all that it holds back at the end.

    Attributes:
        queue_place: place among the jobs of all processes, from 1, while it waits for another machine.
    """

    __slots__ = ("_admission", "_left", "_started", "_turns", "group", "queue_place", "requester")

    def __init__(self, admission: "Admission", requester: Hashable, group: Hashable, *, link: bool) -> None:
        self.requester = requester
        self.group = group
        self.queue_place = 0
        self._admission = admission
        self._turns = [admission.starting(link).enter(requester, group)]
        self._started: float | None = None
        self._left = False

    @property
    def place(self) -> int:
        """Place in the order of turns, from 1; 0 once its turn has come, here and in the queue of other machines."""
        return self._turns[0].place or self.queue_place

    @property
    def had_turn(self) -> bool:
        """Whether its first turn has come."""
        return self._turns[0].granted

    async def __aenter__(self) -> "Ticket":
        """Wait for the turn."""
        try:
            await self._turns[0].wait()
        except asyncio.CancelledError:
            self.leave()
            raise
        self._started = self._admission.clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the slot back; a job that ended by itself shows how long one takes."""
        if kind is None and self._started is not None:
            self._admission.learn(self._admission.clock() - self._started)
        self.leave()

    async def classifying(self) -> None:
        """Wait for a worker's turn, and only then give back the slot that fetching took: files do not pile up."""
        admission = self._admission
        if admission.workers is not None and not self._left:
            self._turns.append(admission.workers.enter(self.requester, self.group))
            await self._turns[-1].wait()
            if admission.shared is not None:
                self._turns.append(admission.shared.enter(admission.face, admission.face))
                await self._turns[-1].wait()
            self._turns[0].release()

    def leave(self) -> None:
        """Give everything up, waiting or running; once is enough."""
        if not self._left:
            self._left = True
            self._admission.release(self)
            for turn in self._turns:
                turn.release()


class Admission:
    """The queue in front of the workers.

    Args:
        limits: of the host; a group's own come with each request and can only be stricter.
        slots: jobs that may run at the same time.
        clock: seconds, monotonic.

    Attributes:
        workers: what fetched songs wait for; None where `slots` are all that there is.
        shared: what the songs whose turn has come in `workers` wait for too, where other faces use the same workers.
        face: the group that this one is there.
    """

    def __init__(self, limits: AdmissionLimits, *, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        self.workers: FairSlots | None = None
        self.shared: FairSlots | None = None
        self.face: Hashable = None
        self._slots = slots
        self._links = self._files = FairSlots(slots)
        self._tickets: set[Ticket] = set()
        self._by_group: Counter[Hashable] = Counter()
        self._by_requester: Counter[Hashable] = Counter()
        self._ready_at: dict[tuple[Hashable, Hashable], float] = {}
        self._mean_s = FIRST_ESTIMATE_S

    @classmethod
    def for_workers(
        cls, limits: AdmissionLimits, workers: int, *, shared: FairSlots | None = None, face: Hashable = None
    ) -> "Admission":
        """Make one whose jobs fetch apart from the workers, and links apart from files.

        A stranger's server can make a link last, so files never wait for one. Nobody holds all slots for fetching, nor
        all of more than two workers; turns go round between groups at each step.

        Args:
            limits: of the host.
            workers: how many songs are classified at a time.
            shared: slots of these workers, where they are several faces'. Turns go round between the faces, so that
                none waits for more than one song of each other's, however many those have.
            face: this face.
        """
        admission = cls(limits, slots=workers)
        admission.shared, admission.face = shared, face
        links = LINK_SLOTS if shared is None else LINK_SLOTS // 2  # memory for as many in all
        per_group, per_requester = links - 1, links // 2
        admission._links = FairSlots(links, per_group=per_group, per_requester=per_requester)
        admission._files = FairSlots(workers + FETCH_AHEAD, per_group=workers + 1, per_requester=workers)
        admission.workers = FairSlots(workers, per_requester=workers - 1 if workers > 2 else None)
        return admission

    @classmethod
    def for_queue(cls, limits: AdmissionLimits) -> "Admission":
        """Make one for jobs that other machines do: they take turns there, and this process only counts.

        Links keep their shares, so that nobody holds all slots that even one of those machines has for them.
        """
        admission = cls(limits, slots=limits.total)
        admission._links = FairSlots(limits.total, per_group=LINK_SLOTS - 1, per_requester=LINK_SLOTS // 2)
        return admission

    @property
    def jobs(self) -> int:
        """Jobs waiting and running."""
        return len(self._tickets)

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        return sum(not ticket.had_turn for ticket in self._tickets)

    @property
    def running(self) -> int:
        """Jobs whose turn has come."""
        return self.jobs - self.waiting

    def admit(
        self,
        requester: Hashable,
        group: Hashable,
        *,
        jobs: int = 1,
        links: bool = False,
        limits: AdmissionLimits | None = None,
        cooldown: bool = True,
    ) -> tuple[Ticket, ...]:
        """Take one request of one or more jobs in.

        Args:
            requester: who asks.
            group: where.
            jobs: how many.
            links: whether they fetch from strangers' servers.
            limits: the group's own.
            cooldown: whether the request waits for the one before it, and makes the next one wait.

        Returns:
            A ticket for each job that there is room for, at least one and at most `jobs`; the request counts
            once for the cooldown.

        Raises:
            GenreGenieError: `cooldown` or `busy`, both with `retry_after`, the seconds after which to try again.
        """
        limits = limits or self.limits
        now = self.clock()
        ready_at = self._ready_at.get((requester, group), now)
        if cooldown and ready_at > now:
            raise GenreGenieError(ErrorCode.COOLDOWN, retry_after=math.ceil(ready_at - now))
        room = min(
            limits.total - self.jobs,
            limits.per_group - self._by_group[group],
            limits.per_requester - self._by_requester[requester],
        )
        if room < 1:
            raise GenreGenieError(ErrorCode.BUSY, retry_after=self._retry_s())
        if cooldown and limits.cooldown_s > 0:
            self._sweep_cooldowns(now)
            self._ready_at[requester, group] = now + limits.cooldown_s
        tickets = tuple(Ticket(self, requester, group, link=links) for _ in range(min(room, jobs)))
        self._tickets.update(tickets)
        self._by_group[group] += len(tickets)
        self._by_requester[requester] += len(tickets)
        return tickets

    def starting(self, link: bool) -> FairSlots:
        """Give the slots that a job waits for first; tickets call this."""
        return self._links if link else self._files

    def release(self, ticket: Ticket) -> None:
        """Take a ticket's job out of every count; tickets call this."""
        self._tickets.discard(ticket)
        for counter, key in ((self._by_group, ticket.group), (self._by_requester, ticket.requester)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    def learn(self, seconds: float) -> None:
        """Take a job's duration into the running mean that the waiting times come from."""
        self._mean_s += ESTIMATE_WEIGHT * (seconds - self._mean_s)

    def _retry_s(self) -> int:
        """Seconds until the jobs admitted so far should be done."""
        return min(MAX_RETRY_S, max(1, math.ceil(self._mean_s * self.jobs / self._slots)))

    def _sweep_cooldowns(self, now: float) -> None:
        if len(self._ready_at) >= COOLDOWNS_KEPT:
            self._ready_at = {key: ready_at for key, ready_at in self._ready_at.items() if ready_at > now}
