"""Servers on loopback that behave as strangers' servers do, and one that nobody may reach."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Behaviour = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, and the means to answer it byte by byte."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def respond(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        kind: str = "text/html",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer whole, with the right length."""
        fields = {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields.items())]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if self.method == "HEAD" else body))

    async def redirect(self, to: str) -> None:
        await self.respond(status=302, headers={"Location": to})

    async def media(self, body: bytes, kind: str = "audio/mpeg", *, ranges: bool = True) -> None:
        """Answer with a file as a media server does, with ranges by default."""
        wanted = self.headers.get("range", "")
        if not ranges or not wanted.startswith("bytes="):
            await self.respond(body, kind=kind, headers={"Accept-Ranges": "bytes"} if ranges else None)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first or 0), min(int(last or len(body) - 1), len(body) - 1)
        span = {"Content-Range": f"bytes {start}-{end}/{len(body)}"}
        await self.respond(body[start : end + 1], status=206, kind=kind, headers=span)


@dataclass
class Server:
    """An HTTP server whose every path behaves as its route says.

    Attributes:
        port: on 127.0.0.1.
        connections: that have reached it.
        requests: received so far: method, target.
        routes: path, without query → behaviour; a path that ends in `*` serves all that begin like it.
    """

    port: int = 0
    connections: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    routes: dict[str, Behaviour] = field(default_factory=dict)
    secure: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _received: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}{path}"

    def serve(self, path: str, body: bytes | str, kind: str = "text/html") -> str:
        """Answer a path with a text or a file, and return its URL."""
        data = body.encode() if isinstance(body, str) else body
        self.routes[path] = lambda exchange: exchange.media(data, kind)
        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        self.routes[path] = lambda exchange: exchange.redirect(to)
        return self.url(path)

    def _behaviour(self, target: str) -> Behaviour | None:
        path = target.partition("?")[0]
        if path in self.routes:
            return self.routes[path]
        return next(
            (route for name, route in self.routes.items() if name.endswith("*") and path.startswith(name[:-1])),
            None,
        )

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                method, target, _ = first.split(" ", 2)
                fields = (line.partition(":") for line in lines)
                headers = {name.lower(): value.strip() for name, _, value in fields}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((method, target))
                self._received.set()
                exchange = Exchange(method, target, headers, body, writer)
                behaviour = self._behaviour(target)
                if behaviour is None:
                    await exchange.respond(b"nothing here", status=404)
                else:
                    await behaviour(exchange)
                if headers.get("connection") == "close":
                    break
        except (OSError, EOFError):
            pass  # the client has gone, or the behaviour was to break off
        finally:
            writer.close()

    async def wait_for_requests(self, count: int = 1) -> None:
        async with asyncio.timeout(120):
            while len(self.requests) < count:
                self._received.clear()
                await self._received.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def running_server(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server on a free port of loopback."""
    server = Server(secure=context is not None)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
