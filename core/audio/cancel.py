"""Cancelling work that runs in another thread, with the child process that it waits for."""

import contextlib
import threading
from collections.abc import Iterator

from core.errors import ErrorCode, GenreGenieError
from core.sandbox.processes import kill_group


class CancelToken:
    """Shared by the thread that works and the one that may cancel the work: the child process is killed at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._code: ErrorCode | None = None
        self._pid: int | None = None

    def set(self, code: ErrorCode = ErrorCode.CANCELLED) -> None:
        """Cancel the work with an error of this code; only the first call counts."""
        with self._lock:
            self._code = self._code or code
            if self._pid is not None:
                kill_group(self._pid)

    def check(self) -> None:
        """Raise the error if the work has been cancelled.

        Raises:
            GenreGenieError: with the code given to `set`.
        """
        if self._code is not None:
            raise GenreGenieError(self._code)

    @contextlib.contextmanager
    def child(self, pid: int) -> Iterator[None]:
        """Kill this child process if the work is cancelled while the context lasts."""
        with self._lock:
            self._pid = pid
            if self._code is not None:
                kill_group(pid)
        try:
            yield
        finally:
            with self._lock:
                self._pid = None
