"""A forward proxy on loopback, through which everything is fetched.

Its clients are ours (aiohttp, the yt-dlp child), but the URLs that they follow are strangers': redirects, playlists
and embedded media all pass through here. Each request names a host; the proxy resolves it once, keeps the public
addresses and connects to the very address that it has checked, so that a name which resolves differently the next
time (DNS rebinding) gains nothing. HTTP is parsed and written anew by h11, so that none of a client's bytes reach a
server unparsed, and one connection carries one request.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import h11

from core.proxy.http_streams import (
    CHUNK_BYTES,
    MAX_HEAD_BYTES,
    ClientGoneError,
    ClientStream,
    Pace,
    ServerStream,
    WastefulError,
    basic_password,
    end_to_end_headers,
)
from core.proxy.interface import MAX_CONNECTIONS, Proxy
from core.proxy.lease import PATIENCE_SECONDS, ProxyLease
from core.proxy.networks import NAT64_NAME, IPNetwork, is_in, nat64_prefixes, on_link_networks
from core.proxy.url_policy import (
    IPAddress,
    Refusal,
    RefusedError,
    Target,
    is_local,
    is_public,
    parse_authority,
    parse_url,
)

logger = logging.getLogger(__name__)

Resolver = Callable[[str], Awaitable[Collection[str]]]
"""A host name → its addresses; `OSError` where there are none."""

_REQUEST_BODY_BYTES: Final = 1024 * 1024
_HEAD_SECONDS: Final = 20.0
_RESOLVE_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 10.0
_RESOLVE_THREADS: Final = 128
"""Names of a stranger's that never resolve hold a thread for half a minute each, and must not hold all of them."""

_MAX_ADDRESSES: Final = 4
_NAT64_SECONDS: Final = 600.0
_NAT64_RETRY_SECONDS: Final = 30.0
_NO_SUCH_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_ICY: Final = b"ICY "
_METHODS: Final = (b"GET", b"HEAD", b"POST", b"CONNECT")

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


