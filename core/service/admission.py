"""Who may ask now: cooldowns, shares of one bounded queue, and turns that go round between groups.

It knows a requester (a member, a visitor) and a group (a server, the page), and nothing of Discord. The turns
are round robin between groups: one that asks for 200 songs keeps no other waiting for more than one song.
"""

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from core.errors import ErrorCode, GenreGenieError

FIRST_ESTIMATE_S: Final = 3.0
"""Seconds that a job is taken to last until some have been measured."""

ESTIMATE_WEIGHT: Final = 0.1
"""Weight of the newest job in the running mean of their durations."""

MAX_RETRY_S: Final = 900
COOLDOWNS_KEPT: Final = 10_000
"""Requesters whose last request is remembered before those whose cooldown is over are swept out."""


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
    """One job's place: `async with ticket:` waits for its turn and gives the slot back at the end."""

    __slots__ = ("_admission", "_granted", "_left", "_started", "_turn", "group", "requester")

    def __init__(self, admission: "Admission", requester: Hashable, group: Hashable) -> None:
        self.requester = requester
        self.group = group
        self._admission = admission
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._granted = False
        self._started: float | None = None
        self._left = False

    @property
    def place(self) -> int:
        """Jobs that start before this one, and itself; 0 when its turn has come."""
        return 0 if self._granted or self._left else self._admission.place(self)

    def grant(self) -> None:
        """Let the job run; admission calls this."""
        self._granted = True
        if not self._turn.done():  # its task may have been cancelled and not know it yet
            self._turn.set_result(None)

    async def __aenter__(self) -> "Ticket":
        """Wait for the turn."""
        try:
            await self._turn
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

    def leave(self) -> None:
        """Give the place up, waiting or running; once is enough."""
        if not self._left:
            self._left = True
            self._admission.release(self, had_turn=self._granted)
            self._turn.cancel()


class Admission:
    """The queue in front of the workers.

    Args:
        limits: of the host; a group's own come with each request and can only be stricter.
        slots: jobs that may run at the same time.
        clock: seconds, monotonic.
    """

    def __init__(self, limits: AdmissionLimits, *, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        self._slots = slots
        self._free = slots
        self._waiting: OrderedDict[Hashable, deque[Ticket]] = OrderedDict()
        self._by_group: Counter[Hashable] = Counter()
        self._by_requester: Counter[Hashable] = Counter()
        self._ready_at: dict[tuple[Hashable, Hashable], float] = {}
        self._mean_s = FIRST_ESTIMATE_S

    @property
    def jobs(self) -> int:
        """Jobs waiting and running."""
        return self._by_group.total()

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        return sum(len(queue) for queue in self._waiting.values())

    @property
    def running(self) -> int:
        """Jobs whose turn has come."""
        return self._slots - self._free

    def admit(
        self, requester: Hashable, group: Hashable, *, jobs: int = 1, limits: AdmissionLimits | None = None
    ) -> tuple[Ticket, ...]:
        """Take one request of one or more jobs in.

        Returns:
            A ticket for each job that there is room for, at least one and at most `jobs`; the request counts
            once for the cooldown.

        Raises:
            GenreGenieError: `cooldown` or `busy`, both with `retry_after`, the seconds after which to try again.
        """
        limits = limits or self.limits
        now = self.clock()
        ready_at = self._ready_at.get((requester, group), now)
        if ready_at > now:
            raise GenreGenieError(ErrorCode.COOLDOWN, retry_after=math.ceil(ready_at - now))
        room = min(
            limits.total - self.jobs,
            limits.per_group - self._by_group[group],
            limits.per_requester - self._by_requester[requester],
        )
        if room < 1:
            raise GenreGenieError(ErrorCode.BUSY, retry_after=self._retry_s())
        if limits.cooldown_s > 0:
            self._sweep_cooldowns(now)
            self._ready_at[requester, group] = now + limits.cooldown_s
        tickets = tuple(Ticket(self, requester, group) for _ in range(min(room, jobs)))
        for ticket in tickets:
            self._by_group[group] += 1
            self._by_requester[requester] += 1
            self._waiting.setdefault(group, deque()).append(ticket)
        self._give_turns()
        return tickets

    def place(self, ticket: Ticket) -> int:
        """Place of a waiting ticket in the order of turns, from 1."""
        index = self._waiting[ticket.group].index(ticket)
        ahead = 0
        passed = False
        for group, queue in self._waiting.items():
            if group == ticket.group:
                ahead += index
                passed = True
            else:
                ahead += min(len(queue), index if passed else index + 1)
        return ahead + 1

    def release(self, ticket: Ticket, *, had_turn: bool) -> None:
        """Take a ticket's job out of every count; tickets call this."""
        for counter, key in ((self._by_group, ticket.group), (self._by_requester, ticket.requester)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        if had_turn:
            self._free += 1
            self._give_turns()
        else:
            queue = self._waiting[ticket.group]
            queue.remove(ticket)
            if not queue:
                del self._waiting[ticket.group]

    def learn(self, seconds: float) -> None:
        """Take a job's duration into the running mean that the waiting times come from."""
        self._mean_s += ESTIMATE_WEIGHT * (seconds - self._mean_s)

    def _give_turns(self) -> None:
        while self._free and self._waiting:
            group, queue = self._waiting.popitem(last=False)
            ticket = queue.popleft()
            if queue:
                self._waiting[group] = queue
            self._free -= 1
            ticket.grant()

    def _retry_s(self) -> int:
        """Seconds until the jobs admitted so far should be done."""
        return min(MAX_RETRY_S, max(1, math.ceil(self._mean_s * self.jobs / self._slots)))

    def _sweep_cooldowns(self, now: float) -> None:
        if len(self._ready_at) >= COOLDOWNS_KEPT:
            self._ready_at = {key: ready_at for key, ready_at in self._ready_at.items() if ready_at > now}
