"""What one job may use of the proxy."""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from core.proxy.url_policy import Refusal, RefusedError

PATIENCE_SECONDS: Final = 25.0
BYTES_PER_SECOND: Final = 2_048
"""A job may wait for so long in all, and for one more second with each so many bytes that come: enough for pages that
take their time, while a server that dribbles is given up before the job's deadline."""

MAX_OPEN: Final = 32
"""Connections of one job at a time; yt-dlp needs a handful."""


class ProxyLease:
    """One job's access to the proxy: a secret of its own, quotas of bytes and connections, and bounded patience.

    Attributes:
        secret: the job's password; worthless once the job is over.
        bytes_left: how many bytes the job may still receive.
        connections_left: how many connections it may still make.
        refusals: how often the job was refused, by reason: explains a failed download.
        tasks: the job's open connections.
    """

    def __init__(
        self,
        max_bytes: int,
        max_connections: int,
        *,
        secret: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.secret = secret or secrets.token_urlsafe(24)
        self.bytes_left = max_bytes
        self.connections_left = max_connections
        self.refusals: Counter[Refusal] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self._most_patience = patience_seconds
        self._patience = patience_seconds  # while nothing waits
        self._deadline = 0.0  # while something waits
        self._waits: set[asyncio.Timeout] = set()

    async def sync(self) -> None:
        """Wait until `refusals` has all that the job's connections have met so far."""

    def count_connection(self) -> None:
        """Count one more connection.

        Raises:
            RefusedError: the quota is used up (`CONNECTIONS`), or so is the patience (`TIME`).
        """
        if self.connections_left <= 0 or len(self.tasks) > MAX_OPEN:
            raise RefusedError(Refusal.CONNECTIONS)
        if not self._waits and self._patience <= 0:
            raise RefusedError(Refusal.TIME)
        self.connections_left -= 1

    def count_bytes(self, count: int) -> None:
        """Count bytes received; they make the job more patient.

        Raises:
            RefusedError: the quota is used up (`BYTES`).
        """
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise RefusedError(Refusal.BYTES)
        earned = count / BYTES_PER_SECOND
        if not self._waits:
            self._patience = min(self._patience + earned, self._most_patience)
            return
        now = asyncio.get_running_loop().time()
        self._deadline = min(self._deadline + earned, now + self._most_patience)
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(self._deadline)

    @contextlib.asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait for a server while the context lasts; several waits at one time cost no more than one.

        Raises:
            RefusedError: the job's patience is at its end (`TIME`).
        """
        loop = asyncio.get_running_loop()
        if not self._waits:
            self._deadline = loop.time() + self._patience
        timeout = asyncio.timeout_at(self._deadline)
        self._waits.add(timeout)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if timeout.expired():
                raise RefusedError(Refusal.TIME) from None
            raise
        finally:
            self._waits.discard(timeout)
            if not self._waits:
                self._patience = max(0.0, self._deadline - loop.time())
