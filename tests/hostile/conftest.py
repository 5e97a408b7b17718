"""The whole of fetching and classifying, watched while it meets hostile input."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.fetch.tempfiles import TemporaryFiles
from core.inference.model_card import model_file
from core.proxy.proxy import FetchProxy
from core.sandbox.supervisor import used_bytes
from core.service.fetcher import Fetcher
from core.service.identify import LocalIdentifier, Request
from core.service.sources import LinkSource, PathSource
from core.settings import Settings
from core.verdict import Verdict
from core.workers.pool import WorkerPool
from tests.core.fetch.servers import Server
from tests.support.network import forbidden, server  # noqa: F401 - fixtures

MIB = 1024 * 1024


@dataclass
class Outcome:
    """What came of a request.

    Attributes:
        verdict: None if there was an error.
        code: None if there was a verdict.
        seconds: that it took.
        memory: the most that any one child held meanwhile, bytes.
        disk: the most that lay in the data directory meanwhile, bytes.
    """

    verdict: Verdict | None = None
    code: ErrorCode | None = None
    seconds: float = 0.0
    memory: int = 0
    disk: int = 0


class WatchedIdentifier:
    """Identifies songs and watches what that costs."""

    def __init__(self, identifier: LocalIdentifier, data_dir: Path) -> None:
        self._identifier = identifier
        self._data_dir = data_dir

    async def identify(self, source: Path | str) -> Outcome:
        """Identify a file or a link."""
        outcome = Outcome()
        watch = asyncio.create_task(self._watch(outcome))
        began = time.monotonic()
        request = Request(PathSource(source) if isinstance(source, Path) else LinkSource(source))
        try:
            outcome.verdict = (await self._identifier.identify(request)).verdict
        except GenreGenieError as error:
            outcome.code = error.code
        finally:
            outcome.seconds = time.monotonic() - began
            watch.cancel()
        return outcome

    async def _watch(self, outcome: Outcome) -> None:
        while True:
            outcome.memory = max(outcome.memory, largest_child())
            outcome.disk = max(outcome.disk, used_bytes(self._data_dir))
            await asyncio.sleep(0.02)


def largest_child() -> int:
    """Resident bytes of the largest process that we have started."""
    sizes = [0]
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            sizes.append(child.memory_info().rss)
    return max(sizes)


def processor_seconds_of_ffmpegs() -> float:
    """Processor time of all that our workers have started and waited for."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(time.children_user + time.children_system for time in times)


@pytest.fixture(scope="session", autouse=True)
def _a_model_is_there() -> None:
    try:
        model_file(Settings().model)
    except ConfigurationError:
        pytest.skip("models/ holds no model yet")


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", allowed_hosts=(server.host,), job_timeout_s=150.0)


@pytest.fixture
async def watched(settings: Settings, leaves_nothing: Path) -> AsyncIterator[WatchedIdentifier]:
    """Everything that answers a request; nothing of it may be left."""
    with TemporaryFiles(settings.data_dir / "tmp", quota=1024 * MIB, min_free=0) as files:
        async with FetchProxy(allowed_hosts=settings.allowed_hosts) as proxy, WorkerPool(settings, size=2) as pool:
            await pool.ready()
            fetcher = Fetcher(settings, proxy=proxy, files=files)
            yield WatchedIdentifier(LocalIdentifier(settings, pool=pool, fetcher=fetcher), settings.data_dir)
            assert pool.restarts == 0
            assert files.reserved == 0
        left = [path for path in (settings.data_dir / "tmp").rglob("*") if path.name != "lock" and path.is_file()]
        assert not left


@pytest.fixture
def bombs(tmp_path: Path) -> Iterator[Path]:
    """A directory for large files, emptied at once: pytest keeps what it was given."""
    directory = tmp_path / "bombs"
    directory.mkdir()
    yield directory
    for path in directory.iterdir():
        path.unlink()
