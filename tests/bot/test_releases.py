"""Which release is the newest: asked through the real proxy of a real server on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.releases import MAX_BYTES, Release, Releases, fetch_release, read_release
from bot.settings import BotSettings
from bot.storage.stores import Stores
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.proxy.lease import ProxyLease
from core.proxy.proxy import FetchProxy
from core.settings import load_settings
from core.version import VERSION
from tests.bot.storage.rows import Clock
from tests.core.fetch.certificates import Authority
from tests.core.fetch.servers import Exchange, running_server
from tests.support.network import authority  # noqa: F401  # a fixture

PAGE = "https://example.org/genregenie/releases/tag/v999.0.0"
NEWER = json.dumps({"tag_name": "v999.0.0", "html_url": PAGE, "assets": [{"size": 1}]}).encode()


def answering(**how: object) -> Callable[[Exchange], Awaitable[None]]:
    return lambda exchange: exchange.respond(**how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "release"),
    [
        (NEWER, Release("999.0.0", PAGE)),
        (b'{"tag_name": "1.2.3"}', Release("1.2.3", "")),
        (b'{"tag_name": "v1.2.3", "html_url": "javascript:alert(1)"}', Release("1.2.3", "")),
        (b'{"tag_name": "v1.2.3", "html_url": "https://example.org/> @everyone"}', Release("1.2.3", "")),
        (b'{"tag_name": "nightly", "html_url": "https://example.org/"}', None),
        (b'{"tag_name": "v1.2.3 @everyone"}', None),
        (b'{"tag_name": 3}', None),
        (b'["v1.2.3"]', None),
        (b"[" * 100_000, None),
        (b"\xff", None),
    ],
)
def test_only_a_version_and_an_address_are_read(body: bytes, release: Release | None) -> None:
    assert read_release(body) == release


@pytest.mark.parametrize(("version", "newer"), [("999.0.0", True), (VERSION, False), ("0.0.1", False)])
def test_a_release_is_newer_by_its_numbers(version: str, newer: bool) -> None:
    assert Release(version, "").is_newer is newer


async def test_the_address_is_asked_once_a_day_and_its_answer_outlives_a_restart(
    tmp_path: Path,
    authority: Authority,  # noqa: F811
) -> None:
    clock = Clock()
    async with running_server(authority.server_context()) as server:
        server.routes["/latest"] = answering(body=NEWER, kind="application/json")
        settings = BotSettings(data_dir=tmp_path, releases_url=server.url("/latest"))
        async with FetchProxy(allowed_hosts=[server.host], ca_file=authority.certificate) as proxy:
            for _ in range(2):
                stores = Stores(settings, clock=clock)
                await stores.open()
                releases = Releases(settings, proxy, stores.meta)
                await releases.refresh()
                assert await releases.newer() == Release("999.0.0", PAGE)
                await stores.close()
            assert server.requests == [("GET", "/latest")]
            clock.now += 86_400
            server.routes["/latest"] = answering(status=503)
            stores = Stores(settings, clock=clock)
            await stores.open()
            releases = Releases(settings, proxy, stores.meta)
            await releases.refresh()
            assert await releases.newer() == Release("999.0.0", PAGE), "what is known stays"
            assert len(server.requests) == 2
            assert await Releases(BotSettings(data_dir=tmp_path), proxy, stores.meta).newer() is None, "it is off"
            await stores.close()


async def _never(exchange: Exchange) -> None:
    await asyncio.sleep(3_600)


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(body=b" " * MAX_BYTES + NEWER),
        answering(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        answering(body=NEWER, status=404),
        answering(body=b"<html>"),
        _never,
    ],
    ids=["too large", "redirect", "not found", "no JSON", "never"],
)
async def test_what_is_no_answer_ends_in_none(
    behaviour: Callable[[Exchange], Awaitable[None]],
    authority: Authority,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if behaviour is _never:
        monkeypatch.setattr("bot.releases.WITHIN_S", 1.0)
    async with running_server(authority.server_context()) as server:
        server.routes["/latest"] = behaviour
        async with FetchProxy(allowed_hosts=[server.host], ca_file=authority.certificate) as proxy:
            assert await fetch_release(server.url("/latest"), proxy) is None
            assert len(server.requests) == 1


async def test_without_a_proxy_there_is_no_answer() -> None:
    class Broken(FetchProxy):
        @asynccontextmanager
        async def lease(self, **_: object) -> AsyncIterator[ProxyLease]:  # type: ignore[override]
            raise GenreGenieError(ErrorCode.INTERNAL)
            yield

    assert await fetch_release("https://example.org/latest", Broken()) is None


async def test_a_private_address_and_a_strangers_certificate_are_refused(authority: Authority) -> None:  # noqa: F811
    async with running_server(authority.server_context()) as server:
        server.routes["/latest"] = answering(body=NEWER)
        async with FetchProxy(allowed_hosts=[], ca_file=authority.certificate) as proxy:
            assert await fetch_release(server.url("/latest"), proxy) is None
            assert server.connections == 0
        async with FetchProxy(allowed_hosts=[server.host]) as proxy:
            assert await fetch_release(server.url("/latest"), proxy) is None
            assert server.requests == []


@pytest.mark.parametrize(
    ("value", "fits"), [("", True), ("https://example.org/latest", True), ("http://example.org/latest", False)]
)
def test_only_https_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, fits: bool) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENREGENIE_RELEASES_URL", value)
    if fits:
        assert load_settings(BotSettings).releases_url == (value or None)
    else:
        with pytest.raises(ConfigurationError, match="^GENREGENIE_RELEASES_URL: "):
            load_settings(BotSettings)
