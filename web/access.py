"""Access control in front of the page: allowed hosts and paths, rate limits, body sizes, the password.

Gradio serves many more paths than this page needs (a proxy, a component server, recordings, logs), so every path that
is not listed here is a 404.
"""

import hmac
import ipaddress
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import too_large
from core.i18n.catalog import error_sentence
from core.i18n.languages import locales
from web.languages import accepted_locale
from web.settings import WebSettings, is_loopback
from web.view import login_html

SESSION_COOKIE: Final = "genregenie"
SESSION_S: Final = 30 * 86_400
MAX_TRACKED: Final = 10_000
"""Visitors that a rate limiter counts, and sessions that are logged in, at most; the oldest are dropped first."""

LOGINS_PER_MINUTE: Final = 5
"""Login attempts from one address."""

ALL_LOGINS_PER_MINUTE: Final = 60
"""Login attempts from all addresses together."""

MAX_JSON_BYTES: Final = 64 * 1024
MAX_LOGIN_BYTES: Final = 4 * 1024

_LOCALES: Final = "|".join(map(re.escape, locales()))
_STATIC_PATHS: Final = re.compile(
    rf"/(?:{_LOCALES})/(?:assets|static)/(?!.*\.\.)[\w./-]+|/(?:{_LOCALES})/theme\.css|/favicon\.ico|/manifest\.json"
)
"""Scripts, styles and images: the same for every visitor, and not counted against the rate limit."""

_PAGE_PATHS: Final = re.compile(rf"/(?:(?:{_LOCALES})/?)?")
_GET_PATHS: Final = re.compile(rf"/(?:{_LOCALES})/(?:config|gradio_api/(?:startup-events|queue/data|heartbeat/[\w-]+))")
_POST_PATHS: Final = re.compile(rf"/(?:{_LOCALES})/gradio_api/(?:queue/join|cancel|reset)")
_UPLOAD_PATH: Final = re.compile(rf"/(?:{_LOCALES})/song")

# Gradio's components compile their templates in the browser, hence unsafe-eval. Nothing is loaded from other hosts.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


def visitor_of(address: str) -> str:
    """Visitor that an address stands for: itself, or its /64 network under IPv6, where one household has them all."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


class RateLimiter:
    """Limits how often each visitor may do something, in windows of one minute.

    Args:
        limit: times a minute.
        clock: monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, visitor: str) -> int:
        """Count one more attempt; 0 if it is within the limit, else the seconds until the next one will be."""
        now = self._clock()
        began, count = self._windows.pop(visitor, (now, 0))
        if now - began >= 60:
            began, count = now, 0
        self._windows[visitor] = (began, min(count + 1, self._limit + 1))
        if len(self._windows) > MAX_TRACKED:
            self._windows.popitem(last=False)
        return math.ceil(began + 60 - now) if count >= self._limit else 0


