"""A REST proxy as large bots put it before Discord: it forwards what comes, and has answers of its own on a bad day."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

OWN_HOP = {"host", "connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive"}
"""Headers that belong to one connection, or to a body as it was encoded on it."""


class RestProxy:
    """Forwards every request to a Discord, as nirn-proxy does, and leaves retries to the client.

    Attributes:
        forwarded: requests that were, by method.
        own_answers: statuses that it answers the next edits of an interaction's reply with, instead of forwarding them:
            408 where Discord took too long, 429 without Discord's headers where a node of its cluster is gone.
    """

    def __init__(self, target: str) -> None:
        self.url = ""
        self.forwarded: Counter[str] = Counter()
        self.own_answers: list[int] = []
        self._target = target
        self._session: aiohttp.ClientSession | None = None

    async def _forward(self, request: web.Request) -> web.Response:
        if self.own_answers and request.method == "PATCH" and request.path.endswith("/messages/@original"):
            return self._answer(self.own_answers.pop(0))
        assert self._session
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OWN_HOP}
        body = await request.read()
        async with self._session.request(
            request.method, f"{self._target}{request.path_qs}", headers=headers, data=body or None
        ) as answer:
            self.forwarded[request.method] += 1
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in OWN_HOP]
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    @staticmethod
    def _answer(status: int) -> web.Response:
        if status == 408:
            return web.Response(status=408, text="408 Request Timeout")
        body = {"global": False, "message": "You are being rate limited.", "retry_after": 1}
        return web.json_response(body, status=status, headers={"generated-by-proxy": "true"})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RestProxy"]:
        """Serve on a free port of loopback."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=True) as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            try:
                yield self
            finally:
                await runner.cleanup()
