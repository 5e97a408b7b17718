"""Every forbidden address by every way that a link can take; the forbidden server counts no connection."""

from pathlib import Path

import pytest

from core.errors import ErrorCode, GenreGenieError
from core.fetch import ytdlp
from core.fetch.ytdlp import fetch_link
from core.proxy.proxy import FetchProxy
from core.settings import Settings
from tests.core.fetch.addresses import ADDRESSES, DISGUISES
from tests.core.fetch.servers import Server
from tests.hostile.conftest import WatchedIdentifier
from tests.support.network import no_names
from tests.support.seeds import corpus_random

M3U8 = "application/vnd.apple.mpegurl"


def forms(port: int) -> list[str]:
    """Every address and disguise as a URL of the forbidden server's."""
    return [f"http://{host}:{port}/a.mp3" for host in ADDRESSES] + [form.format(port=port) for form in DISGUISES]


def some(urls: list[str], seed: str, share: int) -> list[str]:
    """A seeded tenth, where `share` is 10."""
    return corpus_random(seed).sample(urls, len(urls) // share)


def plant(server: Server, way: str, url: str) -> str:
    """Put an address where a link leads to it, and return the link."""
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"
    match way:
        case "directly":
            return url
        case "redirect":
            header = url.replace("\n", "").replace("\r", "").encode("utf-8").decode("latin-1")
            return server.redirect("/song.mp3", header)
        case "page":
            return server.serve("/page", f"<html><title>x</title><audio src='{url}'></audio></html>")
        case "m3u8":
            return server.serve("/song.m3u8", playlist, M3U8)
        case _:
            return server.serve("/song.mp3", f"ffconcat version 1.0\nfile '{url}'\n", "audio/mpeg")


NOTHING = ("blocked-address", "unsupported-link", "unavailable", "no-audio-track")


async def follow(server: Server, settings: Settings, tmp_path: Path, way: str, urls: list[str]) -> None:
    """Follow each address on one way: no file comes of it but the text that names it."""
    async with FetchProxy(allowed_hosts=settings.allowed_hosts, resolver=no_names) as proxy:
        for number, url in enumerate(urls):
            directory = tmp_path / f"job-{number}"
            directory.mkdir()
            link = plant(server, way, url)
            code, content = await outcome(link, directory, proxy, settings)
            if content is None:
                assert code in NOTHING, url
            elif way == "m3u8":
                assert url.startswith("data:")
                assert content == b"\0\0\0"  # what the URL itself holds: nothing was fetched
            else:
                assert way == "ffconcat", url
                assert content.startswith(b"ffconcat")


async def outcome(
    link: str, directory: Path, proxy: FetchProxy, settings: Settings
) -> tuple[ErrorCode | None, bytes | None]:
    """Code of the error that fetching ends in, or what was fetched."""
    try:
        fetched = await fetch_link(link, directory, proxy=proxy, settings=settings)
    except GenreGenieError as error:
        return error.code, None
    return None, fetched.path.read_bytes()


async def test_every_address_is_refused_directly(
    server: Server, forbidden: Server, settings: Settings, tmp_path: Path
) -> None:
    urls = forms(forbidden.port)
    assert len(set(urls)) >= 60
    await follow(server, settings, tmp_path, "directly", urls)
    assert server.connections == 0


@pytest.mark.parametrize("way", ["redirect", "page", "m3u8", "ffconcat"])
async def test_some_of_the_addresses_are_refused_on_every_way(
    server: Server, forbidden: Server, settings: Settings, tmp_path: Path, way: str
) -> None:
    await follow(server, settings, tmp_path, way, some(forms(forbidden.port), way, 20))
    assert server.connections > 0


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("way", ["redirect", "page", "m3u8", "ffconcat"])
async def test_every_address_is_refused_on_every_way(
    server: Server, forbidden: Server, settings: Settings, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No site's own extractor takes these; to ask each of 1,700 is half of yt-dlp's work. The test above has them all.
    monkeypatch.setattr(ytdlp, "OPTIONS", (*ytdlp.OPTIONS, "--use-extractors", "generic"))
    await follow(server, settings, tmp_path, way, forms(forbidden.port))
    assert server.connections > 0


@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.slow)])
async def test_addresses_in_a_script_under_a_sounds_name_are_not_followed(
    watched: WatchedIdentifier, forbidden: Server, tmp_path: Path, share: int
) -> None:
    path = tmp_path / "song.mp3"
    for url in some(forms(forbidden.port), "script", share):
        path.write_text(f"ffconcat version 1.0\nfile '{url}'\n", "utf-8")
        assert (await watched.identify(path)).code == "not-audio", url
