"""The two ends of a proxied connection: HTTP/1.1 by h11 over asyncio streams."""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Final

import h11

from core.proxy.lease import ProxyLease

HttpEvent = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]
"""What h11 has read; the streams below never give `NEED_DATA`, since they get the data."""

Headers = list[tuple[bytes, bytes]]

MAX_HEAD_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 64 * 1024

EVENTS_PER_TURN: Final = 64
"""What is read of one connection before the others have their turn."""

MAX_INTERIM_RESPONSES: Final = 8
FREE_CHUNKS: Final = 4_096
MIN_CHUNK_BYTES: Final = 16
"""A body may have so many chunks; beyond that, they must be of this size on average."""

_PROXY_AUTHENTICATION_REQUIRED: Final = 407

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers that end at a proxy (RFC 9110, section 7.6.1), and `Host`, which is written anew from the target."""


class ClientGoneError(Exception):
    """The client has closed its connection; nobody is left to answer."""


class WastefulError(Exception):
    """A peer sends far more frames than what is in them needs."""


class Pace:
    """Counts what a peer sends, gives other connections their turn, and ends what only keeps us busy."""

    def __init__(self) -> None:
        self._events = 0
        self._chunks = 0
        self._bytes = 0
        self._interim = 0

    async def count(self, event: HttpEvent) -> None:
        """Count one event.

        Raises:
            WastefulError: too many interim responses, or chunks of next to nothing.
        """
        self._events += 1
        if self._events % EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)
        if isinstance(event, h11.InformationalResponse):
            self._interim += 1
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
        wasteful = self._chunks > FREE_CHUNKS and self._bytes < MIN_CHUNK_BYTES * self._chunks
        if wasteful or self._interim > MAX_INTERIM_RESPONSES:
            raise WastefulError


class ClientStream:
    """The connection to one of our own clients.

    Attributes:
        connection: h11's state of it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._reader = reader
        self._writer = writer

    async def next_event(self) -> HttpEvent:
        """Read the next event of the request.

        Raises:
            ClientGoneError: the client has gone.
            h11.RemoteProtocolError: it does not speak HTTP.
        """
        while (event := self.connection.next_event()) is h11.NEED_DATA:
            self.connection.receive_data(await self.read())
        return event

    async def read(self) -> bytes:
        """Read raw bytes; empty at the end.

        Raises:
            ClientGoneError: the client has gone.
        """
        try:
            return await self._reader.read(CHUNK_BYTES)
        except OSError:
            raise ClientGoneError from None

    async def send(self, event: h11.Event) -> None:
        """Send one event of the response.

        Raises:
            ClientGoneError: the client has gone.
        """
        await self.write(self.connection.send(event) or b"")

    async def write(self, data: bytes) -> None:
        """Send raw bytes.

        Raises:
            ClientGoneError: the client has gone.
        """
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise ClientGoneError from None

    async def send_error(self, status: int) -> None:
        """Answer with an error status, unless a response has begun.

        One that has begun is cut off instead, so that nobody takes it as complete.

        Raises:
            ClientGoneError: the client has gone.
        """
        if self.connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("Content-Length", "0"), ("Connection", "close")]
        if status == _PROXY_AUTHENTICATION_REQUIRED:
            headers.append(("Proxy-Authenticate", "Basic"))
        await self.send(h11.Response(status_code=status, headers=headers))
        await self.send(h11.EndOfMessage())
        await self.close()

    async def close(self) -> None:
        """Close once everything written has been sent.

        Raises:
            ClientGoneError: the client has gone.
        """
        try:
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            raise ClientGoneError from None

    def abort(self) -> None:
        """Cut the connection at once."""
        self._writer.transport.abort()


class ServerStream:
    """The connection to an outside server: every byte is counted, and each read has a deadline.

    Args:
        reader: from the server.
        writer: to the server.
        idle_seconds: how long one read may wait for data.
        lease: of the job, which waits and receives.
        on_received: called with the number of bytes of each read.
        on_sent: called with the number of bytes of each write.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        idle_seconds: float,
        lease: ProxyLease,
        on_received: Callable[[int], None],
        on_sent: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._idle_seconds = idle_seconds
        self._lease = lease
        self._on_received = on_received
        self._on_sent = on_sent

    async def read(self) -> bytes:
        """Read raw bytes; empty at the end.

        Raises:
            OSError: the connection is broken.
            RefusedError: the job has used up its bytes or its patience.
            TimeoutError: nothing came for `idle_seconds`.
        """
        async with self._lease.waiting(), asyncio.timeout(self._idle_seconds):
            data = await self._reader.read(CHUNK_BYTES)
        self._on_received(len(data))
        self._lease.count_bytes(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Send raw bytes.

        Raises:
            OSError: the connection is broken.
        """
        self._on_sent(len(data))
        self._writer.write(data)
        await self._writer.drain()

    def write_eof(self) -> None:
        """Close our half of the connection."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._writer.transport.abort()


def end_to_end_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers that a proxy forwards, in their order."""
    named = {name: value for name, value in headers}
    dropped = set(_HOP_BY_HOP)
    dropped.update(token.strip().lower() for token in named.get(b"connection", b"").split(b","))
    if b"transfer-encoding" in named:
        dropped.add(b"content-length")  # meaningless where the body is chunked
    return [(name, value) for name, value in headers if name not in dropped]


def basic_password(header: bytes) -> bytes:
    """Return the password of a `Proxy-Authorization: Basic` header; empty for anything else."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(encoded, validate=True).partition(b":")[2]
    except ValueError:
        return b""
