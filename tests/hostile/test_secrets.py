"""No token, path or inner address in any reply, log line or child's environment: planted ones are looked for."""

import asyncio
import contextlib
import logging
from pathlib import Path

import psutil
import pytest

from core.errors import GenreGenieError
from core.fetch.tempfiles import TemporaryFiles
from core.i18n.catalog import error_sentence
from core.i18n.languages import locales
from core.proxy.proxy import FetchProxy
from core.service.fetcher import Fetcher
from core.service.identify import LocalIdentifier, Request
from core.service.sources import AttachmentSource, LinkSource, PathSource, Source
from core.settings import Settings
from core.workers.pool import WorkerPool
from tests.core.fetch.servers import Exchange, Server
from tests.support.network import no_names

PLANTED = {
    "DISCORD_TOKEN": "planted-token",
    "GENREGENIE_DATABASE_URL": "postgresql://planted-user:planted-password@db/x",
    "AWS_SECRET_ACCESS_KEY": "planted-key",
    "HTTPS_PROXY": "http://planted-proxy:1",
}


async def dribble(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 90000\r\n\r\n")
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(0.05)


async def break_off(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 90000\r\n\r\nx")
    exchange.writer.close()


def bad_sources(server: Server, forbidden: Server, folder: Path) -> list[Source]:
    """Files, attachments and links that end in errors of many kinds."""
    server.serve("/noise.mp3", b"\x55" * 5_000, "audio/mpeg")
    server.serve("/page", f"<html><audio src='{forbidden.url('/a.mp3')}'></audio></html>")
    server.redirect("/inside", forbidden.url("/a.mp3"))
    server.routes |= {"/dribble.mp3": dribble, "/short.mp3": break_off}
    (folder / "empty.mp3").write_bytes(b"")
    (folder / "noise.mp3").write_bytes(bytes(range(256)) * 99)
    files = [folder / name for name in ("empty.mp3", "noise.mp3", "missing.mp3", ".", "\0.mp3")]
    paths = ("/noise.mp3", "/page", "/inside", "/dribble.mp3", "/short.mp3", "/nothing")
    links = [server.url(path) for path in paths] + [
        forbidden.url("/a.mp3"),
        "file:///etc/passwd",
        "http://nowhere.example/",
    ]
    return [
        *(PathSource(path) for path in files),
        *(AttachmentSource(url, "song.mp3") for url in links),
        *(LinkSource(url) for url in links),
    ]


async def watch_children(seen: set[str]) -> None:
    """Collect what can be seen of our children from outside: their environment and arguments."""
    while True:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                seen.add(f"{child.environ()}")
                seen.add(f"{child.cmdline()}")
        await asyncio.sleep(0.01)


async def test_nothing_that_was_planted_comes_out(
    server: Server,
    forbidden: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "planted-folder"
    folder.mkdir()
    settings = Settings(data_dir=folder / "data", allowed_hosts=(server.host,), job_timeout_s=8.0)
    caplog.set_level(logging.DEBUG, "core")
    sources = bad_sources(server, forbidden, folder)
    said: list[str] = []
    visible: set[str] = set()
    secrets: set[str] = set()

    async with contextlib.AsyncExitStack() as stack:
        files = stack.enter_context(TemporaryFiles(settings.data_dir / "tmp", quota=2**30, min_free=0))
        proxy = await stack.enter_async_context(FetchProxy(allowed_hosts=settings.allowed_hosts, resolver=no_names))
        pool = await stack.enter_async_context(WorkerPool(settings, size=1))
        await pool.ready()
        identifier = LocalIdentifier(settings, pool=pool, fetcher=Fetcher(settings, proxy=proxy, files=files))
        watching = asyncio.create_task(watch_children(visible))
        issue = proxy.url_with_secret
        monkeypatch.setattr(proxy, "url_with_secret", lambda lease: secrets.add(lease.secret) or issue(lease))

        async def identify(several: list[Source]) -> None:
            for source in several:
                with pytest.raises(GenreGenieError) as caught:
                    await identifier.identify(Request(source))
                error = caught.value
                said.extend([str(error), repr(error), *(error_sentence(error, name) for name in locales())])

        # What dribbles takes until the deadline.
        links = [source for source in sources if isinstance(source, LinkSource)]
        await asyncio.gather(identify(links), identify([source for source in sources if source not in links]))
        watching.cancel()

    assert len(set(said)) > 10
    assert secrets
    assert any("yt_dlp" in text for text in visible)
    replies_and_logs = "\n".join([*said, caplog.text])
    inner = (server.host, forbidden.host, "127.0.0.1", str(tmp_path), "Traceback", "/home", "site-packages")
    assert [word for word in ("planted", *inner, *secrets) if word in replies_and_logs] == []
    outside = "\n".join(text for text in visible)
    secret_texts = (*PLANTED.values(), *secrets, server.url("/"), forbidden.url("/"))
    assert [word for word in secret_texts if word in outside] == []
