"""Attachments: only Discord's hosts, only whole, never more than the limit."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ErrorCode, GenreGenieError
from core.fetch.discord_cdn import fetch_attachment
from core.proxy.proxy import FetchProxy
from core.settings import Settings
from tests.core.fetch.certificates import Authority
from tests.core.fetch.servers import Exchange, Server, running_server

MIB = 1024 * 1024


async def failure(url: str, directory: Path, proxy: FetchProxy, settings: Settings, **more: object) -> ErrorCode:
    """Code of the error that fetching ends in."""
    with pytest.raises(GenreGenieError) as caught:
        await fetch_attachment(url, directory, proxy=proxy, settings=settings, **more)  # type: ignore[arg-type]
    return caught.value.code


def written(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


async def test_the_bytes_arrive_with_their_name_and_progress(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, song: bytes
) -> None:
    url = server.serve("/attachments/1/2/song.mp3", song, "audio/mpeg") + "?ex=1%2B2&is=3&hm=4"
    progress: list[tuple[int, int | None]] = []
    fetched = await fetch_attachment(
        url,
        directory,
        proxy=proxy,
        settings=settings,
        filename="my\nsong\u202e.mp3",
        size=len(song),
        on_progress=lambda received, total: progress.append((received, total)),
    )
    assert fetched.path.read_bytes() == song
    assert fetched.path.parent == directory
    assert fetched.title == "my song.mp3"
    assert progress[-1] == (len(song), len(song))
    assert server.requests == [("GET", "/attachments/1/2/song.mp3?ex=1%2B2&is=3&hm=4")]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/attachments/1/2/song.mp3", "blocked-address"),
        ("https://cdn.discordapp.com.example.com/song.mp3", "blocked-address"),
        ("https://example.com/cdn.discordapp.com/song.mp3", "blocked-address"),
        ("http://cdn.discordapp.com/song.mp3", "blocked-address"),
        ("https://cdn.discordapp.com:80/song.mp3", "blocked-address"),
        ("https://cdn.discordapp.com:8443/song.mp3", "blocked-address"),
        ("https://cdn.discordapp.com@example.com/song.mp3", "unsupported-link"),
        ("https://example.com\\@cdn.discordapp.com/song.mp3", "unsupported-link"),
        ("https://127.0.0.1/song.mp3", "blocked-address"),
        ("file:///etc/passwd", "unsupported-link"),
        ("", "unsupported-link"),
    ],
)
async def test_only_discords_hosts_and_the_allowed_ones_are_fetched_from(
    proxy: FetchProxy, settings: Settings, directory: Path, url: str, code: str
) -> None:
    assert await failure(url, directory, proxy, settings) == code
    assert proxy.connections == 0
    assert not proxy.refusals  # not even tried


@pytest.mark.parametrize("host", ["cdn.discordapp.com", "media.discordapp.net"])
async def test_discords_hosts_are_reached_over_tls_on_their_own_port(
    server: Server, settings: Settings, directory: Path, host: str
) -> None:
    resolved = []

    async def resolve(name: str) -> list[str]:
        resolved.append(name)
        return []

    async with FetchProxy(resolver=resolve) as proxy:
        assert await failure(f"https://{host}/attachments/1/2/a.mp3", directory, proxy, settings) == "unavailable"
    assert resolved == [host]


async def test_a_size_over_the_limit_is_refused_before_a_byte(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path
) -> None:
    url = server.serve("/big", b"x")
    assert await failure(url, directory, proxy, make(max_file_mb=1), size=MIB + 1) == "too-large"
    assert server.connections == 0


async def test_a_length_over_the_limit_is_refused_before_the_body(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path
) -> None:
    async def boast(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n")
        await asyncio.sleep(600)

    server.routes["/big"] = boast
    assert await failure(server.url("/big"), directory, proxy, make(max_file_mb=1)) == "too-large"
    assert written(directory) == 0


async def test_an_endless_body_is_cut_at_the_limit(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await exchange.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    server.routes["/endless"] = endless
    assert await failure(server.url("/endless"), directory, proxy, make(max_file_mb=1)) == "too-large"
    assert written(directory) <= MIB
    assert proxy.bytes_in < 3 * MIB


async def test_a_compressed_body_is_not_unpacked(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path
) -> None:
    packed = b"\x1f\x8b\x08whatever"
    server.routes["/bomb"] = lambda exchange: exchange.respond(packed, headers={"Content-Encoding": "gzip"})
    fetched = await fetch_attachment(server.url("/bomb"), directory, proxy=proxy, settings=settings)
    assert fetched.path.read_bytes() == packed


async def break_off(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
    exchange.writer.close()


async def break_off_in_a_chunk(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + b"x" * 5000)
    exchange.writer.close()


async def break_off_in_the_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-")
    exchange.writer.close()


async def say_nothing(exchange: Exchange) -> None:
    exchange.writer.close()


@pytest.mark.parametrize("behaviour", [break_off, break_off_in_a_chunk, break_off_in_the_head, say_nothing])
async def test_a_download_that_breaks_off_is_unavailable(
    server: Server,
    proxy: FetchProxy,
    settings: Settings,
    directory: Path,
    behaviour: Callable[[Exchange], object],
) -> None:
    server.routes["/"] = behaviour  # type: ignore[assignment]
    assert await failure(server.url(), directory, proxy, settings) == "unavailable"


async def test_fewer_bytes_than_discord_announced_are_unavailable(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path
) -> None:
    async def short(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonly this")
        exchange.writer.close()

    server.routes["/"] = short
    assert await failure(server.url(), directory, proxy, settings, size=100) == "unavailable"


@pytest.mark.parametrize("status", [204, 206, 301, 302, 400, 401, 403, 404, 410, 416, 429])
async def test_any_other_answer_is_unavailable(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, status: int
) -> None:
    server.routes["/"] = lambda exchange: exchange.respond(status=status, headers={"Location": "/elsewhere"})
    assert await failure(server.url(), directory, proxy, settings) == "unavailable"
    assert len(server.requests) == 1  # a redirect leads away from Discord's hosts


@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_of_the_servers_own_is_tried_again_once_and_called_one(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, status: int
) -> None:
    server.routes["/"] = lambda exchange: exchange.respond(status=status)
    assert await failure(server.url(), directory, proxy, settings) == "server-error"
    assert len(server.requests) == 2


async def test_a_host_that_refuses_connections_is_unavailable(
    proxy: FetchProxy, settings: Settings, server: Server, directory: Path
) -> None:
    async with running_server() as gone:
        pass
    closed = FetchProxy(allowed_hosts=[gone.host])
    allowing = Settings.model_validate({**settings.model_dump(), "allowed_hosts": gone.host})
    async with closed:
        assert await failure(gone.url(), directory, closed, allowing) == "unavailable"


async def test_a_slow_server_meets_the_deadline(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path
) -> None:
    async def dribble(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await exchange.send(b"x")
            await asyncio.sleep(0.1)

    server.routes["/"] = dribble
    assert await failure(server.url(), directory, proxy, make(job_timeout_s=1.0)) == "timeout"


async def test_cancelling_cuts_the_connection(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path
) -> None:
    cut = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while True:
                await exchange.send(b"x")
                await asyncio.sleep(0.01)
        except OSError:
            cut.set()
            raise

    server.routes["/"] = endless
    fetching = asyncio.create_task(fetch_attachment(server.url(), directory, proxy=proxy, settings=settings))
    await server.wait_for_requests()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    async with asyncio.timeout(30):
        await cut.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
async def test_a_full_disk_is_busy(server: Server, proxy: FetchProxy, settings: Settings, song: bytes) -> None:
    class Full(type(Path())):  # type: ignore[misc]
        """A directory in which every file is one that takes nothing."""

        def __truediv__(self, name: str) -> Path:
            return Path("/dev/full")

    url = server.serve("/song.mp3", song * 20)
    assert await failure(url, Full("anywhere"), proxy, settings) == "busy"


async def test_https_is_verified_with_the_added_authority(
    settings: Settings, directory: Path, song: bytes, authority: Authority
) -> None:
    async with running_server(authority.server_context()) as secure:
        url = secure.serve("/song.mp3", song)
        allowing = Settings.model_validate({**settings.model_dump(), "allowed_hosts": secure.host})
        async with FetchProxy(allowed_hosts=[secure.host], ca_file=authority.certificate) as proxy:
            fetched = await fetch_attachment(url, directory, proxy=proxy, settings=allowing)
            assert fetched.path.read_bytes() == song
            assert proxy.ssl_context.verify_mode == ssl.CERT_REQUIRED
        async with FetchProxy(allowed_hosts=[secure.host]) as proxy:
            assert await failure(url, directory, proxy, allowing) == "unavailable"
