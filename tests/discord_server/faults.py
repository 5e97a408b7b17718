"""Faults that a test orders: answers that Discord gives on a bad day."""

from collections import defaultdict, deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """What happens to one REST request instead of, or before, its answer."""

    status: int | None = None
    """Answered with this status and not carried out; None carries it out, after the delay."""
    retry_after: float = 0.2
    """Seconds, for status 429."""
    is_global: bool = False
    delay_s: float = 0.0
    cut: bool = False
    """The connection ends without an answer."""
    carried_out: bool = False
    """Only the answer is lost: what was asked for is done."""


@dataclass
class Faults:
    """Ordered faults, by endpoint, used up one by one."""

    _waiting: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def order(self, endpoint: str, fault: Fault, times: int) -> None:
        self._waiting[endpoint].extend([fault] * times)

    def next(self, endpoint: str) -> Fault | None:
        waiting = self._waiting[endpoint]
        return waiting.popleft() if waiting else None

    def clear(self) -> None:
        self._waiting.clear()
