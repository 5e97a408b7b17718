"""The stores of one database in the test's own directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.stores import Stores
from tests.bot.storage.rows import Clock, settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[Stores]:
    opened = Stores(settings(tmp_path), clock=clock)
    await opened.open()
    yield opened
    await opened.close()
