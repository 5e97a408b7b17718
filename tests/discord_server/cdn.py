"""Discord's CDN: files under signed addresses that expire, and how their downloads may go wrong."""

import asyncio
import hashlib
import mimetypes
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from aiohttp import hdrs, web

from tests.discord_server.journal import Journal

CHUNK = 64 * 1024
ADDRESS_LIFETIME_S = 24 * 3600.0


@dataclass(frozen=True)
class File:
    """A file that somebody attaches, and what its download does.

    Args:
        data: its bytes.
        declared_size: what Discord says that its size is, bytes; None is the truth.
        break_off_at: the connection ends after so many bytes.
        bytes_per_s: a slow download.
        slow_downloads: how many downloads are slow; None is all of them.
        content_length: a header that lies.
        status: answered with this instead of the bytes.
        failures: how many downloads are answered so; None is all of them.
        duration_s: of a voice message.
        title: what the sender called it, where Discord had to change that for `name`; without the suffix.
    """

    name: str
    data: bytes = b""
    content_type: str | None = None
    description: str | None = None
    declared_size: int | None = None
    break_off_at: int | None = None
    bytes_per_s: float | None = None
    slow_downloads: int | None = None
    content_length: int | None = None
    status: int = 200
    failures: int | None = None
    duration_s: float | None = None
    title: str | None = None

    @property
    def kind(self) -> str | None:
        """Its media type, guessed from the name where it is not said."""
        return self.content_type or mimetypes.guess_type(self.name)[0]

    @classmethod
    def at(cls, path: Path, **properties: Any) -> "File":
        """Return a file of this computer."""
        return cls(**({"name": path.name, "data": path.read_bytes()} | properties))


@dataclass(eq=False)
class Upload:
    """A file on the CDN."""

    id: int
    file: File
    path: str
    base: str
    expires_at: float = field(default_factory=lambda: time.time() + ADDRESS_LIFETIME_S)
    downloads: int = 0
    """How often it was asked for."""
    secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def filename(self) -> str:
        return self.file.name

    @property
    def data(self) -> bytes:
        return self.file.data

    @property
    def description(self) -> str | None:
        return self.file.description

    @property
    def signature(self) -> str:
        return hashlib.sha256(f"{self.path}{self.secret}{int(self.expires_at):x}".encode()).hexdigest()

    @property
    def url(self) -> str:
        issued = int(self.expires_at - ADDRESS_LIFETIME_S)
        query = f"ex={int(self.expires_at):x}&is={issued:x}&hm={self.signature}&"
        return f"{self.base}{quote(self.path)}?{query}"

    def expire(self) -> None:
        """Let its address run out now."""
        self.expires_at = time.time() - 1

    def payload(self) -> dict[str, Any]:
        file = self.file
        kind = file.kind
        payload: dict[str, Any] = {
            "id": str(self.id),
            "filename": file.name,
            "size": len(file.data) if file.declared_size is None else file.declared_size,
            "url": self.url,
            "proxy_url": self.url,
            "content_type": kind,
        }
        if file.description:
            payload["description"] = file.description
        if file.title:
            payload["title"] = file.title
        if file.duration_s is not None:
            payload |= {"duration_secs": file.duration_s, "waveform": "AAAA"}
        if kind and kind.startswith("image/"):
            payload |= {"width": 600, "height": 400}
        if self.path.startswith("/ephemeral-attachments"):
            payload["ephemeral"] = True
        return payload


class Cdn:
    """Keeps uploads and serves them."""

    def __init__(self, journal: Journal) -> None:
        self.base = ""
        self.journal = journal
        self.uploads: dict[int, Upload] = {}

    def store(self, identity: int, channel_id: int, file: File, *, ephemeral: bool = False) -> Upload:
        folder = "ephemeral-attachments" if ephemeral else "attachments"
        path = f"/{folder}/{channel_id}/{identity}/{file.name}"
        upload = self.uploads[identity] = Upload(identity, file, path, self.base)
        return upload

    def renew(self, link: str) -> str | None:
        """Sign a link anew; None where it leads to no upload."""
        path = unquote(urlsplit(link).path)
        upload = next((upload for upload in self.uploads.values() if upload.path == path), None)
        if upload is None:
            return None
        upload.expires_at = time.time() + ADDRESS_LIFETIME_S
        return upload.url

    def routes(self) -> list[web.RouteDef]:
        return [web.get(r"/{folder:attachments|ephemeral-attachments}/{channel}/{upload:\d+}/{name}", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        upload = self.uploads.get(int(request.match_info["upload"]))
        if upload is None or upload.path != request.path:
            return web.Response(status=404, text="This content is no longer available.")
        upload.downloads += 1
        self.journal.notify()
        query = parse_qs(request.query_string)
        if query.get("hm") != [upload.signature] or upload.expires_at < time.time():
            return web.Response(status=404, text="This content is no longer available.")
        file = upload.file
        if file.status != 200 and (file.failures is None or upload.downloads <= file.failures):
            return web.Response(status=file.status)
        if file.slow_downloads is not None and upload.downloads > file.slow_downloads:
            file = replace(file, bytes_per_s=None)
        return await self._stream(request, file)

    async def _stream(self, request: web.Request, file: File) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = file.kind or "application/octet-stream"
        length = len(file.data) if file.content_length is None else file.content_length
        response.headers[hdrs.CONTENT_LENGTH] = str(length)
        try:
            await response.prepare(request)
            async for chunk in _chunks(file):
                await response.write(chunk)
        except ConnectionError:
            return response  # the client has seen enough
        if file.break_off_at is not None or length > len(file.data):
            if request.transport:
                request.transport.abort()
            return response
        await response.write_eof()
        return response


async def _chunks(file: File) -> AsyncIterator[bytes]:
    size = CHUNK if file.bytes_per_s is None else max(1, min(CHUNK, int(file.bytes_per_s / 10)))
    end = len(file.data) if file.break_off_at is None else file.break_off_at
    for start in range(0, end, size):
        yield file.data[start : min(start + size, end)]
        if file.bytes_per_s:
            await asyncio.sleep(size / file.bytes_per_s)
