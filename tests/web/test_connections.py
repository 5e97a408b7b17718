"""Connections on a real socket: framing that is ambiguous, clients that take their time, and those that open many."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web as http

import web.bodies
import web.connections
from tests.support.processes import eventually
from web.access import MAX_JSON_BYTES, AccessControl
from web.app import listen
from web.bodies import read_body
from web.settings import WebSettings
from web.static import Static

Serve = Callable[..., Awaitable[int]]
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve an app that reads every body, and give its port."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**given: object) -> int:
            async def respond(request: http.Request) -> http.Response:
                return http.Response(text=f"{len(await read_body(request))} bytes")

            settings = WebSettings(**given)
            app = http.Application(client_max_size=MAX_JSON_BYTES)
            AccessControl(settings, None, Static()).protect(app)
            app.router.add_route("*", "/", respond)
            sock = socket.create_server(("127.0.0.1", 0))
            await stack.enter_async_context(listen(app, settings, sock))
            return int(sock.getsockname()[1])

        yield start


async def ask(port: int, sent: bytes, seconds: float = 30) -> bytes:
    """Send bytes, and give what comes until the connection is closed, or nothing comes for a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        writer.write(sent)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := await asyncio.wait_for(reader.read(65_536), seconds if not got else 1):
                got += chunk
    finally:
        writer.close()
    return got


async def is_closed(reader: asyncio.StreamReader, seconds: float = 15) -> bool:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    return True


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length : 5",
        " Content-Length: 5",
        "Content-Length: 5\r\n Transfer-Encoding: chunked",
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "X: y",
    ],
)
async def test_a_body_whose_length_is_not_certain_is_refused(serve: Serve, head: str) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n" + HEAD
    got = await ask(await serve(), f"POST / HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode() + body)
    status = got.split(b" ", 2)[1]
    assert status in (b"400", b"411"), got
    assert b"bytes" not in got


async def test_a_chunked_flood_is_not_taken_in(serve: Serve) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", await serve())
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(2_000):
            writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
            await writer.drain()
            sent += 65_536
    assert sent < 16 * 2**20
    writer.close()


async def test_a_compressed_body_is_not_unpacked(serve: Serve) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"
    assert (await ask(await serve(), head + b"hello")).endswith(b"5 bytes")


async def test_a_client_that_never_finishes_its_head_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.connections, "IDLE_S", 1.0)
    port = await serve()
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", HEAD):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        writer.write(sent)
        if sent == HEAD:
            await reader.readuntil(b"0 bytes")
        dribble = asyncio.create_task(keep_writing(writer) if sent.endswith(b"X: ") else asyncio.sleep(0))
        assert await is_closed(reader)
        assert time.monotonic() - began >= 0.9
        dribble.cancel()
        writer.close()


async def keep_writing(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.1)


async def test_a_body_that_does_not_arrive_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.bodies, "BODY_TIMEOUT_S", 0.2)
    sent = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell"
    assert b" 408 " in (await ask(await serve(), sent)).splitlines()[0]


async def test_who_opens_many_connections_closes_their_own(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.connections, "MAX_PER_ADDRESS", 10)
    port = await serve()
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
    for _ in range(5):
        assert (await ask(port, HEAD)).endswith(b"0 bytes")
    assert await is_closed(opened[0][0])
    for _, writer in opened:
        writer.close()


async def test_idle_connections_make_room_for_other_visitors(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.connections, "MAX_CONNECTIONS", 10)
    port = await serve(web_origin="https://genre.example.org", web_password="open sesame")  # a proxy has no share
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
    await eventually(lambda: opened[0][0].at_eof())
    assert (await ask(port, HEAD)).endswith(b"0 bytes")
    for _, writer in opened:
        writer.close()


async def test_busy_connections_are_not_closed_for_new_ones(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.connections, "MAX_PER_ADDRESS", 3)
    port = await serve()
    busy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    for _, writer in busy:
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhell")
    await asyncio.sleep(0.5)
    assert b" 503 " in (await ask(port, HEAD)).splitlines()[0]
    for reader, writer in busy:
        writer.write(b"o")
        await asyncio.wait_for(reader.readuntil(b"5 bytes"), 15)
        writer.close()
