"""The door on a real socket, before a page that says yes to everything."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from web.access import GUESSES_PER_MINUTE, POLICY, AccessMiddleware, RateLimiter, visitor_of
from web.settings import WebSettings

PASSWORD = "open sesame"
INSIDE = "inside"
"""What the page behind the door answers to whatever it is asked."""


async def willing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await PlainTextResponse(INSIDE)(scope, receive, send)


Open = Callable[..., "asyncio.Future[str]"]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Open a door with these settings; gives its address."""
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def opening(**settings: object) -> str:
        door = AccessMiddleware(willing, WebSettings(**settings))
        server = uvicorn.Server(uvicorn.Config(door, lifespan="off", log_config=None, access_log=False, ws="none"))
        sock = socket.create_server(("127.0.0.1", 0))
        servers.append((server, asyncio.create_task(server.serve([sock]))))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"

    yield opening
    for server, task in servers:
        server.should_exit = True
        await task


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


@pytest.mark.parametrize(
    "path",
    ["/", "/en/", "/es/", "/en/assets/index-1.js", "/en/static/a/b.png", "/en/theme.css", "/en/config", "/favicon.ico"]
    + ["/en/gradio_api/queue/data?session_hash=a", "/en/gradio_api/heartbeat/abc1"],
)
async def test_what_the_page_needs_is_there(opened: Open, client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(await opened() + path) as answer:
        assert (answer.status, await answer.text()) == (200, INSIDE)


@pytest.mark.parametrize(
    "path",
    ["/docs", "/openapi.json", "/en/monitoring", "/en/gradio_api/info", "/en/gradio_api/file=/etc/passwd"]
    + ["/en/gradio_api/proxy=http://127.0.0.1/", "/en/gradio_api/openapi.json", "/en/gradio_api/runs", "/fr/", "/login"]
    + ["/en/gradio_api/stream/a/1/1/playlist.m3u8", "/en/assets/../config", "/en/gradio_api/token", "/en/dev/reload"],
)
async def test_what_it_does_not_need_is_not(opened: Open, client: aiohttp.ClientSession, path: str) -> None:
    from yarl import URL

    async with client.get(URL(await opened() + path, encoded=True)) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "path",
    ["/en/gradio_api/upload", "/en/gradio_api/component_server", "/en/gradio_api/vibe-code", "/en/gradio_api/call/hear"]
    + ["/en/gradio_api/run/hear", "/en/gradio_api/process_recording", "/en/gradio_api/api/hear", "/en/"],
)
async def test_gradio_s_other_ways_in_are_closed(opened: Open, client: aiohttp.ClientSession, path: str) -> None:
    async with client.post(await opened() + path, data=b"{}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "a b", "[::1"])
async def test_another_name_for_this_machine_is_turned_away(
    opened: Open, client: aiohttp.ClientSession, host: str
) -> None:
    async with client.get(await opened() + "/en/", headers={"Host": host}) as answer:
        assert answer.status in (400, 421)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
async def test_loopback_has_several_names(opened: Open, client: aiohttp.ClientSession, host: str) -> None:
    async with client.get(await opened() + "/en/", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_behind_a_proxy_only_its_name_counts(opened: Open, client: aiohttp.ClientSession) -> None:
    address = await opened(web_origin="https://genre.example.org", web_password=PASSWORD)
    for host, status in (("genre.example.org", 200), ("evil.example", 421)):
        async with client.get(address + "/login", headers={"Host": host}) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_other_sites_cannot_send_for_a_visitor(
    opened: Open, client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    async with client.post(await opened() + "/en/gradio_api/queue/join", data=b"{}", headers=headers) as answer:
        assert answer.status == 403


async def test_our_own_page_can(opened: Open, client: aiohttp.ClientSession) -> None:
    address = await opened()
    own = {"Origin": address, "Sec-Fetch-Site": "same-origin"}
    async with client.post(address + "/en/gradio_api/queue/join", data=b"{}", headers=own) as answer:
        assert answer.status == 200


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(opened: Open) -> None:
    address = await opened(max_file_mb=1)
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /es/song HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1048577\r\n\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(4096), 30)).decode()
    assert " 413 " in answer.splitlines()[0]
    assert error_sentence(GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=1), "es") in answer
    writer.close()


async def test_a_body_of_unknown_length_is_refused(opened: Open, client: aiohttp.ClientSession) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x"

    async with client.post(await opened() + "/en/song", data=endless()) as answer:
        assert answer.status == 411


async def test_what_is_no_song_may_only_be_small(opened: Open, client: aiohttp.ClientSession) -> None:
    async with client.post(await opened() + "/en/gradio_api/queue/join", data=bytes(70_000)) as answer:
        assert answer.status == 413


async def test_too_many_requests_are_asked_to_wait(opened: Open, client: aiohttp.ClientSession) -> None:
    address = await opened(web_requests_per_minute=10)
    for _ in range(10):
        async with client.get(address + "/es/") as answer:
            assert answer.status == 200
    async with client.get(address + "/es/") as answer:
        assert answer.status == 429
        wait_s = int(answer.headers["Retry-After"])
        assert 0 < wait_s <= 60
        sentence = error_sentence(GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), "es")
        assert (await answer.json())["error"] == sentence
    async with client.get(address + "/es/assets/a.js") as answer:
        assert answer.status == 200


