"""A Discord attachment → local file: from Discord's own hosts only, streamed, within limits of size and time."""

import asyncio
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from core.audio.suffixes import media_suffix
from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import ByteProgress, FetchedFile, clean_text, lease_error, refusal_error, too_large
from core.proxy.interface import Proxy
from core.proxy.lease import ProxyLease
from core.proxy.url_policy import RefusedError, parse_url
from core.settings import Settings

CDN_HOSTS: Final = ("cdn.discordapp.com", "media.discordapp.net")

_CHUNK_BYTES: Final = 64 * 1024
_READ_SECONDS: Final = 30.0
_OVERHEAD_BYTES: Final = 1024 * 1024
"""What TLS and headers may add to a file's size."""

_RETRY_S: Final = 1.0
"""Seconds after which a download is tried once more whose beginning Discord failed to send."""


class _ServerError(Exception):
    """The server has a problem of its own (5xx)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def fetch_attachment(
    url: str,
    directory: Path,
    *,
    proxy: Proxy,
    settings: Settings,
    filename: str | None = None,
    size: int | None = None,
    on_progress: ByteProgress | None = None,
) -> FetchedFile:
    """Download an attachment into a directory.

    Args:
        url: as Discord gives it.
        directory: the job's own.
        proxy: what the download goes through.
        settings: limits and allowed hosts.
        filename: the attachment's name; becomes the title.
        size: bytes that Discord announces.
        on_progress: called after every chunk.

    Raises:
        GenreGenieError: `blocked-address`: not one of Discord's hosts; `too-large`; `unavailable`: gone, incomplete, or
            shorter than announced; `server-error`: refused twice with a 5xx; `timeout`; `busy`: the disk is full.
    """
    _check_host(url, settings)
    if size is not None and size > settings.max_file_bytes:
        raise too_large(settings)
    path = directory / f"attachment{media_suffix(filename)}"  # a hint for formats without a header
    async with proxy.lease(max_bytes=settings.max_file_bytes + _OVERHEAD_BYTES) as lease:
        try:
            async with asyncio.timeout(settings.job_timeout_s):
                try:
                    received = await _download(url, path, proxy, lease, settings, on_progress)
                except (_ServerError, aiohttp.ServerDisconnectedError):
                    # Nothing of it has been counted or written yet.
                    await asyncio.sleep(_RETRY_S)
                    received = await _download(url, path, proxy, lease, settings, on_progress)
        except TimeoutError:
            raise GenreGenieError(ErrorCode.TIMEOUT) from None
        except _ServerError as error:
            raise GenreGenieError(ErrorCode.SERVER_ERROR, status=error.status) from None
        except aiohttp.ClientError:
            await lease.sync()
            raise lease_error(lease, settings) or GenreGenieError(ErrorCode.UNAVAILABLE) from None
        except OSError:
            raise GenreGenieError(ErrorCode.BUSY) from None  # the disk is full
    if size is not None and received < size:
        raise GenreGenieError(ErrorCode.UNAVAILABLE)
    return FetchedFile(path, title=clean_text(filename))


def _check_host(url: str, settings: Settings) -> None:
    """Allow Discord's hosts over https, and those that the settings name.

    Raises:
        GenreGenieError: `blocked-address` or `unsupported-link`.
    """
    try:
        target = parse_url(url, settings.allowed_hosts)
    except RefusedError as error:
        raise refusal_error(error.reason, settings) from None
    on_cdn = url.lower().startswith("https:") and target.host in CDN_HOSTS and target.port == 443
    if not on_cdn and not target.allowed:
        raise GenreGenieError(ErrorCode.BLOCKED_ADDRESS)


async def _download(
    url: str, path: Path, proxy: Proxy, lease: ProxyLease, settings: Settings, on_progress: ByteProgress | None
) -> int:
    """Stream the body to disk as it comes, without decompressing it, and return its size in bytes."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=proxy.ssl_context, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=_READ_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
    )
    async with (
        session,
        # The signature covers the exact URL; a redirect would lead away from Discord's hosts.
        session.get(URL(url, encoded=True), allow_redirects=False, proxy=proxy.url_with_secret(lease)) as response,
    ):
        if response.status != 200:
            await lease.sync()
            if refused := lease_error(lease, settings):
                raise refused
            if response.status >= 500:
                raise _ServerError(response.status)
            raise GenreGenieError(ErrorCode.UNAVAILABLE)
        announced = response.content_length
        if announced is not None and announced > settings.max_file_bytes:
            raise too_large(settings)
        received = 0
        file = await asyncio.to_thread(path.open, "wb")
        with file:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                received += len(chunk)
                if received > settings.max_file_bytes:
                    raise too_large(settings)
                file.write(chunk)
                if on_progress is not None:
                    on_progress(received, announced)
        return received
