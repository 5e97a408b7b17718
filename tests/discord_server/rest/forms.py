"""Bodies of requests: JSON, or multipart with the JSON in `payload_json` and files beside it."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from tests.discord_server.cdn import File
from tests.discord_server.errors import INVALID_FORM_BODY, RefusedError

FILE_PART = re.compile(r"files\[(\d+)\]")


@dataclass
class Form:
    """What a request carries."""

    payload: Any = None
    files: list[File] = field(default_factory=list)


async def read_form(request: web.Request) -> Form:
    """Read the body.

    Raises:
        RefusedError: it is neither JSON nor such a multipart form.
    """
    if request.content_type == "multipart/form-data":
        return await _read_multipart(request)
    body = await request.read()
    if not body:
        return Form()
    if request.content_type != "application/json":
        raise RefusedError(INVALID_FORM_BODY, {"content-type": request.content_type})
    return Form(_parse(body))


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise RefusedError(INVALID_FORM_BODY, {"body": "is not JSON"}) from None


async def _read_multipart(request: web.Request) -> Form:
    form = Form()
    numbered: dict[int, File] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        data = bytes(await part.read(decode=True))
        match = FILE_PART.fullmatch(part.name or "")
        if part.name == "payload_json":
            form.payload = _parse(data)
        elif match and part.filename:
            numbered[int(match[1])] = File(part.filename, data)
        else:
            raise RefusedError(INVALID_FORM_BODY, {str(part.name): "is no part of a message"})
    if sorted(numbered) != list(range(len(numbered))):
        raise RefusedError(INVALID_FORM_BODY, {"files": f"numbers {sorted(numbered)}"})
    form.files = [numbered[number] for number in sorted(numbered)]
    return form
