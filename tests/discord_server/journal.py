"""What happened, in order and with times, and a way to wait until something has."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

GENEROUS = 60.0
"""Ceiling for a wait, seconds. Only a test that fails ever takes that long."""


@dataclass
class Exchange:
    """One REST request and what it was answered."""

    at: float
    endpoint: str
    """Name of the handler: `create_message`, `edit_original_response`; empty for a route that does not exist."""
    method: str
    path: str
    payload: dict[str, Any] | list[Any] | None = None
    file_names: tuple[str, ...] = ()
    status: int = 0
    code: int | None = None
    """Discord's error code, where it was refused with one."""
    injected: bool = False
    """The answer is a fault that the test ordered."""

    def __str__(self) -> str:
        # The rest of a long path is an interaction's token.
        return f"{self.method} {self.path[:60]} ({self.endpoint or 'unknown route'}) -> {self.code or self.status}"


@dataclass
class Complaint:
    """Something that the client must never do."""

    code: int
    """Discord's error code or gateway close code; 0 where there is none."""
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


@dataclass
class Journal:
    """Everything the client said and what was wrong with it. Times are `time.monotonic()`."""

    exchanges: list[Exchange] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def complain(self, code: int, text: str) -> None:
        self.complaints.append(Complaint(code, text))
        self.notify()

    def notify(self) -> None:
        """Wake those who wait, to look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], T], within: float = GENEROUS, what: str = "") -> T:
        """Wait until `condition()` is true and return its value.

        Raises:
            AssertionError: it did not become true; names the last exchanges and complaints.
        """
        deadline = time.monotonic() + within
        while not (value := condition()):
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
            except TimeoutError:
                raise AssertionError(self._report(what or "the condition", within)) from None
        return value

    def _report(self, what: str, within: float) -> str:
        lines = [f"{what} did not come true within {within} s. Last exchanges:"]
        lines += [f"  {exchange}" for exchange in self.exchanges[-12:]] or ["  none"]
        lines += ["Last complaints:", *(f"  {complaint}" for complaint in self.complaints[-12:])]
        return "\n".join(lines)
