"""What the tests of the core share."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from core.workers.pool import WorkerPool
from tests.support.audio import encode

OpenPool = Callable[..., AbstractAsyncContextManager[WorkerPool]]


@pytest.fixture
def open_pool(tmp_path: Path) -> OpenPool:
    """Open a pool of warm workers: `async with open_pool(size=2, job_timeout_s=5) as pool`."""

    @asynccontextmanager
    async def opened(*, size: int = 1, max_queue: int = 100, **settings: Any) -> AsyncIterator[WorkerPool]:
        values = Settings.model_validate({"data_dir": tmp_path / "data", "max_file_mb": 100, **settings})
        async with WorkerPool(values, size=size, max_queue=max_queue) as pool:
            await pool.ready()
            yield pool

    return opened


@pytest.fixture(scope="session")
def hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of almost silence in a small file: work that lasts long enough to be ended in the middle."""
    tone = ("-f", "lavfi", "-i", "sine=100:r=8000", "-t", "10800", "-c:a", "flac")
    return encode(tmp_path_factory.mktemp("hours") / "hours.flac", *tone)
