"""Access control on a real socket, in front of an app that answers every request."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer, TestClient

from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from web import addresses
from web.access import CONTENT_SECURITY_POLICY, FOLLOWED, AccessControl, RateLimiter
from web.addresses import visitor_of
from web.answers import Answers
from web.app import listen
from web.login import ALL_LOGINS_PER_MINUTE, LOGINS_PER_MINUTE, Login
from web.routes import Pages, add_routes
from web.sessions import Sessions
from web.settings import WebSettings
from web.static import Static

PASSWORD = "open sesame"
PAGE = "the page"
"""The body of every response of the app behind access control."""


class AppBehind:
    """Has a handler for every path of the page."""

    def __getattr__(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def respond(request: web.Request) -> web.Response:
            return web.Response(text=PAGE)

        return respond


Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve the page's paths with these settings, and give the address."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**given: object) -> str:
            settings = WebSettings(**given)
            sessions = login = None
            if settings.web_password is not None:
                sessions = Sessions(settings.web_password.get_secret_value(), tmp_path / "sessions")
                login = Login(settings, sessions, Static())
            app = web.Application()
            AccessControl(settings, sessions, Static()).protect(app)
            add_routes(app, cast(Pages, AppBehind()), cast(Answers, AppBehind()), login)
            sock = socket.create_server((given.get("http_host", "127.0.0.1"), 0))
            await stack.enter_async_context(listen(app, settings, sock))
            return f"http://127.0.0.1:{sock.getsockname()[1]}"

        yield start


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


@pytest.mark.parametrize(
    "path",
    ["/", "/en", "/en/", "/es/", "/static/page.js?v=1", "/static/page.css", "/favicon.ico", "/en/jobs/aB3-_"]
    + ["/en/jobs/aB3-_/events?silent=1", "/es/jobs/aB3-_/spectrogram.png", "/en/jobs/aB3-_/sound"]
    + ["/en/jobs/aB3-_/result.json", "/es/jobs/aB3-_/votes.png", f"/en/shared/{22 * 'a'}"],
)
async def test_paths_that_the_page_needs_are_served(serve: Serve, client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(await serve() + path) as response:
        assert (response.status, await response.text()) == (200, PAGE)


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/metrics",
        "/healthz",
        "/openapi.json",
        "/en/config",
        "/en/gradio_api/info",
        "/xx/",
        "/login",
        "/en/login",
        "/en/jobs",
        "/en/song",
    ]
    + [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/a/b.js",
        "/static/",
        "//en/",
        "/en//",
        "/en/../en/x",
        "/EN/",
    ]
    + [
        "/en/jobs/",
        "/en/jobs/../..",
        "/en/jobs/a.b",
        "/en/jobs/" + "a" * 65,
        "/en/jobs/a/cancel",
        "/%2e%2e/etc/passwd",
    ],
)
async def test_other_paths_are_not_found(serve: Serve, client: aiohttp.ClientSession, path: str) -> None:
    from yarl import URL

    async with client.get(URL(await serve() + path, encoded=True)) as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/", "/en/", "/en/jobs/a", "/en/jobs/a/events", "/static/page.js", "/en/upload"])
async def test_other_paths_take_nothing(serve: Serve, client: aiohttp.ClientSession, path: str) -> None:
    address = await serve()
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        async with client.request(method, address + path, data=b"{}") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "a b", "[::1"]
    + ["[:::]", "[1.2.3.4]", "[:::]:80"],
)
async def test_a_request_for_another_host_is_refused(
    serve: Serve, client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    async with client.get(await serve() + "/en/", headers={"Host": host}) as response:
        assert response.status in (400, 421)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
async def test_every_name_of_loopback_is_accepted(serve: Serve, client: aiohttp.ClientSession, host: str) -> None:
    async with client.get(await serve() + "/en/", headers={"Host": host}) as response:
        assert response.status == 200


async def test_behind_a_proxy_only_its_host_is_accepted(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_origin="https://genre.example.org", web_password=PASSWORD)
    for host, status in (("genre.example.org", 200), ("evil.example", 421)):
        async with client.get(address + "/login", headers={"Host": host}) as response:
            assert response.status == status


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_cross_site_post_is_refused(
    serve: Serve, client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    async with client.post(await serve() + "/en/jobs", data=b"{}", headers=headers) as response:
        assert response.status == 403


async def test_a_same_origin_post_is_accepted(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve()
    own = {"Origin": address, "Sec-Fetch-Site": "same-origin"}
    async with client.post(address + "/en/jobs", data=b"{}", headers=own) as response:
        assert response.status == 200


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(serve: Serve) -> None:
    address = await serve(max_file_mb=1)
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /es/song HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1048577\r\n\r\n".encode())
    response = (await asyncio.wait_for(reader.read(4096), 30)).decode()
    assert " 413 " in response.splitlines()[0]
    assert error_sentence(GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=1), "es") in response
    writer.close()


async def test_a_body_of_unknown_length_is_refused(serve: Serve, client: aiohttp.ClientSession) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x"

    async with client.post(await serve() + "/en/song", data=endless()) as response:
        assert response.status == 411


async def test_only_an_upload_may_be_large(serve: Serve, client: aiohttp.ClientSession) -> None:
    async with client.post(await serve() + "/en/jobs", data=bytes(70_000)) as response:
        assert response.status == 413


async def test_too_many_requests_are_told_when_to_retry(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_requests_per_minute=10)
    for _ in range(10):
        async with client.get(address + "/es/") as response:
            assert response.status == 200
    async with client.get(address + "/es/") as response:
        assert response.status == 429
        wait_s = int(response.headers["Retry-After"])
        assert 0 < wait_s <= 60
        sentence = error_sentence(GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), "es")
        assert await response.json() == {"error": sentence, "code": "cooldown", "retry_after": wait_s}
    async with client.get(address + "/static/page.js") as response:
        assert response.status == 200


async def test_who_follows_songs_has_a_limit_of_their_own(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_requests_per_minute=10)
    paths = ["/en/jobs/a", "/en/jobs/a?have=1", "/en/jobs/a/spectrogram.png", "/en/jobs/a/sound"]
    for number in range(10 * FOLLOWED):
        async with client.get(address + paths[number % len(paths)]) as response:
            assert response.status == 200
    for path in paths:
        async with client.get(address + path) as response:
            assert (response.status, 0 < int(response.headers["Retry-After"]) <= 60) == (429, True)
    for path in ("/en/", "/static/page.js"):  # who has followed too much can still ask, and the page still loads
        async with client.get(address + path) as response:
            assert response.status == 200


async def test_responses_carry_the_security_headers(serve: Serve, client: aiohttp.ClientSession) -> None:
    async with client.get(await serve() + "/en/") as response:
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "same-origin"


# ---- The password


@pytest.mark.parametrize("path", ["/en/jobs/a", "/static/page.js", "/en/jobs/a/events", "/en/jobs/a/spectrogram.png"])
async def test_nothing_is_served_without_the_password(serve: Serve, client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(await serve(web_password=PASSWORD) + path) as response:
        assert response.status == 401
        assert PAGE not in await response.text()


async def test_nothing_can_be_posted_without_the_password(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_password=PASSWORD)
    for path in ("/en/song", "/en/jobs"):
        async with client.post(address + path, data=b"x") as response:
            assert (response.status, await response.json()) == (401, {"error": translate("web.session-over", "en")})


async def test_the_page_redirects_to_the_login_and_the_password_opens_it(
    serve: Serve, client: aiohttp.ClientSession
) -> None:
    address = await serve(web_password=PASSWORD)
    async with client.get(address + "/", headers={"Accept-Language": "es"}) as response:
        assert response.url.path == "/es/login"
        assert "Contraseña" in await response.text()
    async with client.post(address + "/es/login", data={"password": "wrong"}) as response:
        assert response.status == 401
    async with client.post(address + "/es/login", data={"password": PASSWORD}) as response:
        assert (response.url.path, await response.text()) == ("/es/", PAGE)
        (redirect,) = response.history
        cookie = redirect.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert PASSWORD not in cookie


async def test_a_session_can_be_ended(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_password=PASSWORD)
    async with client.post(address + "/es/login", data={"password": PASSWORD}) as response:
        assert await response.text() == PAGE
        session = response.history[0].cookies["genregenie"].value
    async with client.post(address + "/es/logout") as response:
        assert response.url.path == "/es/login"
    async with client.get(address + "/en/jobs/a", headers={"Cookie": f"genregenie={session}"}) as response:
        assert response.status == 401


async def test_login_attempts_are_rate_limited(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_password=PASSWORD)
    for attempt in range(LOGINS_PER_MINUTE):
        async with client.post(address + "/en/login", data={"password": f"guess {attempt}"}) as response:
            assert response.status == 401
    async with client.post(address + "/en/login", data={"password": PASSWORD}) as response:
        assert response.status == 429


async def test_who_has_logged_in_before_is_not_locked_out_by_others(
    serve: Serve, client: aiohttp.ClientSession
) -> None:
    address = await serve(web_password=PASSWORD, web_origin="https://a.example")

    async def log_in(visitor: str, password: str) -> int:
        headers = {"Host": "a.example", "X-Forwarded-For": visitor}
        data = {"password": password}
        async with client.post(address + "/en/login", data=data, headers=headers, allow_redirects=False) as response:
            return response.status

    assert await log_in("192.0.2.1", PASSWORD) == 303
    guesses = [await log_in(f"198.51.100.{number}", "guess") for number in range(ALL_LOGINS_PER_MINUTE)]
    assert guesses == [401] * (ALL_LOGINS_PER_MINUTE - 1) + [429]
    assert await log_in("192.0.2.2", PASSWORD) == 429
    assert await log_in("192.0.2.1", PASSWORD) == 303
    own = [await log_in("192.0.2.1", "guess") for _ in range(LOGINS_PER_MINUTE - 1)]
    assert own == [401] * (LOGINS_PER_MINUTE - 2) + [429]  # whose own limit stays


async def test_a_visitor_reads_why_on_a_page_in_their_language(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_password=PASSWORD, web_requests_per_minute=10)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with client.get(address + "/es/jobs/a/spectrogram.png", headers=browser) as response:
        assert (response.status, response.content_type) == (401, "text/html")
        assert translate("web.session-over", "es") in await response.text()
    for _ in range(9):
        async with client.get(address + "/es/nothing", headers=browser) as response:
            assert (response.status, response.content_type) == (404, "text/html")
            assert translate("web.no-page", "es") in await response.text()
    async with client.get(address + "/es/", headers=browser) as response:
        assert (response.status, response.content_type) == (429, "text/html")
        wait_s = int(response.headers["Retry-After"])
        assert error_sentence(GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), "es") in await response.text()


async def test_a_made_up_cookie_does_not_help(serve: Serve, client: aiohttp.ClientSession) -> None:
    address = await serve(web_password=PASSWORD)
    async with client.get(address + "/en/jobs/a", headers={"Cookie": "genregenie=guess; genregenie="}) as response:
        assert response.status == 401


@pytest.mark.parametrize(("method", "status"), [("GET", 401), ("POST", 303)], ids=["page", "logout"])
async def test_a_cookie_that_is_no_text_is_no_session(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, status: int
) -> None:
    host = (await serve(web_password=PASSWORD)).removeprefix("http://")
    path = "/en/jobs/a" if method == "GET" else "/en/logout"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n"
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(head.encode() + b'Cookie: genregenie="\xff"\r\n\r\n')
    assert (await reader.readline()).split()[1] == str(status).encode()
    writer.close()
    assert "Traceback" not in caplog.text


def test_an_ipv6_network_is_one_visitor() -> None:
    assert visitor_of("2001:db8:1:2::a") == visitor_of("2001:db8:1:2:ffff::b") != visitor_of("2001:db8:1:3::a")
    assert visitor_of("192.0.2.1") != visitor_of("192.0.2.2")


@pytest.mark.parametrize(
    ("named", "visitor"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:51324", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:51324", "192.0.2.7"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("192.0.2.7, 127.0.0.1:80", "192.0.2.7"),  # the last is the proxy's own
        ("192.0.2.7, unknown", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("[]:80", "127.0.0.1"),
    ],
)
async def test_a_proxy_may_write_a_visitor_s_address_in_several_ways(named: str, visitor: str) -> None:
    settings = WebSettings(web_origin="https://a.example", web_password=PASSWORD)

    async def respond(request: web.BaseRequest) -> web.Response:
        return web.Response(text=addresses.visitor(request, settings))

    async with TestClient(RawTestServer(respond)) as proxy:
        answer = await proxy.get("/", headers={"X-Forwarded-For": named})
        assert await answer.text() == visitor


def test_a_rate_limit_resets_after_a_minute() -> None:
    now = 100.0
    limiter = RateLimiter(2, clock=lambda: now)
    assert [limiter.wait_s("a") for _ in range(3)] == [0, 0, 60]
    assert limiter.wait_s("b") == 0
    now += 59
    assert limiter.wait_s("a") == 1
    now += 1
    assert limiter.wait_s("a") == 0


def own_addresses() -> list[str]:
    found = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries]
    return [address for address in found if address.count(".") == 3 and not address.startswith("127.")]


@pytest.mark.skipif(not own_addresses(), reason="needs an address other than loopback")
@pytest.mark.parametrize("trusted", [True, False])
async def test_a_visitors_address_is_believed_of_the_reverse_proxy_alone(
    serve: Serve, client: aiohttp.ClientSession, trusted: bool
) -> None:
    address = own_addresses()[0]  # as a container's gateway is, it is not loopback
    given = {"web_trusted_proxy": address if trusted else "192.0.2.1"}
    bound = await serve(http_host="0.0.0.0", web_origin="https://a.example", web_requests_per_minute=10, **given)
    url = bound.replace("127.0.0.1", address) + "/en/"
    statuses = []
    for number in range(12):
        headers = {"Host": "a.example", "X-Forwarded-For": f"198.51.100.{number}"}
        async with client.get(url, headers=headers) as response:
            statuses.append(response.status)
    assert statuses == ([200] * 12 if trusted else [200] * 10 + [429] * 2)


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"])
@pytest.mark.parametrize("path", ["/", "/en/login", "/login"])
async def test_what_a_client_says_of_the_host_is_not_repeated(
    serve: Serve, client: aiohttp.ClientSession, name: str, path: str
) -> None:
    address = await serve(web_password=PASSWORD, web_origin="https://a.example")
    headers = {"Host": "a.example", name: "host=evil.example" if name == "Forwarded" else "evil.example"}
    async with client.get(address + path, headers=headers, allow_redirects=False) as response:
        assert response.status < 400
        assert "evil" not in f"{response.headers} {await response.text()}"


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("OPTIONS * HTTP/1.1", "", 404),
        ("CONNECT 127.0.0.1:22 HTTP/1.1", "", 404),
        ("POST /en/jobs HTTP/1.1", "Origin: http://[::1\r\n", 403),
    ],
)
async def test_odd_requests_are_refused_without_a_failure(
    serve: Serve, caplog: pytest.LogCaptureFixture, line: str, headers: str, status: int
) -> None:
    host = (await serve()).removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(f"{line}\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode())
    assert (await reader.readline()).split()[1] == str(status).encode()
    writer.close()
    assert "Traceback" not in caplog.text
