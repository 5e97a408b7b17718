"""The guarded way out: a forward proxy on loopback through which all fetching goes.

Clients are ours (aiohttp, the yt-dlp child), the URLs that they follow are strangers': redirects, playlists
and embedded media all end here. Each request names a host; the proxy resolves it once, keeps the public
addresses and connects to the very address that it has checked, so that a name which answers differently the
next time (DNS rebinding) gains nothing. HTTP itself is read and written by h11, so that nothing of a client's
bytes reaches a server unparsed, and one connection carries one request.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import secrets
import socket
import ssl
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import h11

from core.fetch.url_policy import (
    IPAddress,
    Refusal,
    RefusedError,
    Target,
    is_own,
    is_public,
    parse_authority,
    parse_url,
)

logger = logging.getLogger(__name__)

Resolver = Callable[[str], Awaitable[Collection[str]]]
"""A host name → its addresses; `OSError` where there are none."""

_USER: Final = "genregenie"
_HEAD_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_REQUEST_BODY_BYTES: Final = 1024 * 1024
_HEAD_SECONDS: Final = 20.0
_RESOLVE_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 10.0
_RESOLVE_THREADS: Final = 16
_MAX_ADDRESSES: Final = 4
_METHODS: Final = (b"GET", b"HEAD", b"POST", b"CONNECT")

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
"""Headers that end at a proxy (RFC 9110, section 7.6.1), and `Host`, which the target says anew."""

_STATUS: Final = {
    Refusal.SECRET: 407,
    Refusal.REQUEST: 400,
    Refusal.PORT: 403,
    Refusal.ADDRESS: 403,
    Refusal.NAME: 502,
    Refusal.CONNECTIONS: 429,
    Refusal.BYTES: 403,
    Refusal.TIME: 504,
    Refusal.UNREACHABLE: 502,
}

Received = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]
"""What h11 says that it has read; never `NEED_DATA` from the functions here, which get the data."""

Headers = list[tuple[bytes, bytes]]


class ProxyLease:
    """What one job may use of the way out: its own secret, and a number of bytes and connections.

    Attributes:
        secret: the password of this job; worthless once the job is over.
        bytes_left: what the job may still receive.
        refusals: what the job was not given, by reason: tells why a download failed.
    """

    def __init__(self, max_bytes: int, max_connections: int) -> None:
        self.secret = secrets.token_urlsafe(24)
        self.bytes_left = max_bytes
        self.connections_left = max_connections
        self.refusals: Counter[Refusal] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def take_connection(self) -> None:
        """Count one more connection.

        Raises:
            RefusedError: the job has had as many as it may.
        """
        if self.connections_left <= 0:
            raise RefusedError(Refusal.CONNECTIONS)
        self.connections_left -= 1

    def take_bytes(self, count: int) -> None:
        """Count bytes received.

        Raises:
            RefusedError: the job has had as many as it may.
        """
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise RefusedError(Refusal.BYTES)


class FetchProxy:
    """The proxy; an async context manager, or `start()` and `close()`.

    Args:
        allowed_hosts: `host:port` pairs that may be reached although they are private.
        ca_file: one more trusted authority (PEM) for those who fetch through this.
        max_seconds_per_connection: after this a connection is cut, whatever it carries.
        idle_seconds: after this long without a byte, too.
        max_connections: at one time, all jobs together.
        resolver: name → addresses; None asks the system.

    Attributes:
        refusals: what was not let through, by reason.
        connections: made to the outside, in all.
        bytes_in: received from the outside.
        bytes_out: sent to it.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Collection[str] = (),
        ca_file: Path | None = None,
        max_seconds_per_connection: float = 600.0,
        idle_seconds: float = 30.0,
        max_connections: int = 128,
        resolver: Resolver | None = None,
    ) -> None:
        self.allowed_hosts = frozenset(allowed_hosts)
        self.ca_file = ca_file
        self.refusals: Counter[str] = Counter()
        self.connections = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._max_seconds = max_seconds_per_connection
        self.idle_seconds = idle_seconds
        self._max_connections = max_connections
        # Threads of its own: a name server that never answers must not hold up other work in threads.
        self._threads = ThreadPoolExecutor(_RESOLVE_THREADS, "resolve")
        self._resolve = resolver or self._ask_system
        self._leases: set[ProxyLease] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK_BYTES)

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            await _cancel(self._tasks)
            await self._server.wait_closed()
            self._server = None
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def port(self) -> int:
        """Where the proxy listens."""
        if self._server is None:
            raise RuntimeError("the proxy has not been started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Return `http://127.0.0.1:PORT`; useless without a lease's secret."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """The system's authorities and `ca_file`'s, for those who speak TLS through the proxy."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return context

    def url_with_secret(self, lease: ProxyLease) -> str:
        """Return the URL with the job's secret in it: never for a command line, an environment or a log."""
        return f"http://{_USER}:{lease.secret}@127.0.0.1:{self.port}"

    def check(self, url: str) -> None:
        """Look at a URL before anything is started for it; its name is not resolved.

        Raises:
            RefusedError: the proxy would not go there.
        """
        parse_url(url, self.allowed_hosts)

    @contextlib.asynccontextmanager
    async def lease(self, *, max_bytes: int, max_connections: int = 4_096) -> AsyncIterator[ProxyLease]:
        """Let one job out; when it is over its connections are cut and its secret is worthless.

        Args:
            max_bytes: that all its connections may receive together.
            max_connections: that it may make in all; a long song in HLS needs one for each of its pieces.
        """
        lease = ProxyLease(max_bytes, max_connections)
        self._leases.add(lease)
        try:
            yield lease
        finally:
            self._leases.discard(lease)
            await _cancel(lease.tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client in a task of our own, which `close` and the end of a job can cancel."""
        if len(self._tasks) >= self._max_connections:
            self.refusals[Refusal.CONNECTIONS] += 1
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(_Client(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: "_Client") -> None:
        lease: ProxyLease | None = None
        try:
            async with asyncio.timeout(self._max_seconds):
                async with asyncio.timeout(_HEAD_SECONDS):
                    request = await client.read_request()
                lease = self._recognise(request)
                task = asyncio.current_task()
                assert task is not None  # noqa: S101 -- a coroutine of this class always runs in one
                lease.tasks.add(task)
                task.add_done_callback(lease.tasks.discard)
                lease.take_connection()
                await self._answer(client, request, lease)
                await client.finish()
        except _ClientGoneError:
            pass  # it has heard enough, or was killed
        except RefusedError as error:
            await self._refuse(client, error.reason, lease)
        except TimeoutError:
            await self._refuse(client, Refusal.TIME, lease)
        except (OSError, h11.ProtocolError):
            # The server broke off, or one of the two did not speak HTTP.
            await self._refuse(client, Refusal.UNREACHABLE, lease)
        finally:
            client.abort()

    def _recognise(self, request: h11.Request) -> ProxyLease:
        """Find the lease whose secret the request shows."""
        shown = _password(dict(request.headers).get(b"proxy-authorization", b""))
        for lease in self._leases:
            if hmac.compare_digest(lease.secret.encode(), shown):
                return lease
        raise RefusedError(Refusal.SECRET)

    async def _answer(self, client: "_Client", request: h11.Request, lease: ProxyLease) -> None:
        if request.method not in _METHODS:
            raise RefusedError(Refusal.REQUEST)
        text = request.target.decode("ascii")
        if request.method == b"CONNECT":
            target = parse_authority(text, None, self.allowed_hosts)
        elif text.lower().startswith("http://"):
            target = parse_url(text, self.allowed_hosts)
        else:
            raise RefusedError(Refusal.REQUEST)
        reader, writer = await self._connect(target)
        server = _Server(self, lease, reader, writer)
        try:
            if request.method == b"CONNECT":
                await self._tunnel(client, server)
            else:
                await self._forward(client, server, request, target)
        finally:
            server.abort()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the target's addresses, each checked before."""
        for address in await self._addresses(target):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    streams = await asyncio.open_connection(str(address), target.port, limit=_CHUNK_BYTES)
            except (OSError, TimeoutError):
                continue
            self.connections += 1
            return streams
        raise RefusedError(Refusal.UNREACHABLE)

    async def _addresses(self, target: Target) -> list[IPAddress]:
        """Resolve a target, once, and keep what may be reached.

        Raises:
            RefusedError: there are no addresses (`NAME`), or none that is public (`ADDRESS`).
        """
        if target.address is not None:
            found = [target.address]
        else:
            try:
                async with asyncio.timeout(_RESOLVE_SECONDS):
                    texts = await self._resolve(target.host)
                found = [ipaddress.ip_address(text) for text in texts]
            except (OSError, TimeoutError, ValueError):
                raise RefusedError(Refusal.NAME) from None
        if not found:
            raise RefusedError(Refusal.NAME)
        if not target.allowed:
            found = [address for address in found if is_public(address) and not is_own(address)]
        if not found:
            raise RefusedError(Refusal.ADDRESS)
        return found[:_MAX_ADDRESSES]

    async def _ask_system(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        return [str(info[4][0]) for info in await loop.run_in_executor(self._threads, ask)]

    async def _tunnel(self, client: "_Client", server: "_Server") -> None:
        """Answer CONNECT and carry bytes both ways until the server is done."""
        if not isinstance(await client.next_event(), h11.EndOfMessage):
            raise RefusedError(Refusal.REQUEST)
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        upload = asyncio.create_task(self._upload(client, server))
        try:
            while data := await server.read():
                await client.write(data)
        finally:
            await _cancel({upload})

    async def _upload(self, client: "_Client", server: "_Server") -> None:
        await server.write(client.connection.trailing_data[0])
        while data := await client.read():
            await server.write(data)
        server.write_eof()

    async def _forward(self, client: "_Client", server: "_Server", request: h11.Request, target: Target) -> None:
        """Send one plain request, built from its parsed parts, and carry the answer back."""
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        headers = [
            (b"Host", target.authority.encode()),
            *_end_to_end(request.headers),
            (b"Connection", b"close"),
        ]
        start = h11.Request(method=request.method, target=target.path, headers=headers)
        await server.write(connection.send(start) or b"")
        sent = 0
        while isinstance(event := await client.next_event(), h11.Data):
            sent += len(event.data)
            if sent > _REQUEST_BODY_BYTES:
                raise RefusedError(Refusal.BYTES)
            await server.write(connection.send(event) or b"")
        await server.write(connection.send(h11.EndOfMessage()) or b"")
        while not isinstance(answer := await server.next_event(connection), h11.EndOfMessage):
            if isinstance(answer, h11.Response):
                headers = [*_end_to_end(answer.headers), (b"Connection", b"close")]
                await client.send(h11.Response(status_code=answer.status_code, headers=headers))
            elif isinstance(answer, h11.Data):
                await client.send(answer)
            elif not isinstance(answer, h11.InformationalResponse):
                raise RefusedError(Refusal.UNREACHABLE)
        await client.send(answer)

    async def _refuse(self, client: "_Client", reason: Refusal, lease: ProxyLease | None) -> None:
        """Count a refusal, and say so if the client has had no answer yet."""
        self.refusals[reason] += 1
        if lease is not None:
            lease.refusals[reason] += 1
        logger.debug("refused: %s", reason)
        with contextlib.suppress(_ClientGoneError, TimeoutError, h11.ProtocolError):
            async with asyncio.timeout(1.0):
                await client.refuse(_STATUS[reason])


class _ClientGoneError(Exception):
    """The client has broken off; nobody is left to tell."""


class _Client:
    """The side of a connection that faces one of our own clients."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._writer = writer

    async def read_request(self) -> h11.Request:
        try:
            event = await self.next_event()
        except h11.RemoteProtocolError:
            event = None
        if not isinstance(event, h11.Request):
            raise RefusedError(Refusal.REQUEST)
        return event

    async def next_event(self) -> Received:
        while (event := self.connection.next_event()) is h11.NEED_DATA:
            self.connection.receive_data(await self.read())
        return event

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK_BYTES)
        except OSError:
            raise _ClientGoneError from None

    async def send(self, event: h11.Event) -> None:
        await self.write(self.connection.send(event) or b"")

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise _ClientGoneError from None

    async def refuse(self, status: int) -> None:
        """Say no, unless an answer has begun: that one breaks off, so that nobody takes it for whole."""
        if self.connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("Content-Length", "0"), ("Connection", "close")]
        if status == _STATUS[Refusal.SECRET]:
            headers.append(("Proxy-Authenticate", "Basic"))
        await self.send(h11.Response(status_code=status, headers=headers))
        await self.send(h11.EndOfMessage())
        await self.finish()

    async def finish(self) -> None:
        """Close once everything written has been taken."""
        try:
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            raise _ClientGoneError from None

    def abort(self) -> None:
        self._writer.transport.abort()


class _Server:
    """The side that faces the outside: every byte is counted, and none may be long in coming."""

    def __init__(
        self, proxy: FetchProxy, lease: ProxyLease, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._permit = lease
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        async with asyncio.timeout(self._proxy.idle_seconds):
            data = await self._reader.read(_CHUNK_BYTES)
        self._proxy.bytes_in += len(data)
        self._permit.take_bytes(len(data))
        return data

    async def next_event(self, connection: h11.Connection) -> Received:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await self.read())
        return event

    async def write(self, data: bytes) -> None:
        self._proxy.bytes_out += len(data)
        self._writer.write(data)
        await self._writer.drain()

    def write_eof(self) -> None:
        self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers that go beyond a proxy."""
    named = {name: value for name, value in headers}
    dropped = set(_HOP_BY_HOP)
    dropped.update(token.strip().lower() for token in named.get(b"connection", b"").split(b","))
    if b"transfer-encoding" in named:
        dropped.add(b"content-length")  # it says nothing where the body is in chunks
    return [(name, value) for name, value in headers if name not in dropped]


def _password(header: bytes) -> bytes:
    """Password of a `Proxy-Authorization: Basic` header; empty if it is anything else."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(encoded, validate=True).partition(b":")[2]
    except ValueError:
        return b""


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone."""
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
