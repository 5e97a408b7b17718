"""Access control in front of the page: allowed hosts, rate limits, framing and sizes of bodies, the password."""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from logging import getLogger
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import too_large
from core.i18n.catalog import error_sentence, translate
from core.i18n.languages import locales
from web.addresses import visitor
from web.bodies import as_json
from web.connections import Connection
from web.languages import accepted_locale
from web.sessions import Sessions
from web.settings import WebSettings, is_loopback
from web.static import Static
from web.view import error_html

log = getLogger(__name__)

SESSION_COOKIE: Final = "genregenie"
MAX_TRACKED: Final = 10_000
"""Visitors that a rate limiter counts at most; the oldest are dropped first."""

MAX_JSON_BYTES: Final = 64 * 1024

OPEN: Final = "open"
"""Routes that need no password: the login, and what it looks like."""

ASSET: Final = "asset"
"""Routes that need no password and are not counted: what the page of a shared answer looks like."""

FREE: Final = "free"
"""Routes that are not counted against the rate limit: the page's script, and its example."""

FOLLOW: Final = "follow"
"""Routes with a rate limit of their own: how a song is getting on, what it looks like and how it sounds."""

FOLLOWED: Final = 10
"""How many times as many of these requests a visitor has: twenty tabs that poll each second stay within them."""

PAGE: Final = "page"
"""Routes that lead to the login where there is no session."""

UPLOAD: Final = "upload"
"""Routes whose bodies are songs."""

BEARER: Final = "bearer"
"""Routes that ask for a token themselves; their bodies are songs too."""

API: Final = "api"
"""All other routes."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: it would strip the Origin header from our own forms too.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


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


class AccessControl:
    """Lets a request through to the page or refuses it.

    Args:
        settings: limits, and the address visitors use.
        sessions: those that are logged in; None where there is no password.
        files: what a refusal looks like.
    """

    def __init__(self, settings: WebSettings, sessions: Sessions | None, files: Static) -> None:
        self._settings = settings
        self._sessions = sessions
        self._files = files
        self._requests = RateLimiter(settings.web_requests_per_minute)
        self._follows = RateLimiter(FOLLOWED * settings.web_requests_per_minute)

    def protect(self, app: web.Application) -> None:
        """Put access control in front of an application."""
        app.middlewares.append(self._middleware)
        app.on_response_prepare.append(_add_headers)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.transport.get_protocol() if request.transport is not None else None
        if not isinstance(connection, Connection):
            return await self._respond(request, handler)
        connection.request_began()
        try:
            return await self._respond(request, handler)
        finally:
            connection.request_ended()

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = self._refusal(request)
            if refusal is None:
                return await handler(request)
            if request.body_exists:
                refusal.force_close()  # what follows a body that is not read is not taken for a request
            return refusal
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("a page request failed")
            return self._refuse(request, GenreGenieError(ErrorCode.INTERNAL), 500)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Return the response to a request that must not reach the page; None lets it through."""
        if not self._is_own_host(request.headers.get("Host", "")):
            return web.Response(text="This page is not here.", status=421)
        locale, kind = locale_of(request), _kind(request)
        if kind not in (FREE, ASSET):
            limiter = self._follows if kind == FOLLOW else self._requests
            wait_s = limiter.wait_s(visitor(request, self._settings))
            if wait_s:
                return self._refuse(request, GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), 429)
        if request.method == "POST" and kind != BEARER and not self._is_same_origin(request):
            return web.Response(status=403)
        if request.match_info.http_exception is not None:
            if _is_visit(request):
                return self._page(translate("web.no-page", locale), locale, 404)
            return web.Response(text="There is no such page.", status=404)
        if (
            kind not in (OPEN, ASSET, BEARER)
            and self._sessions is not None
            and not self._sessions.is_open(session_of(request))
        ):
            if kind == PAGE:
                raise web.HTTPSeeOther(f"/{locale}/login")
            sentence = translate("web.session-over", locale)
            if _is_visit(request):
                return self._page(sentence, locale, 401)
            return web.json_response({"error": sentence}, status=401, dumps=as_json)
        return self._body_refusal(request) if request.method == "POST" else None

    def _refuse(self, request: web.Request, error: GenreGenieError, status: int) -> web.Response:
        """Say why a request is refused: on a page to who goes there, as JSON to a script, to a program as the API."""
        locale = locale_of(request)
        if _kind(request) == BEARER:
            return failure_response(error, locale, status, source=request.query.get("name", ""))
        if not _is_visit(request):
            return error_response(error, locale, status)
        response = self._page(error_sentence(error, locale), locale, status)
        response.headers.update(_retry_after(error))
        return response

    def _page(self, sentence: str, locale: str, status: int) -> web.Response:
        return web.Response(
            text=error_html(sentence, locale, self._files), status=status, content_type="text/html", charset="utf-8"
        )

    def _is_own_host(self, host: str) -> bool:
        """Whether the Host header names this page: DNS rebinding makes other sites' names point to this machine."""
        name = _name_of(host)
        origin = self._settings.web_origin
        if origin is not None:
            return host.lower() == urlsplit(origin).netloc or is_loopback(name)
        return is_loopback(name) or (bool(name) and not is_loopback(self._settings.http_host))

    def _is_same_origin(self, request: web.Request) -> bool:
        """Whether the page itself sends this; other sites' scripts cannot leave the Origin header out."""
        origin = request.headers.get("Origin")
        if origin is None:
            return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        return origin.lower() == self._settings.web_origin or origin.partition("://")[2] == request.headers.get("Host")

    def _body_refusal(self, request: web.Request) -> web.Response | None:
        """Refuse a body of unknown, ambiguous or excessive length before it is read."""
        length = request.headers.getall("Content-Length", [])
        if len(length) != 1 or not length[0].isdigit() or "Transfer-Encoding" in request.headers:
            return web.Response(status=411)
        most = self._settings.max_file_bytes if _kind(request) in (UPLOAD, BEARER) else MAX_JSON_BYTES
        if int(length[0]) > most:
            return self._refuse(request, too_large(self._settings), 413)
        return None


