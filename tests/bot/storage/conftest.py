"""The stores of one database: an SQLite file in the test's own directory, or a PostgreSQL of the tests' own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.settings import BotSettings
from bot.storage.stores import Stores
from tests.bot.storage.rows import Clock, settings
from tests.support.postgres import Cluster


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> BotSettings:
    return settings(tmp_path)


@pytest.fixture
def postgres_settings(postgres: Cluster, tmp_path: Path) -> BotSettings:
    return settings(tmp_path, database_url=postgres.url(postgres.new_database()))


@pytest.fixture
async def stores(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Stores]:
    """Those of SQLite, or of what the test's parameter names."""
    own: BotSettings = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_settings")
    opened = Stores(own, clock=clock)
    await opened.open()
    yield opened
    await opened.close()
