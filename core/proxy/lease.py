"""What one job may use of the proxy."""

import asyncio
import secrets
from collections import Counter

from core.proxy.url_policy import Refusal, RefusedError


class ProxyLease:
    """One job's access to the proxy: a secret of its own, and quotas of bytes and connections.

    Attributes:
        secret: the job's password; worthless once the job is over.
        bytes_left: how many bytes the job may still receive.
        connections_left: how many connections it may still make.
        refusals: how often the job was refused, by reason: explains a failed download.
        tasks: the job's open connections.
    """

    def __init__(self, max_bytes: int, max_connections: int) -> None:
        self.secret = secrets.token_urlsafe(24)
        self.bytes_left = max_bytes
        self.connections_left = max_connections
        self.refusals: Counter[Refusal] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def count_connection(self) -> None:
        """Count one more connection.

        Raises:
            RefusedError: the quota is used up (`CONNECTIONS`).
        """
        if self.connections_left <= 0:
            raise RefusedError(Refusal.CONNECTIONS)
        self.connections_left -= 1

    def count_bytes(self, count: int) -> None:
        """Count bytes received.

        Raises:
            RefusedError: the quota is used up (`BYTES`).
        """
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise RefusedError(Refusal.BYTES)