def locale_of(request: web.Request) -> str:
    """Language of a request: that of its path, or the one that the browser prefers."""
    first = request.path.removeprefix("/").partition("/")[0]  # `OPTIONS *` and CONNECT have other paths
    return first if first in locales() else accepted_locale(request.headers.get("Accept-Language"))


def session_of(request: web.Request) -> str:
    """Session that a request's cookie names, or nothing."""
    return request.cookies.get(SESSION_COOKIE, "")


def error_response(error: GenreGenieError, locale: str, status: int) -> web.Response:
    """Make a response that says to the page's script why a request is refused, and when to try again."""
    wait_s = error.params.get("retry_after")
    data = {"error": error_sentence(error, locale), "code": error.code.value, "retry_after": wait_s}
    return web.json_response(data, status=status, headers=_retry_after(error), dumps=as_json)


def failure(error: GenreGenieError, locale: str, source: str) -> dict[str, object]:
    """Give the contract of `genregenie classify --json` for a song that has no verdict."""
    return {"source": source, "error": {"code": error.code.value, "message": error_sentence(error, locale)}}


def failure_response(error: GenreGenieError, locale: str, status: int, source: str) -> web.Response:
    """Make a response that says to a program, as the API's description has it, why a request is refused."""
    return web.json_response(failure(error, locale, source), status=status, headers=_retry_after(error), dumps=as_json)


def _retry_after(error: GenreGenieError) -> dict[str, str]:
    """Header that says when to try again, where that is known."""
    wait_s = error.params.get("retry_after")
    return {"Retry-After": str(wait_s)} if wait_s else {}


def _kind(request: web.Request) -> str:
    """Kind of the route that a request takes: what the route's name begins with."""
    return (request.match_info.route.name or "").partition(".")[0]


def _is_visit(request: web.Request) -> bool:
    """Whether a browser goes to this address, and shows its visitor what is answered."""
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def _name_of(host: str) -> str:
    """Read the name or the address in a Host header, which may have a port; empty where it is not well formed."""
    if re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", host) is None:
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # what is in brackets is no address
        return ""


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that restrict what a browser lets the page do, and leave the server's version out."""
    response.headers.update(_HEADERS)
    response.headers.pop("Server", None)