async def test_a_browser_is_told_to_do_nothing_but_what_the_page_needs(
    opened: Open, client: aiohttp.ClientSession
) -> None:
    async with client.get(await opened() + "/en/") as answer:
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


# ---- The password


@pytest.mark.parametrize(
    "path", ["/en/config", "/en/assets/a.js", "/en/gradio_api/queue/data", "/en/gradio_api/heartbeat/a"]
)
async def test_without_the_password_nothing_is_given(opened: Open, client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(await opened(web_password=PASSWORD) + path) as answer:
        assert answer.status == 401
        assert INSIDE not in await answer.text()


async def test_without_the_password_nothing_can_be_sent(opened: Open, client: aiohttp.ClientSession) -> None:
    address = await opened(web_password=PASSWORD)
    for path in ("/en/song", "/en/gradio_api/queue/join"):
        async with client.post(address + path, data=b"x") as answer:
            assert answer.status == 401


async def test_the_page_leads_to_the_door_and_the_password_opens_it(
    opened: Open, client: aiohttp.ClientSession
) -> None:
    address = await opened(web_password=PASSWORD)
    async with client.get(address + "/", headers={"Accept-Language": "es"}) as answer:
        assert answer.url.path == "/es/login"
        assert "Contraseña" in await answer.text()
    async with client.post(address + "/es/login", data={"password": "wrong"}) as answer:
        assert answer.status == 401
    async with client.post(address + "/es/login", data={"password": PASSWORD}) as answer:
        assert (answer.url.path, await answer.text()) == ("/es/", INSIDE)
        (opening,) = answer.history
        cookie = opening.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert PASSWORD not in cookie


async def test_guessing_is_slowed_down(opened: Open, client: aiohttp.ClientSession) -> None:
    address = await opened(web_password=PASSWORD)
    for guess in range(GUESSES_PER_MINUTE):
        async with client.post(address + "/en/login", data={"password": f"guess {guess}"}) as answer:
            assert answer.status == 401
    async with client.post(address + "/en/login", data={"password": PASSWORD}) as answer:
        assert answer.status == 429


async def test_a_made_up_cookie_does_not_help(opened: Open, client: aiohttp.ClientSession) -> None:
    address = await opened(web_password=PASSWORD)
    async with client.get(address + "/en/config", headers={"Cookie": "genregenie=guess; genregenie="}) as answer:
        assert answer.status == 401


def test_an_ipv6_house_is_one_visitor() -> None:
    assert visitor_of("2001:db8:1:2::a") == visitor_of("2001:db8:1:2:ffff::b") != visitor_of("2001:db8:1:3::a")
    assert visitor_of("192.0.2.1") != visitor_of("192.0.2.2")


def test_a_meter_forgets_after_a_minute() -> None:
    now = 100.0
    meter = RateLimiter(2, clock=lambda: now)
    assert [meter.wait_s("a") for _ in range(3)] == [0, 0, 60]
    assert meter.wait_s("b") == 0
    now += 59
    assert meter.wait_s("a") == 1
    now += 1
    assert meter.wait_s("a") == 0
