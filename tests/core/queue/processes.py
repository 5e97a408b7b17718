"""`genregenie worker` as a real process, and an asker in this one."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import aiohttp
import psutil

from core.queue.asker import QueueIdentifier, open_queue
from core.settings import Settings
from tests.support.data import ROOT
from tests.support.processes import living_children

START_S = 180.0
HEALTH = re.compile(r"Health and metrics on ([\d.]+:\d+)")
SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


class WorkerProcess:
    """One `genregenie worker`; `async with` starts it, and ends it by SIGTERM."""

    def __init__(self, url: str, data: Path, **settings: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DISCORD_", "GENREGENIE_"))}
        self._environment = {
            **kept,
            "GENREGENIE_QUEUE_URL": url,
            "GENREGENIE_DATA_DIR": str(data),
            "GENREGENIE_HTTP_PORT": "0",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        self.log = ""
        self._reader: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process
        return self._process

    async def launch(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genregenie", "worker"),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self.log += line.decode(errors="replace")

    async def until_ready(self) -> None:
        async with asyncio.timeout(START_S):
            while await self._status() != 200:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def _status(self) -> int:
        if (found := HEALTH.search(self.log)) is None:
            return 0
        async with aiohttp.ClientSession() as session, session.get(f"http://{found[1]}/readyz") as answer:
            return answer.status

    async def metrics(self) -> dict[str, float]:
        found = HEALTH.search(self.log)
        assert found
        async with aiohttp.ClientSession() as session, session.get(f"http://{found[1]}/metrics") as answer:
            return {name: float(value) for name, value in SAMPLE.findall(await answer.text())}

    async def kill(self) -> None:
        """End it by SIGKILL; what it has started ends by itself."""
        children = living_children(self.process.pid)
        self.process.kill()
        await self.wait()
        psutil.wait_procs(children, 10)

    async def wait(self, within: float = 60) -> int:
        code = await asyncio.wait_for(self.process.wait(), within)
        if self._reader:
            await self._reader
        return code

    async def __aenter__(self) -> Self:
        await self.launch()
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            await self.wait()
        except TimeoutError:
            self.process.kill()
            raise
        assert "Traceback" not in self.log, self.log
        assert "genregenie.worker" not in self.log


@contextlib.asynccontextmanager
async def asking(url: str, *, store_is_shared: bool = True, max_jobs: int = 1_000) -> AsyncIterator[QueueIdentifier]:
    """Ask in this process."""
    settings = Settings.model_validate({"queue_url": url, "queue_max_jobs": max_jobs})
    async with AsyncExitStack() as stack:
        yield await open_queue(stack, settings, store_is_shared=store_is_shared)
