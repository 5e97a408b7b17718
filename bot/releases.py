"""The newest release, as the address in `GENREGENIE_RELEASES_URL` tells it: asked once a day, through the proxy."""

import asyncio
import json
import logging
import re
from dataclasses import asdict, dataclass
from typing import Final

import aiohttp
from yarl import URL

from bot.settings import BotSettings
from bot.storage.meta import MetaStore
from core.errors import GenreGenieError
from core.proxy.interface import Proxy
from core.version import VERSION

log = logging.getLogger(__name__)

ASKED: Final = "release-asked"
"""Key under which is stored when the address was asked last."""

NEWEST: Final = "release"
"""Key under which is stored what it said: JSON, a `Release`."""

PERIOD_S: Final = 86_400.0
WITHIN_S: Final = 20.0
MAX_BYTES: Final = 512 * 1024
MAX_CONNECTIONS: Final = 1
_OVERHEAD_BYTES: Final = 64 * 1024
"""What TLS and headers may add."""

_TAG: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", re.ASCII)
_PAGE: Final = re.compile(r"https://[\w.:/%~+=&?#@-]{1,300}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Release:
    """A release that is newer than this one, or was when it was stored.

    Attributes:
        version: such as `1.2.3`.
        page: its address; empty where none was given that can be shown.
    """

    version: str
    page: str

    @property
    def is_newer(self) -> bool:
        """Whether it is newer than the release that runs."""
        return _numbers(self.version) > _numbers(VERSION)


def _numbers(tag: str) -> tuple[int, ...]:
    found = _TAG.fullmatch(tag)
    return tuple(map(int, found.groups())) if found else ()


def read_release(body: bytes) -> Release | None:
    """Read `tag_name` and `html_url` of GitHub's JSON about a release; None where it is none with three numbers.

    https://docs.github.com/en/rest/releases/releases#get-the-latest-release
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    tag, page = (answer.get(name) for name in ("tag_name", "html_url")) if isinstance(answer, dict) else (None, None)
    if not isinstance(tag, str) or not _numbers(tag):
        return None
    return Release(tag.removeprefix("v"), page if isinstance(page, str) and _PAGE.fullmatch(page) else "")


async def fetch_release(url: str, proxy: Proxy) -> Release | None:
    """Ask which release is the newest; None where no sensible answer comes, for a reason that is logged."""
    try:
        async with asyncio.timeout(WITHIN_S):
            body = await _fetch(url, proxy)
    except (aiohttp.ClientError, GenreGenieError, OSError, TimeoutError, ValueError) as error:
        log.warning("GENREGENIE_RELEASES_URL did not answer: %s", type(error).__name__)
        return None
    release = read_release(body)
    if release is None:
        log.warning("GENREGENIE_RELEASES_URL does not answer with a release")
    return release


async def _fetch(url: str, proxy: Proxy) -> bytes:
    """Fetch a small body.

    Raises:
        aiohttp.ClientError: the proxy or the server refuses.
        GenreGenieError: there is no proxy.
        OSError: there is no connection.
        ValueError: it is too large.
    """
    async with (
        proxy.lease(max_bytes=MAX_BYTES + _OVERHEAD_BYTES, max_connections=MAX_CONNECTIONS) as lease,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=proxy.ssl_context, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"GenreGenie/{VERSION}",
            },
        ) as session,
        # A redirect could lead away from https.
        session.get(
            URL(url, encoded=True), allow_redirects=False, raise_for_status=True, proxy=proxy.url_with_secret(lease)
        ) as response,
    ):
        if response.status != 200:
            raise aiohttp.ClientError(response.status)
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("too large")
        return bytes(body)


class Releases:
    """Knows whether there is a newer release.

    Args:
        settings: the address; without one nothing is ever asked.
        proxy: what it is asked through.
        meta: keeps the answer, for all processes and the next start.
    """

    def __init__(self, settings: BotSettings, proxy: Proxy, meta: MetaStore) -> None:
        self._url = settings.releases_url
        self._proxy = proxy
        self._meta = meta

    async def refresh(self) -> None:
        """Ask, unless one of the processes has within the day; what cannot be learnt leaves what is known.

        Raises:
            StoreError: the database failed.
        """
        if self._url is None or not await self._meta.claim_turn(ASKED, PERIOD_S):
            return
        release = await fetch_release(self._url, self._proxy)
        if release is not None:
            await self._meta.set(NEWEST, json.dumps(asdict(release)))

    async def newer(self) -> Release | None:
        """Give the newest release that is known; None where this is it, or nothing is asked.

        Raises:
            StoreError: the database failed.
        """
        stored = await self._meta.get(NEWEST) if self._url is not None else None
        if stored is None:
            return None
        release = Release(**json.loads(stored))
        return release if release.is_newer else None
