"""What every request to the page passes: the host asked for, the paths there are, limits, the password.

Gradio answers many more paths than this page needs (a proxy, a component server, recordings, logs): what is not listed
here does not exist.
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

COOKIE: Final = "genregenie"
REMEMBERED_S: Final = 30 * 86_400
MOST_REMEMBERED: Final = 10_000
"""Visitors that counters and the list of who has given the password hold; the oldest go first."""

GUESSES_PER_MINUTE: Final = 5
"""Passwords tried from one address."""

ALL_GUESSES_PER_MINUTE: Final = 60
MAX_JSON_BYTES: Final = 64 * 1024
MAX_LOGIN_BYTES: Final = 4 * 1024

_LOCALES: Final = "|".join(map(re.escape, locales()))
_STILL: Final = re.compile(
    rf"/(?:{_LOCALES})/(?:assets|static)/(?!.*\.\.)[\w./-]+|/(?:{_LOCALES})/theme\.css|/favicon\.ico|/manifest\.json"
)
"""Scripts, styles and pictures: the same for everybody."""

_PAGES: Final = re.compile(rf"/(?:(?:{_LOCALES})/?)?")
_READ: Final = re.compile(rf"/(?:{_LOCALES})/(?:config|gradio_api/(?:startup-events|queue/data|heartbeat/[\w-]+))")
_SENT: Final = re.compile(rf"/(?:{_LOCALES})/gradio_api/(?:queue/join|cancel|reset)")
_SONG: Final = re.compile(rf"/(?:{_LOCALES})/song")

# Gradio's components compile their templates in the browser: hence unsafe-eval. Nothing is loaded from elsewhere.
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


def visitor_of(address: str) -> str:
    """Whom an address stands for: of IPv6, where each house has billions, the network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


class RateLimiter:
    """Counts what each visitor does in a minute.

    Args:
        most: times a minute.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, who: str) -> int:
        """Count one more; 0 if it may be done, else the seconds after which to try again."""
        now = self._clock()
        began, count = self._counted.pop(who, (now, 0))
        if now - began >= 60:
            began, count = now, 0
        self._counted[who] = (began, min(count + 1, self._most + 1))
        if len(self._counted) > MOST_REMEMBERED:
            self._counted.popitem(last=False)
        return math.ceil(began + 60 - now) if count >= self._most else 0


class AccessMiddleware:
    """ASGI middleware in front of the page.

    Args:
        app: the page.
        settings: limits, password, and where it is reached.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._settings = settings
        self._requests = RateLimiter(settings.web_requests_per_minute)
        self._guesses = RateLimiter(GUESSES_PER_MINUTE)
        self._all_guesses = RateLimiter(ALL_GUESSES_PER_MINUTE)
        self._known: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = await self._answer(request)
        through = self._app if answer is None else answer
        await through(scope, receive, _guarded(send))

    async def _answer(self, request: Request) -> Response | None:
        """Answer in the page's stead, or None where the request may pass."""
        path, method = request.url.path, request.method
        if not self._is_ours(request.headers.get("host", "")):
            return PlainTextResponse("This page is not here.", 421)
        if _STILL.fullmatch(path) and method in ("GET", "HEAD"):
            return None if self._may_enter(request) else PlainTextResponse("", 401)
        locale = _locale_of(request)
        wait_s = self._requests.wait_s(_visitor(request))
        if wait_s:
            return _refused(GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), locale, 429, wait_s)
        if method == "POST" and not self._is_same_origin(request.headers):
            return PlainTextResponse("", 403)
        if path.endswith("/login") and path.count("/") <= 2 and self._settings.web_password is not None:
            return await self._login(request, locale)
        if not _is_known(method, path):
            return PlainTextResponse("There is no such page.", 404)
        if not self._may_enter(request):
            if method != "POST" and _PAGES.fullmatch(path):
                return RedirectResponse(f"/{locale}/login", 303)
            return _refused(GenreGenieError(ErrorCode.LOGIN_REQUIRED), locale, 401)
        return self._refused_body(request, locale)

    def _is_ours(self, host: str) -> bool:
        """Keep out who reaches this machine under another name, as pages do that rebind theirs to loopback."""
        name = (urlsplit(f"//{host}").hostname or "") if _is_host(host) else ""
        origin = self._settings.web_origin
        if origin is not None:
            return host.lower() == urlsplit(origin).netloc or is_loopback(name)
        return is_loopback(name) or (bool(name) and not is_loopback(self._settings.http_host))

    def _is_same_origin(self, headers: Headers) -> bool:
        """Whether our own page sends this: another site's cannot leave its origin out."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        return origin.lower() == self._settings.web_origin or urlsplit(origin).netloc == headers.get("host")

    def _refused_body(self, request: Request, locale: str) -> Response | None:
        if request.method != "POST":
            return None
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("", 411)
        is_song = _SONG.fullmatch(request.url.path) is not None
        if int(length) > (self._settings.max_file_bytes if is_song else MAX_JSON_BYTES):
            return _refused(too_large(self._settings), locale, 413)
        return None

    # ---- The password

    def _may_enter(self, request: Request) -> bool:
        if self._settings.web_password is None:
            return True
        given = _cookie(request)
        until = self._known.get(given) if given else None
        return until is not None and until > time.monotonic()

    async def _login(self, request: Request, locale: str) -> Response:
        if request.method != "POST":
            return HTMLResponse(login_html(locale, wrong=False))
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_LOGIN_BYTES:
            return PlainTextResponse("", 413)
        wait_s = self._guesses.wait_s(_visitor(request)) or self._all_guesses.wait_s("all")
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
        key = secrets.token_urlsafe(32)
        self._known[key] = time.monotonic() + REMEMBERED_S
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        answer = RedirectResponse(f"/{locale}/", 303)
        secure = (self._settings.web_origin or "").startswith("https:")
        answer.set_cookie(COOKIE, key, max_age=REMEMBERED_S, httponly=True, samesite="strict", secure=secure)
        return answer


def _is_known(method: str, path: str) -> bool:
    if method in ("GET", "HEAD"):
        return any(known.fullmatch(path) for known in (_PAGES, _READ))
    return method == "POST" and any(known.fullmatch(path) for known in (_SENT, _SONG))


def _is_host(host: str) -> bool:
    """Whether a Host header is a name or an address with a port at most."""
    return re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", host) is not None


def _locale_of(request: Request) -> str:
    first = request.url.path.split("/")[1]
    return first if first in locales() else accepted_locale(request.headers.get("accept-language"))


def _visitor(request: Request) -> str:
    return visitor_of(request.client.host if request.client else "")


def _cookie(request: Request) -> str | None:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _refused(error: GenreGenieError, locale: str, status: int, wait_s: int = 0) -> Response:
    headers = {"Retry-After": str(wait_s)} if wait_s else None
    return JSONResponse({"error": error_sentence(error, locale)}, status, headers=headers)


def _guarded(send: Send) -> Send:
    """Add the headers that keep a browser from doing more with the page than it is for."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            # (no-referrer would keep the origin from our own forms too.)
            headers["Referrer-Policy"] = "same-origin"
            headers["Permissions-Policy"] = "microphone=(self), camera=(), geolocation=()"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
        await send(message)

    return sending
