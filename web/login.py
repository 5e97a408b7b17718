"""The login, and its end."""

import hmac
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from web.access import SESSION_COOKIE, RateLimiter, locale_of, session_of
from web.addresses import visitor
from web.bodies import read_body
from web.sessions import SESSION_S, Sessions
from web.settings import WebSettings
from web.static import Static
from web.view import login_html

LOGINS_PER_MINUTE: Final = 5
"""Login attempts from one address."""

ALL_LOGINS_PER_MINUTE: Final = 60
"""Login attempts from all addresses together, but for those that have logged in before: nobody locks those out."""

MAX_KNOWN: Final = 10_000
"""Addresses that are known to have logged in; the oldest are forgotten first, and all of them at a restart."""

MAX_LOGIN_BYTES: Final = 4 * 1024


class Login:
    """The login's pages.

    Args:
        settings: the password, and the address visitors use.
        sessions: where sessions are started and ended.
        files: styles and pictures.
    """

    def __init__(self, settings: WebSettings, sessions: Sessions, files: Static) -> None:
        self._settings = settings
        self._files = files
        self._sessions = sessions
        self._attempts = RateLimiter(LOGINS_PER_MINUTE)
        self._all_attempts = RateLimiter(ALL_LOGINS_PER_MINUTE)
        self._known: dict[str, None] = {}

    async def form(self, request: web.Request) -> web.Response:
        """Ask for the password."""
        return self._page(request, wrong=False)

    async def enter(self, request: web.Request) -> web.Response:
        """Start a session, if the password is right."""
        if (request.content_length or 0) > MAX_LOGIN_BYTES:
            return web.Response(status=413)
        who = visitor(request, self._settings)
        wait_s = self._attempts.wait_s(who)
        if not wait_s and who not in self._known:
            wait_s = self._all_attempts.wait_s("all")
        if wait_s:
            return self._page(request, wrong=True, status=429, wait_s=wait_s)
        form = parse_qs((await read_body(request)).decode("utf-8", "replace"))
        password = self._settings.web_password
        expected = password.get_secret_value() if password else ""
        if not hmac.compare_digest(form.get("password", [""])[0].encode(), expected.encode()):
            return self._page(request, wrong=True, status=401)
        self._known.pop(who, None)
        self._known[who] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        response = web.HTTPSeeOther(f"/{locale_of(request)}/")
        secure = (self._settings.web_origin or "").startswith("https:")
        response.set_cookie(
            SESSION_COOKIE, self._sessions.start(), max_age=SESSION_S, httponly=True, samesite="Strict", secure=secure
        )
        raise response

    async def leave(self, request: web.Request) -> web.Response:
        """End the session."""
        self._sessions.end(session_of(request))
        response = web.HTTPSeeOther(f"/{locale_of(request)}/login")
        response.del_cookie(SESSION_COOKIE)
        raise response

    def _page(self, request: web.Request, *, wrong: bool, status: int = 200, wait_s: int = 0) -> web.Response:
        headers = {"Retry-After": str(wait_s)} if wait_s else None
        page = login_html(self._settings, locale_of(request), self._files, wrong=wrong, wait_s=wait_s)
        return web.Response(text=page, status=status, headers=headers, content_type="text/html")