class AccessMiddleware:
    """ASGI middleware that lets a request through to the page or refuses it.

    Args:
        app: the page.
        settings: limits, the password, and the address visitors use.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._settings = settings
        self._requests = RateLimiter(settings.web_requests_per_minute)
        self._logins = RateLimiter(LOGINS_PER_MINUTE)
        self._all_logins = RateLimiter(ALL_LOGINS_PER_MINUTE)
        self._sessions: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the page, or respond in its place."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._intercept(request)
        app = self._app if response is None else response
        await app(scope, receive, _with_security_headers(send))

    async def _intercept(self, request: Request) -> Response | None:
        """Return the response to a request that must not reach the page; None lets it through."""
        path, method = request.url.path, request.method
        if not self._is_own_host(request.headers.get("host", "")):
            return PlainTextResponse("This page is not here.", 421)
        if _STATIC_PATHS.fullmatch(path) and method in ("GET", "HEAD"):
            return None if self._is_logged_in(request) else PlainTextResponse("", 401)
        locale = _locale_of(request)
        wait_s = self._requests.wait_s(_visitor(request))
        if wait_s:
            return _error_response(GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), locale, 429, wait_s)
        if method == "POST" and not self._is_same_origin(request.headers):
            return PlainTextResponse("", 403)
        if path.endswith("/login") and path.count("/") <= 2 and self._settings.web_password is not None:
            return await self._login(request, locale)
        if not _is_allowed_path(method, path):
            return PlainTextResponse("There is no such page.", 404)
        if not self._is_logged_in(request):
            if method != "POST" and _PAGE_PATHS.fullmatch(path):
                return RedirectResponse(f"/{locale}/login", 303)
            return _error_response(GenreGenieError(ErrorCode.LOGIN_REQUIRED), locale, 401)
        return self._check_body(request, locale)

    def _is_own_host(self, host: str) -> bool:
        """Whether the Host header names this page: DNS rebinding makes other sites' names point to this machine."""
        name = (urlsplit(f"//{host}").hostname or "") if _is_host(host) else ""
        origin = self._settings.web_origin
        if origin is not None:
            return host.lower() == urlsplit(origin).netloc or is_loopback(name)
        return is_loopback(name) or (bool(name) and not is_loopback(self._settings.http_host))

    def _is_same_origin(self, headers: Headers) -> bool:
        """Whether the page itself sends this; other sites' scripts cannot leave the Origin header out."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        return origin.lower() == self._settings.web_origin or urlsplit(origin).netloc == headers.get("host")

    def _check_body(self, request: Request, locale: str) -> Response | None:
        if request.method != "POST":
            return None
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("", 411)
        is_upload = _UPLOAD_PATH.fullmatch(request.url.path) is not None
        if int(length) > (self._settings.max_file_bytes if is_upload else MAX_JSON_BYTES):
            return _error_response(too_large(self._settings), locale, 413)
        return None

    # ---- The password

    def _is_logged_in(self, request: Request) -> bool:
        if self._settings.web_password is None:
            return True
        session = _session_cookie(request)
        expires = self._sessions.get(session) if session else None
        return expires is not None and expires > time.monotonic()

    async def _login(self, request: Request, locale: str) -> Response:
        if request.method != "POST":
            return HTMLResponse(login_html(locale, wrong=False))
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_LOGIN_BYTES:
            return PlainTextResponse("", 413)
        wait_s = self._logins.wait_s(_visitor(request)) or self._all_logins.wait_s("all")
        if wait_s:
            page = login_html(locale, wrong=True, wait_s=wait_s)
            return HTMLResponse(page, 429, headers={"Retry-After": str(wait_s)})
        try:
            form = parse_qs((await request.body()).decode("utf-8", "replace"))
        except ClientDisconnect:
            return PlainTextResponse("", 400)
        password = self._settings.web_password
        expected = password.get_secret_value() if password else ""
        if not hmac.compare_digest(form.get("password", [""])[0].encode(), expected.encode()):
            return HTMLResponse(login_html(locale, wrong=True), 401)
        session = secrets.token_urlsafe(32)
        self._sessions[session] = time.monotonic() + SESSION_S
        if len(self._sessions) > MAX_TRACKED:
            self._sessions.popitem(last=False)
        response = RedirectResponse(f"/{locale}/", 303)
        secure = (self._settings.web_origin or "").startswith("https:")
        response.set_cookie(SESSION_COOKIE, session, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)
        return response


def _is_allowed_path(method: str, path: str) -> bool:
    if method in ("GET", "HEAD"):
        return any(allowed.fullmatch(path) for allowed in (_PAGE_PATHS, _GET_PATHS))
    return method == "POST" and any(allowed.fullmatch(path) for allowed in (_POST_PATHS, _UPLOAD_PATH))


def _is_host(host: str) -> bool:
    """Whether a Host header is well formed: a name or an address, and maybe a port."""
    return re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", host) is not None


def _locale_of(request: Request) -> str:
    first = request.url.path.split("/")[1]
    return first if first in locales() else accepted_locale(request.headers.get("accept-language"))


def _visitor(request: Request) -> str:
    return visitor_of(request.client.host if request.client else "")


def _session_cookie(request: Request) -> str | None:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _error_response(error: GenreGenieError, locale: str, status: int, wait_s: int = 0) -> Response:
    headers = {"Retry-After": str(wait_s)} if wait_s else None
    return JSONResponse({"error": error_sentence(error, locale)}, status, headers=headers)


def _with_security_headers(send: Send) -> Send:
    """Add the headers that restrict what a browser lets the page do."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            # Not no-referrer: it would strip the Origin header from our own forms too.
            headers["Referrer-Policy"] = "same-origin"
            headers["Permissions-Policy"] = "microphone=(self), camera=(), geolocation=()"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
        await send(message)

    return send_with_headers
