"""A child's budget of processor time: unlike seconds on a clock, it is the same on a machine that is busy."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_WATCH_SECONDS: Final = 0.2


class CpuBudget:
    """Watch the processor time of a child while the context lasts.

    `RLIMIT_CPU` would be simpler, but it cannot grow again, and ffmpeg handles its signal.

    Args:
        pid: of the child, which must not have been waited for.
        seconds: of processor time, to begin with.
        on_exceeded: called once, in a thread of its own, when the child has taken more than it was granted.
    """

    def __init__(self, pid: int, seconds: float, on_exceeded: Callable[[], None]) -> None:
        self._pid = pid
        self._seconds = seconds
        self._on_exceeded = on_exceeded
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def grant(self, seconds: float) -> None:
        """Add to the budget."""
        self._seconds += seconds

    def __enter__(self) -> Self:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil  # a worker's start need not wait for it

        try:
            process = psutil.Process(self._pid)
            while not self._ended.wait(_WATCH_SECONDS):
                times = process.cpu_times()
                if times.user + times.system > self._seconds:
                    self._on_exceeded()
                    return
        except psutil.Error:  # it has ended
            return
