"""Links to files on Discord's CDN: their signatures expire after a day, and Discord renews them for a bot that asks."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import aiohttp
import discord
from discord.http import HTTPClient, Route
from yarl import URL

from bot.jobs.request import Song
from bot.jobs.sources import FoundSongs
from core.errors import ErrorCode, GenreGenieError
from core.fetch.discord_cdn import CDN_HOSTS
from core.inference.pipeline import ProgressCallback
from core.service.fetcher import Fetcher
from core.service.sources import AttachmentSource, LinkSource, OpenSong

RENEW_WITHIN_S: Final = 10.0
"""How long Discord may take to renew a link."""

_FRESH_S: Final = 60.0
"""For how long a link must still be valid to be used as it is."""

_PATH: Final = re.compile(r"/(?:ephemeral-)?attachments/\d+/\d+/[^/]+")

Renew = Callable[[str], Awaitable[str | None]]


class DiscordFiles:
    """Recognises links to files that Discord holds, and renews them.

    Args:
        http: the bot's way to Discord.
        hosts: `host:port` of other servers that hold files as Discord's CDN does.
    """

    def __init__(self, http: HTTPClient, hosts: tuple[str, ...] = ()) -> None:
        self._http = http
        self._hosts = hosts

    def with_files(self, found: FoundSongs) -> FoundSongs:
        """Give the songs with those among the links that lead to Discord's files as such."""
        return replace(found, songs=tuple(self._song(song) for song in found.songs))

    def _song(self, song: Song) -> Song:
        if not isinstance(song.source, LinkSource) or not self._is_file(song.source.url):
            return song
        return Song(DiscordFileSource(song.source.url, song.name, self.renew), song.name)

    def _is_file(self, link: str) -> bool:
        try:
            url = URL(link)
        except ValueError:
            return False
        on_cdn = url.scheme == "https" and url.host in CDN_HOSTS
        return (on_cdn or f"{url.host}:{url.port}" in self._hosts) and _PATH.fullmatch(url.path) is not None

    async def renew(self, link: str) -> str | None:
        """Have Discord sign a link anew; None where it does not."""
        # Discord's own clients call this and bots may, though its API documentation does not list it.
        route = Route("POST", "/attachments/refresh-urls")
        try:
            async with asyncio.timeout(RENEW_WITHIN_S):
                answer = await self._http.request(route, json={"attachment_urls": [link]})
        except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError):
            return None
        return _renewed(answer)


def _renewed(answer: object) -> str | None:
    """Read the link in Discord's answer: `{"refreshed_urls": [{"original": ..., "refreshed": ...}]}`."""
    links = answer.get("refreshed_urls") if isinstance(answer, Mapping) else None
    first = links[0] if isinstance(links, list) and links else None
    link = first.get("refreshed") if isinstance(first, Mapping) else None
    return link if isinstance(link, str) else None


@dataclass(frozen=True, slots=True)
class DiscordFileSource:
    """A link to a file that Discord holds."""

    url: str
    name: str
    renew: Renew

    @contextlib.asynccontextmanager
    async def open(self, fetcher: Fetcher | None, on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Renew the link if it has expired, and download the file.

        Raises:
            GenreGenieError: `expired-link`, or as `AttachmentSource` does.
        """
        async with (await self.portable()).open(fetcher, on_progress) as song:
            yield song

    async def portable(self) -> AttachmentSource:
        """Renew the link if it has expired, and give the file.

        Raises:
            GenreGenieError: `expired-link`.
        """
        link = self.url if is_valid(self.url, time.time()) else await self.renew(self.url)
        if link is None:
            raise GenreGenieError(ErrorCode.EXPIRED_LINK)
        return AttachmentSource(link, self.name)


def is_valid(link: str, now: float) -> bool:
    """Whether a link is signed, and for a while yet; `now` is in seconds since 1970."""
    query = URL(link).query
    try:
        expires = int(query.get("ex", ""), 16)
    except ValueError:
        return False
    return "hm" in query and expires > now + _FRESH_S
