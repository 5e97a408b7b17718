"""`genregenie bot` as a real process, against the Discord on loopback."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import psutil

from tests.discord_server import Discord
from tests.support.data import ROOT
from tests.support.processes import living_children, runs_module

START_S = 60.0
"""Ceiling for a start, seconds."""

STOP_S = 25.0
"""Ceiling for an end: the bot's own promise is twenty seconds."""

HEALTH = re.compile(r"Health and metrics on ([\d.]+:\d+)")
SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


def environment(discord: Discord, data: Path, **more: str) -> dict[str, str]:
    """Return the environment of a bot: this one's without settings of the machine's owner, and those given."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DISCORD_", "GENREGENIE_")) or key == "GENREGENIE_MODEL"
    }
    settings = {
        "DISCORD_TOKEN": discord.token,
        "DISCORD_API_URL": discord.api_url,
        "DISCORD_GATEWAY_URL": discord.gateway.url,
        "GENREGENIE_ALLOWED_HOSTS": discord.host,
        "GENREGENIE_DATA_DIR": str(data),
        "GENREGENIE_HTTP_PORT": "0",
    }
    return {**kept, **settings, **more}


class BotProcess:
    """One bot. Its log is kept over restarts; `data` is its data directory.

    Use it as `async with BotProcess(...) as bot`: it is ended by SIGTERM, and its log must then hold neither a
    trace nor its token.

    Args:
        discord: where it logs in.
        data: its data directory.
        module: that is run, `genregenie` or one that waits less for servers that do not come.
        settings: further ones, as environment variables.
    """

    def __init__(
        self, discord: Discord, data: Path, *, module: str = "tests.bot.end_to_end.quick_start", **settings: str
    ) -> None:
        self._module = module
        self.discord = discord
        self.data = data
        self.settings = settings
        self.log = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready for members."""
        await self.launch()
        await self.until(lambda: self.discord.gateway.live and self.discord.commands.registered, "the connection")
        await self.until_ready()

    async def launch(self) -> None:
        """Start it and wait for nothing."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            "bot",
            cwd=self.data,
            env=environment(self.discord, self.data, **self.settings) | {"PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1024 * 1024,
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process
        assert self._process.stderr
        async for line in self._process.stderr:
            self.log += line.decode(errors="replace")

    async def until(self, condition: Callable[[], object], what: str, within: float = START_S) -> None:
        """Wait for something while the process lives.

        Raises:
            AssertionError: it ended, or took too long; with its log.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    assert self.process.returncode is None, f"the bot ended before {what}:\n{self.log}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{what} did not come within {within} s:\n{self.log}") from None

    async def until_ready(self) -> None:
        """Wait until gateway, database and a worker are ready."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(START_S):
            while True:
                async with session.get(await self.address() + "/readyz") as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.05)

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process, "the bot was not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> list[psutil.Process]:
        """All processes beneath it."""
        return living_children(self.pid)

    def workers(self) -> list[psutil.Process]:
        """The workers and what they have started: all beneath it but the proxy."""
        return [child for child in self.children() if not runs_module(child, "core.proxy.child")]

    async def address(self) -> str:
        """Return where its health pages are."""
        await self.until(lambda: HEALTH.search(self.log), "the health page's address")
        return f"http://{HEALTH.findall(self.log)[-1]}"

    async def metrics(self) -> dict[str, float]:
        """Return the metrics of this moment, by name and labels."""
        async with aiohttp.ClientSession() as session, session.get(await self.address() + "/metrics") as answer:
            assert answer.status == 200
            return {name: float(value) for name, value in SAMPLE.findall(await answer.text())}

    async def wait(self, within: float = STOP_S) -> int:
        """Wait for its end; return its exit code."""
        code = await asyncio.wait_for(self.process.wait(), within)
        assert self._reader
        await self._reader
        return code

    async def stop(self) -> int:
        """End it as a service manager does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.wait()

    async def restart(self) -> None:
        """End it and start it again with the same data."""
        assert await self.stop() == 0, self.log
        self.log = ""
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        try:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await self.wait()
        except TimeoutError:
            self._process.kill()
            await self.wait()
            raise
        finally:
            self.check_log()

    def check_log(self) -> None:
        """Fail if the log has a trace or the token."""
        assert "Traceback" not in self.log, self.log
        assert self.discord.token not in self.log