class FetchProxy(Proxy):
    """The proxy itself.

    Args:
        allowed_hosts: `host:port` pairs that may be reached although they are private.
        blocked_networks: may not be reached although they are public, in CIDR notation.
        ca_file: one more trusted authority (PEM) for those who fetch through the proxy.
        max_seconds_per_connection: a connection is cut after this time, whatever it carries.
        idle_seconds: a connection is cut after this time without data from the server.
        patience_seconds: how long a job may wait for servers that send next to nothing.
        max_connections: open at one time, all jobs together.
        resolver: host name → addresses; None uses the system's.
        listener: a socket that listens already; None opens one.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Collection[str] = (),
        blocked_networks: Collection[str] = (),
        ca_file: Path | None = None,
        max_seconds_per_connection: float = 600.0,
        idle_seconds: float = 30.0,
        patience_seconds: float = PATIENCE_SECONDS,
        max_connections: int = 128,
        resolver: Resolver | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        super().__init__(allowed_hosts, ca_file)
        self._blocked: tuple[IPNetwork, ...] = tuple(ipaddress.ip_network(text) for text in blocked_networks)
        self._nat64: set[IPNetwork] | None = None
        self._nat64_known_until = 0.0
        self._max_seconds = max_seconds_per_connection
        self._idle_seconds = idle_seconds
        self._patience_seconds = patience_seconds
        self._max_connections = max_connections
        # Threads of its own: a name server that never answers must not block other work in threads.
        self._threads = ThreadPoolExecutor(_RESOLVE_THREADS, "resolve")
        self._resolve = resolver or self._resolve_by_system
        self._listener = listener
        self._leases: set[ProxyLease] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        listener = self._listener or listen_on_loopback()
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=CHUNK_BYTES)

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
        """The TCP port that the proxy listens on."""
        if self._server is None:
            raise RuntimeError("the proxy has not been started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @contextlib.asynccontextmanager
    async def lease(self, *, max_bytes: int, max_connections: int = MAX_CONNECTIONS) -> AsyncIterator[ProxyLease]:
        """Let one job use the proxy, as `Proxy.lease` says."""
        lease = ProxyLease(max_bytes, max_connections, patience_seconds=self._patience_seconds)
        self.open_lease(lease)
        try:
            yield lease
        finally:
            await self.close_lease(lease)

    def open_lease(self, lease: ProxyLease) -> None:
        """Accept a job's secret."""
        self._leases.add(lease)

    async def close_lease(self, lease: ProxyLease) -> None:
        """Cut a job's connections and accept its secret no longer."""
        self._leases.discard(lease)
        await _cancel(lease.tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client in a task that `close` and the end of its job can cancel."""
        if len(self._tasks) >= self._max_connections:
            self.refusals[Refusal.CONNECTIONS] += 1
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(ClientStream(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: ClientStream) -> None:
        lease: ProxyLease | None = None
        try:
            async with asyncio.timeout(self._max_seconds):
                async with asyncio.timeout(_HEAD_SECONDS):
                    request = await _read_request(client)
                lease = self._find_lease(request)
                task = asyncio.current_task()
                assert task is not None  # noqa: S101 -- a coroutine of this class always runs in one
                lease.tasks.add(task)
                task.add_done_callback(lease.tasks.discard)
                lease.count_connection()
                await self._handle(client, request, lease)
                await client.close()
        except ClientGoneError:
            pass  # it has read enough, or was killed
        except RefusedError as error:
            await self._refuse(client, error.reason, lease)
        except TimeoutError:
            await self._refuse(client, Refusal.TIME, lease)
        except (OSError, WastefulError, h11.ProtocolError):
            # The server closed the connection, or one of the two does not speak HTTP, or wastes our time.
            await self._refuse(client, Refusal.UNREACHABLE, lease)
        finally:
            client.abort()

    def _find_lease(self, request: h11.Request) -> ProxyLease:
        """Find the lease whose secret is in the request."""
        password = basic_password(dict(request.headers).get(b"proxy-authorization", b""))
        for lease in self._leases:
            if hmac.compare_digest(lease.secret.encode(), password):
                return lease
        raise RefusedError(Refusal.SECRET)

    async def _handle(self, client: ClientStream, request: h11.Request, lease: ProxyLease) -> None:
        if request.method not in _METHODS:
            raise RefusedError(Refusal.REQUEST)
        text = request.target.decode("ascii")
        if request.method == b"CONNECT":
            target = parse_authority(text, None, self.allowed_hosts)
        elif text.lower().startswith("http://"):
            target = parse_url(text, self.allowed_hosts)
        else:
            raise RefusedError(Refusal.REQUEST)
        async with lease.waiting():
            reader, writer = await self._connect(target)
        server = ServerStream(
            reader,
            writer,
            idle_seconds=self._idle_seconds,
            lease=lease,
            on_received=self._count_received,
            on_sent=self._count_sent,
        )
        try:
            if request.method == b"CONNECT":
                await self._tunnel(client, server)
            else:
                await self._forward(client, server, request, target)
        finally:
            server.abort()

    def _count_received(self, count: int) -> None:
        self.bytes_in += count

    def _count_sent(self, count: int) -> None:
        self.bytes_out += count

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first of the target's checked addresses that answers."""
        for address in await self._addresses(target):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    streams = await asyncio.open_connection(str(address), target.port, limit=CHUNK_BYTES)
            except (OSError, TimeoutError):
                continue
            self.connections += 1
            return streams
        raise RefusedError(Refusal.UNREACHABLE)

    async def _addresses(self, target: Target) -> list[IPAddress]:
        """Resolve a target once and keep the addresses that may be reached.

        Raises:
            RefusedError: there are no addresses (`NAME`), or none of them is public (`ADDRESS`).
        """
        if target.address is not None:
            found = [target.address]
        else:
            try:
                found = [ipaddress.ip_address(text) for text in await self._resolve_in_time(target.host)]
            except (OSError, TimeoutError, ValueError):
                raise RefusedError(Refusal.NAME) from None
        if not found:
            raise RefusedError(Refusal.NAME)
        if not target.allowed:
            found = [address for address in found if is_public(address) and not is_local(address)]
            found = await self._far(found)
        if not found:
            raise RefusedError(Refusal.ADDRESS)
        return found[:_MAX_ADDRESSES]

    async def _far(self, addresses: list[IPAddress]) -> list[IPAddress]:
        """Keep the addresses that are not in a network of ours: on the link, behind a NAT64, or blocked by name."""
        if not addresses:
            return []
        try:
            near = on_link_networks()
        except OSError as error:
            logger.error("Cannot list this machine's networks, so no address is known to be outside: %s", error)
            return []
        if any(address.version == 6 for address in addresses):
            behind = await self._nat64_networks()
            if behind is None:  # no IPv6 address is known to be outside
                addresses = [address for address in addresses if address.version == 4]
            else:
                near |= behind
        return [address for address in addresses if not is_in(address, near) and not is_in(address, self._blocked)]

    async def _nat64_networks(self) -> set[IPNetwork] | None:
        """Ask every ten minutes for the prefixes behind which this network has a NAT64 (RFC 7050).

        Returns:
            Those of the last answer; None as long as there was none.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._nat64_known_until:
            seconds = _NAT64_SECONDS
            try:
                self._nat64 = nat64_prefixes(await self._resolve_in_time(NAT64_NAME))
            except (OSError, TimeoutError) as error:
                if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
                    self._nat64 = set()
                else:
                    seconds = _NAT64_RETRY_SECONDS
            self._nat64_known_until = now + seconds
        return self._nat64

    async def _resolve_in_time(self, host: str) -> Collection[str]:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            return await self._resolve(host)

    async def _resolve_by_system(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        lookup = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        return [str(info[4][0]) for info in await loop.run_in_executor(self._threads, lookup)]

    async def _tunnel(self, client: ClientStream, server: ServerStream) -> None:
        """Answer CONNECT and forward bytes both ways until the server is done."""
        if not isinstance(await client.next_event(), h11.EndOfMessage):
            raise RefusedError(Refusal.REQUEST)
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        upload = asyncio.create_task(self._upload(client, server))
        try:
            while data := await server.read():
                await client.write(data)
        finally:
            await _cancel({upload})

    async def _upload(self, client: ClientStream, server: ServerStream) -> None:
        await server.write(client.connection.trailing_data[0])
        while data := await client.read():
            await server.write(data)
        server.write_eof()

    async def _forward(self, client: ClientStream, server: ServerStream, request: h11.Request, target: Target) -> None:
        """Send one plain request, rebuilt from its parsed parts, and forward the response."""
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        headers = [
            (b"Host", target.authority.encode()),
            *end_to_end_headers(request.headers),
            (b"Connection", b"close"),
        ]
        start = h11.Request(method=request.method, target=target.path, headers=headers)
        await server.write(connection.send(start) or b"")
        sent = 0
        pace = Pace()
        while isinstance(event := await client.next_event(), h11.Data):
            await pace.count(event)
            sent += len(event.data)
            if sent > _REQUEST_BODY_BYTES:
                raise RefusedError(Refusal.BYTES)
            await server.write(connection.send(event) or b"")
        await server.write(connection.send(h11.EndOfMessage()) or b"")
        await self._send_response(client, server, connection)

    async def _send_response(self, client: ClientStream, server: ServerStream, connection: h11.Connection) -> None:
        """Forward a response, as much of its body at a time as has come: one write for many small chunks."""
        pace = Pace()
        body = bytearray()
        connection.receive_data(await _first_data(server))
        while True:
            event = connection.next_event()
            if body and not (isinstance(event, h11.Data) and len(body) < CHUNK_BYTES):
                await client.send(h11.Data(data=bytes(body)))
                body.clear()
            if event is h11.NEED_DATA:
                connection.receive_data(await server.read())
                continue
            await pace.count(event)
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.Response):
                headers = [*end_to_end_headers(event.headers), (b"Connection", b"close")]
                await client.send(h11.Response(status_code=event.status_code, headers=headers))
            elif isinstance(event, h11.EndOfMessage):
                await client.send(event)
                return
            elif not isinstance(event, h11.InformationalResponse):
                raise RefusedError(Refusal.UNREACHABLE)

    async def _refuse(self, client: ClientStream, reason: Refusal, lease: ProxyLease | None) -> None:
        """Count a refusal, and answer with its status if no response has begun."""
        self.refusals[reason] += 1
        if lease is not None:
            lease.refusals[reason] += 1
        logger.debug("Refused a request: %s", reason)
        with contextlib.suppress(ClientGoneError, TimeoutError, h11.ProtocolError):
            async with asyncio.timeout(1.0):
                await client.send_error(_STATUS[reason])


async def _first_data(server: ServerStream) -> bytes:
    """Read the beginning of a response, with HTTP's status line where a radio station has SHOUTcast's `ICY 200 OK`."""
    data = await server.read()
    while _ICY.startswith(data) and data != _ICY and (more := await server.read()):
        data += more
    return b"HTTP/1.0 " + data.removeprefix(_ICY) if data.startswith(_ICY) else data


async def _read_request(client: ClientStream) -> h11.Request:
    try:
        event = await client.next_event()
    except h11.RemoteProtocolError:
        event = None
    if not isinstance(event, h11.Request):
        raise RefusedError(Refusal.REQUEST)
    return event


def listen_on_loopback() -> socket.socket:
    """Open a socket that listens on a free port of loopback."""
    return socket.create_server(("127.0.0.1", 0), backlog=100)


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end."""
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
