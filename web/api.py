"""The HTTP API: a file or a link in, the JSON of `genregenie classify --json` out, progress as server-sent events.

It is open where `GENREGENIE_WEB_API_TOKEN` is set, to whoever has that token.
"""

import asyncio
import contextlib
import hmac
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import too_large
from core.version import VERSION
from web.access import MAX_JSON_BYTES, failure, failure_response, locale_of
from web.addresses import visitor
from web.bodies import as_json, chunks, read_object
from web.jobs import MAX_LINK, Job, PageJobs, PageRequest, ViewState
from web.settings import WebSettings
from web.uploads import Uploads

PATH: Final = "/api/v1/classify"
SEND_TIMEOUT_S: Final = 30.0
"""Longest that a client may take to read a part of a stream."""

RESTART_S: Final = 10
"""Seconds after which a page that is being closed may be there again."""

STATUS_CODES: Final = {
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.COOLDOWN: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Statuses of errors; all others are the song's own, and 422."""


class Api:
    """The API's responses.

    Args:
        settings: limits and the token.
        jobs: runs the requests.
        uploads: takes files.
    """

    def __init__(self, settings: WebSettings, jobs: PageJobs, uploads: Uploads) -> None:
        self._settings = settings
        self._jobs = jobs
        self._uploads = uploads

    async def openapi(self, request: web.Request) -> web.Response:
        """Describe the API."""
        return web.json_response(description(self._settings), dumps=as_json)

    async def classify(self, request: web.Request) -> web.StreamResponse:
        """Classify the song that a request brings or links to."""
        if not self._is_allowed(request):
            return web.Response(status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
        try:
            asked = await self._read(request)
        except GenreGenieError as error:
            return _refusal(error, request.query.get("name", ""), request)
        job = self._jobs.start(asked)
        try:
            if "text/event-stream" in request.headers.get("Accept", ""):
                return await self._stream(job, request)
            async with contextlib.aclosing(self._jobs.watch(job)) as states:
                async for _ in states:
                    pass
            why = _error(job)
            if why is not None:
                return _refusal(why, job.name, request)
            return web.json_response(_result(job, request), dumps=as_json)
        finally:
            self._jobs.cancel(job)
            if asked.upload is not None:
                self._uploads.discard(asked.upload)  # where there was no room for it

    def _is_allowed(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = self._settings.web_api_token
        expected = token.get_secret_value() if token is not None else ""
        is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected.encode())
        return scheme.lower() == "bearer" and bool(expected) and is_same

    async def _read(self, request: web.Request) -> PageRequest:
        """Read what is to be classified: a link as JSON, or the bytes of a file.

        Raises:
            GenreGenieError: as `Uploads.receive` does.
        """
        who = visitor(request, self._settings)
        length = int(request.headers["Content-Length"])
        if request.content_type == "application/json":
            if length > MAX_JSON_BYTES:
                raise too_large(self._settings)
            link = (await read_object(request)).get("link")
            return PageRequest(who, None, link[:MAX_LINK] if isinstance(link, str) else "", "", compare=False)
        name = request.query.get("name")
        key = await self._uploads.receive(who, name, length, chunks(request))
        return PageRequest(who, key, None, "song", compare=False)

    async def _stream(self, job: Job, request: web.Request) -> web.StreamResponse:
        """Send progress, then the result, as events of these names."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)

        async def send(event: str, data: dict[str, Any]) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await response.write(f"event: {event}\ndata: {as_json(data)}\n\n".encode())

        async with contextlib.aclosing(self._jobs.watch(job)) as states:
            async for state in states:
                if not job.answered.done():
                    await send("progress", _progress(state))
        await send("result", _result(job, request))
        await response.write_eof()
        return response


def _progress(state: ViewState) -> dict[str, Any]:
    return {"step": state.step.value, "share": state.share, "place": state.place}


def _error(job: Job) -> GenreGenieError | None:
    """Say why a request has no verdict, once nothing more is to come of it; None if it has one."""
    if job.state.verdicts:
        return None
    error = job.state.error
    if error is None or error.code is ErrorCode.CANCELLED:  # its program is there: the page is being closed
        return GenreGenieError(ErrorCode.BUSY, retry_after=RESTART_S)
    return error


def _result(job: Job, request: web.Request) -> dict[str, Any]:
    """Give the contract of `genregenie classify --json` for a request that nothing more is to come of."""
    error = _error(job)
    return job.state.verdicts[0].to_json() if error is None else failure(error, locale_of(request), job.name)


def _refusal(error: GenreGenieError, source: str, request: web.Request) -> web.Response:
    status = STATUS_CODES.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    return failure_response(error, locale_of(request), status, source)


def description(settings: WebSettings) -> dict[str, Any]:
    """Describe the API in OpenAPI 3.1."""
    number, text = {"type": "number"}, {"type": "string"}
    by_genre = {"type": "object", "additionalProperties": number}
    error = {"code": {"type": "string", "enum": [code.value for code in ErrorCode]}, "message": text}
    schemas = {
        "Verdict": {
            "type": "object",
            "description": "What `genregenie classify --json` prints; times in seconds. Keys may be added.",
            "properties": {
                "source": text,
                "title": {"type": ["string", "null"]},
                "duration": number,
                "music": {"type": ["number", "null"]},
                "genre": {"type": "string", "enum": list(GENRES)},
                "confidence": number,
                "votes": {"type": "object", "additionalProperties": {"type": "integer"}},
                "probabilities": by_genre,
                "section": {"type": "object", "properties": {"start": number, "end": number}},
                "segments": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "start": number,
                            "end": number,
                            "genre": text,
                            "probability": number,
                            "probabilities": by_genre,
                        },
                    },
                },
                "model": {"type": "object", "properties": {"name": text, "version": text}},
                "elapsed": {"type": "object", "additionalProperties": number},
            },
        },
        "Failure": {
            "type": "object",
            "properties": {"source": text, "error": {"type": "object", "properties": error}},
        },
    }

    def answer(what: str, schema: str) -> dict[str, Any]:
        reference = {"$ref": f"#/components/schemas/{schema}"}
        return {"description": what, "content": {"application/json": {"schema": reference}}}

    verdict = answer("The verdict. As an event stream: `progress` events, then one `result`.", "Verdict")
    verdict["content"]["text/event-stream"] = {"schema": text}
    failures = {str(int(status)): answer(f"`{code.value}`", "Failure") for code, status in STATUS_CODES.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "GenreGenie", "version": VERSION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": settings.web_origin or "/"}],
        "security": [{"token": []}],
        "paths": {
            PATH: {
                "post": {
                    "operationId": "classify",
                    "summary": "Identify the genre of a song",
                    "parameters": [{"name": "name", "in": "query", "schema": text, "description": "The file's name."}],
                    "requestBody": {
                        "required": True,
                        "description": f"The bytes of a file, at most {settings.max_file_mb} MB, or a link.",
                        "content": {
                            "application/octet-stream": {},
                            "application/json": {
                                "schema": {"type": "object", "required": ["link"], "properties": {"link": text}}
                            },
                        },
                    },
                    "responses": {
                        "200": verdict,
                        "401": {"description": "The token is missing or wrong."},
                        "408": {"description": "The link did not arrive in time."},
                        "411": {"description": "The body has no `Content-Length`, or several."},
                        "421": {"description": "This server is not the one that `Host` names."},
                        "422": answer("The song has no verdict; `error.code` says why.", "Failure"),
                        **failures,
                    },
                }
            }
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
    }
