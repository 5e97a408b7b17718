"""What fetching needs of the proxy, be it in this process or in one of its own."""

import abc
import ssl
from collections import Counter
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from core.proxy.lease import ProxyLease
from core.proxy.url_policy import parse_url

MAX_CONNECTIONS: Final = 4_096
"""Connections of one job in all; a long song in HLS needs one for each segment."""

_USER: Final = "genregenie"


class Proxy(abc.ABC):
    """The proxy; use as an async context manager, or `start()` and `close()` it.

    Args:
        allowed_hosts: `host:port` pairs that may be reached although they are private.
        ca_file: one more trusted authority (PEM) for those who fetch through the proxy.

    Attributes:
        refusals: how often something was refused, by reason.
        connections: how many were made to outside servers.
        bytes_in: received from outside servers.
        bytes_out: sent to outside servers.
    """

    def __init__(self, allowed_hosts: Collection[str], ca_file: Path | None) -> None:
        self.allowed_hosts = frozenset(allowed_hosts)
        self.ca_file = ca_file
        self.refusals: Counter[str] = Counter()
        self.connections = 0
        self.bytes_in = 0
        self.bytes_out = 0

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    @abc.abstractmethod
    async def start(self) -> None:
        """Listen on a free port of loopback."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Stop listening and cut every connection."""

    @property
    @abc.abstractmethod
    def port(self) -> int:
        """The TCP port that the proxy listens on."""

    @abc.abstractmethod
    def lease(
        self, *, max_bytes: int, max_connections: int = MAX_CONNECTIONS
    ) -> AbstractAsyncContextManager[ProxyLease]:
        """Let one job use the proxy; when it is over, its connections are cut and its secret is worthless.

        Args:
            max_bytes: how many bytes all its connections may receive together.
            max_connections: how many it may make in all.
        """

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; useless without a lease's secret."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """Trust in the system's authorities and `ca_file`, for those who speak TLS through the proxy."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return context

    def url_with_secret(self, lease: ProxyLease) -> str:
        """Return the proxy's URL with the job's secret: not for command lines, environments or logs."""
        return f"http://{_USER}:{lease.secret}@127.0.0.1:{self.port}"

    def check(self, url: str) -> None:
        """Check a URL before anything is started for it; its host is not resolved.

        Raises:
            RefusedError: the proxy would not connect to it.
        """
        parse_url(url, self.allowed_hosts)
