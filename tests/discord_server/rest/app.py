"""Every request's way: noted, authorised, faulted, rate-limited, carried out, answered."""

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from tests.discord_server.errors import NOBODYS_FAULT, RefusedError
from tests.discord_server.faults import Fault
from tests.discord_server.journal import Exchange
from tests.discord_server.rest import application, channels, webhooks
from tests.discord_server.rest.forms import Form, read_form
from tests.discord_server.world import World

Handler = Callable[[World, web.Request, Form], Awaitable[Any]]

WITHOUT_TOKEN = frozenset(webhooks.routes())
"""Endpoints that an interaction's token opens."""

ROUTES: dict[str, tuple[str, str, Handler]] = {
    **application.routes(),
    **channels.routes(),
    **webhooks.routes(),
}
"""Endpoint → method, path, handler. Tests name endpoints by these names."""

MAJORS = ("channel", "guild", "token")


def rest_application(world: World) -> web.Application:
    """Return the API, to be mounted at its base address."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    for endpoint, (method, path, handler) in ROUTES.items():
        app.router.add_route(method, path, _Endpoint(world, endpoint, handler).answer)
    app.router.add_route("*", "/{path:.*}", _Endpoint(world, "", _unknown_route).answer)
    return app


async def _unknown_route(world: World, request: web.Request, form: Form) -> None:
    raise AssertionError("answered before it gets here")


class _Endpoint:
    def __init__(self, world: World, name: str, handler: Handler) -> None:
        self.world = world
        self.name = name
        self.handler = handler

    async def answer(self, request: web.Request) -> web.StreamResponse:
        exchange = Exchange(time.monotonic(), self.name, request.method, request.path)
        self.world.journal.exchanges.append(exchange)
        try:
            response = await self._answer(request, exchange)
        except RefusedError as refusal:
            exchange.code = refusal.code
            if refusal.code not in NOBODYS_FAULT:
                self.world.journal.complain(refusal.code, f"{exchange}: {refusal}")
            response = _json(refusal.status, refusal.payload())
        except Exception:
            # A mistake in this server must not pass for one of Discord's bad days.
            self.world.journal.complain(0, f"{exchange}: {traceback.format_exc()}")
            raise
        finally:
            self.world.journal.notify()
        exchange.status = response.status
        self.world.journal.notify()
        return response

    async def _answer(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        form = await read_form(request)
        exchange.payload = form.payload
        exchange.file_names = tuple(file.name for file in form.files)
        if not self.name:
            self.world.journal.complain(0, f"unknown route: {request.method} {request.path}")
            return _json(404, {"message": "404: Not Found", "code": 0})
        if self.name not in WITHOUT_TOKEN and request.headers.get("Authorization") != f"Bot {self.world.token}":
            return _json(401, {"message": "401: Unauthorized", "code": 0})
        fault = self.world.faults.next(self.name)
        exchange.injected = fault is not None
        if fault:
            await asyncio.sleep(fault.delay_s)
            if not fault.carried_out and (faulty := _faulty(request, fault)):
                return faulty
        allowance = self.world.rate_limits.take(self.name, self._major(request))
        if allowance.retry_after is not None:
            return _too_many(allowance.retry_after, allowance.headers, is_global=allowance.is_global)
        result = await self.handler(self.world, request, form)
        if fault and fault.carried_out and (faulty := _faulty(request, fault)):
            return faulty
        return _json(200 if result is not None else 204, result, allowance.headers)

    def _major(self, request: web.Request) -> str:
        for name in MAJORS:
            if name in request.match_info:
                return ("webhook " if name == "token" else "") + request.match_info[name]
        return ""


def _faulty(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Return the answer that the fault puts in place of the right one, if it does."""
    if fault.cut:
        if request.transport:
            request.transport.abort()
        return web.Response(status=500)
    if fault.status == 429:
        return _too_many(fault.retry_after, CIMultiDict(), is_global=fault.is_global)
    if fault.status is not None:
        return web.Response(status=fault.status, text="upstream error", content_type="text/plain")
    return None


def _too_many(retry_after: float, headers: CIMultiDict[str], *, is_global: bool) -> web.Response:
    headers = headers.copy()
    headers["Retry-After"] = str(max(1, round(retry_after)))
    headers["X-RateLimit-Scope"] = "global" if is_global else "user"
    if is_global:
        headers["X-RateLimit-Global"] = "true"
    body = {
        "message": "You are being rate limited.",
        "retry_after": round(retry_after, 3),
        "global": is_global,
    }
    return _json(429, body, headers)


def _json(status: int, body: Any, headers: CIMultiDict[str] | None = None) -> web.Response:
    """Return JSON as Discord does: without a charset, and through a proxy that names itself."""
    headers = CIMultiDict(headers or {})
    headers["Via"] = "1.1 google"
    if body is None:
        return web.Response(status=status, headers=headers)
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers)
