"""`GENREGENIE_WEB=1`: one process that answers on Discord and serves the page, on the same workers."""

import asyncio
import re
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.constants import GENRES
from tests.bot.end_to_end.answers import answer, genre_of
from tests.bot.end_to_end.conftest import furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.bot.end_to_end.test_lifecycle import exit_code_and_last_line
from tests.discord_server import Discord
from tests.support.processes import is_alive

PAGE = re.compile(r"The page listens on (http://\S+)/")
TOKEN = "a-token-for-programs-of-24"
PASSWORD = "four words of it"


def settings(**more: str) -> dict[str, str]:
    return {
        "GENREGENIE_WEB": "1",
        "GENREGENIE_WEB_PORT": "0",
        "GENREGENIE_WEB_API_TOKEN": TOKEN,
        "GENREGENIE_WEB_PASSWORD": PASSWORD,
        **more,
    }


async def page_of(bot: BotProcess) -> str:
    await bot.until(lambda: PAGE.search(bot.log), "the page's address")
    return PAGE.findall(bot.log)[-1]


async def classify(page: str, body: bytes) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/octet-stream"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{page}/api/v1/classify?name=song.ogg", data=body) as response,
    ):
        return response.status, await response.json()


async def test_members_and_visitors_are_answered_by_one_worker_in_turns(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, **settings()) as bot:
        house = furnished(discord)
        page = await page_of(bot)
        assert (await bot.metrics())["genregenie_workers_ready"] == 1
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{page}/en/") as response:
                assert response.url.path == "/en/login"
            async with session.get(await bot.address() + "/readyz") as response:
                assert (await response.json())["page"] is True
        visitors = [asyncio.create_task(classify(page, new_song(6).data)) for _ in range(4)]
        asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(7))
        assert genre_of(await answer(asked)) in GENRES
        for status, verdict in await asyncio.gather(*visitors):
            assert status == 200
            assert verdict["genre"] in GENRES
        samples = await bot.metrics()
        assert samples['genregenie_requests_total{kind="page-file",outcome="verdict"}'] == 4
        assert samples['genregenie_requests_total{kind="slash",outcome="verdict"}'] == 1
        assert samples["genregenie_running"] == 0
        children = bot.children()
    assert not any(map(is_alive, children))
    assert {file.name for file in (tmp_path / "tmp").rglob("*")} <= {"lock"}
    assert PASSWORD not in bot.log
    assert TOKEN not in bot.log


@pytest.mark.slow
async def test_it_ends_in_time_while_a_visitor_waits_and_a_member_s_song_is_fetched(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, **settings()) as bot:
        house = furnished(discord)
        slow = new_song(20, bytes_per_s=10_000)
        discord.slash("genre", user=house.ana, channel=house.channel, file=slow)
        await discord.until(lambda: discord.downloads(slow), what="the download")
        host, port = (await page_of(bot)).removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /api/v1/classify HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 9999\r\n\r\nthe rest never comes".encode()
        )
        await writer.drain()
        began = time.monotonic()
        assert await bot.stop() == 0, bot.log
        assert time.monotonic() - began < 20
        writer.close()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"GENREGENIE_WEB_PORT": "taken"}, r"GENREGENIE_WEB_HOST, GENREGENIE_WEB_PORT: cannot listen on .*in use"),
        ({"GENREGENIE_WEB_HOST": "0.0.0.0", "GENREGENIE_WEB_PASSWORD": ""}, r"GENREGENIE_WEB_PASSWORD: needed"),
    ],
    ids=["port", "password"],
)
async def test_a_page_that_cannot_be_opened_is_one_clear_line(
    discord: Discord, tmp_path: Path, more: dict[str, str], line: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = {name: value.replace("taken", port) for name, value in more.items()}
        code, last = await exit_code_and_last_line(BotProcess(discord, tmp_path, **settings(**given)))
    assert code == 2
    assert re.match(line, last), last
