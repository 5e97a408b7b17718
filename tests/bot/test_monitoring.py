"""Health and metrics on a real port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot import monitoring
from bot.monitoring import HealthServer, Metrics, ytdlp_warnings
from bot.settings import BotSettings
from core.errors import ConfigurationError
from core.fetch.ytdlp_install import UPDATE

PARTS = {"gateway": True, "workers": True, "database": True}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(directory: Path, parts: Mapping[str, bool]) -> AsyncIterator[str]:
    async def readiness() -> Mapping[str, bool]:
        return parts

    port = free_port()
    metrics = Metrics()
    metrics.observe("slash", "silent", 1.5, None)
    server = HealthServer(BotSettings(_env_file=None, data_dir=directory, http_port=port), metrics, readiness)
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.close()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_it_is_ready_when_all_parts_are(tmp_path: Path) -> None:
    async with serving(tmp_path, PARTS) as url:
        assert (await get(f"{url}/readyz"))[0] == 200
        assert (await get(f"{url}/healthz"))[0] == 200


@pytest.mark.parametrize("lacking", list(PARTS))
async def test_it_lives_but_is_not_ready_while_a_part_is_missing(tmp_path: Path, lacking: str) -> None:
    async with serving(tmp_path, {**PARTS, lacking: False}) as url:
        status, text = await get(f"{url}/readyz")
        assert status == 503
        assert f'"{lacking}": false' in text
        assert (await get(f"{url}/healthz"))[0] == 200


async def test_metrics_count_requests_by_outcome(tmp_path: Path) -> None:
    async with serving(tmp_path, PARTS) as url:
        status, text = await get(f"{url}/metrics")
    assert status == 200
    assert 'genregenie_requests_total{kind="slash",outcome="silent"} 1.0' in text
    assert "genregenie_request_seconds_sum 1.5" in text


@pytest.mark.parametrize("chosen", [True, False], ids=["chosen port", "default port"])
async def test_only_a_port_that_was_chosen_has_to_be_free(tmp_path: Path, chosen: bool) -> None:
    async def readiness() -> Mapping[str, bool]:
        return PARTS

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given: dict[str, Any] = {"http_port": port} if chosen else {}
        settings = BotSettings(_env_file=None, data_dir=tmp_path, **given)
        if not chosen:
            object.__setattr__(settings, "http_port", port)
            settings.model_fields_set.discard("http_port")
        server = HealthServer(settings, Metrics(), readiness)
        if chosen:
            with pytest.raises(ConfigurationError, match=str(port)):
                await server.start()
        else:
            await server.start()
            await server.close()


@pytest.mark.parametrize("public", [[], ["8.8.8.8"]])
async def test_metrics_that_the_internet_can_read_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, public: list[str]
) -> None:
    monkeypatch.setattr("bot.monitoring.public_addresses", lambda _: public)
    async with serving(tmp_path, PARTS):
        assert ("8.8.8.8" in caplog.text) == bool(public)


def test_the_owner_is_warned_of_what_keeps_links_from_working() -> None:
    assert ytdlp_warnings(("2026.01.01", 60), "/usr/bin/deno") == []
    [old] = ytdlp_warnings(("2026.01.01", 61), "/usr/bin/deno")
    assert "61 days" in old
    [none] = ytdlp_warnings(None, "/usr/bin/deno")
    assert "not installed" in none
    [runtime] = ytdlp_warnings(("2026.01.01", 1), None)
    assert "YouTube" in runtime
    assert all(UPDATE in warning for warning in (old, none, runtime))


async def test_the_warning_is_in_the_log_at_start_and_again_every_day(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitoring, "ytdlp_version", lambda: ("2026.01.01", 90))
    monkeypatch.setattr(monitoring, "DAY_S", 0.0)
    watching = asyncio.create_task(monitoring.watch_ytdlp())
    async with asyncio.timeout(60):
        while caplog.text.count("90 days old") < 2:  # noqa: ASYNC110 -- the log has no event
            await asyncio.sleep(0.01)
    watching.cancel()
