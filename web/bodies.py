"""Small bodies, in and out. Those that arrive have a deadline; access control has bounded their size."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

BODY_TIMEOUT_S: Final = 10.0


def as_json(data: object) -> str:
    """Write JSON, with the letters of every language as they are."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


async def read_body(request: web.Request) -> bytes:
    """Read a body.

    Raises:
        web.HTTPRequestTimeout: it did not arrive in time.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


async def read_object(request: web.Request) -> dict[str, object]:
    """Read a JSON object; anything else counts as an empty one. Half a character (a lone surrogate) becomes `?`."""
    try:
        read = json.loads(await read_body(request))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    return {key: _whole(value) if isinstance(value, str) else value for key, value in read.items()}


def _whole(text: str) -> str:
    """Replace what no answer could be encoded with."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Give a body as it arrives; it ends where the visitor hangs up."""
    with contextlib.suppress(ConnectionError, web.RequestPayloadError):
        async for chunk in request.content.iter_any():
            yield chunk
