"""One Discord and one bot for all tests of a worker; each test has a server and members of its own."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count

import pytest
import pytest_asyncio

from core.errors import ConfigurationError
from core.inference.model_card import model_file
from tests.bot.end_to_end.process import BotProcess
from tests.discord_server import Channel, Discord, Guild, User

LIMITS = {
    "GENREGENIE_MAX_FILE_MB": "10",
    "GENREGENIE_MAX_DURATION_S": "180",
    "GENREGENIE_JOB_TIMEOUT_S": "60",
}
"""Small ones, so that they are quickly reached."""

_numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests on one event loop: the Discord lives on it."""
    for item in items:
        if item.path.parent.name == "end_to_end":
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session", autouse=True)
def _needs_a_model() -> None:
    try:
        model_file(os.environ.get("GENREGENIE_MODEL"))
    except ConfigurationError as error:
        pytest.skip(f"needs a model: {error}")


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def discord() -> AsyncIterator[Discord]:
    async with Discord() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def _bot(discord: Discord, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BotProcess]:
    async with BotProcess(discord, tmp_path_factory.mktemp("bot"), module="genregenie", **LIMITS) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="session")
async def bot(_bot: BotProcess) -> BotProcess:
    """The bot, started again if a test that failed has left it ended."""
    if _bot.process.returncode is not None:
        await _bot.start()
    return _bot


@pytest.fixture(autouse=True)
def _strict(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if the bot did what no bot may do, and let no fault outlive it."""
    yield
    if "discord" in request.fixturenames:
        discord: Discord = request.getfixturevalue("discord")
        discord.world.faults.clear()
        complaints = discord.forgive(*{complaint.code for complaint in discord.complaints})
        assert not complaints, "\n".join(map(str, complaints))


@dataclass(frozen=True)
class House:
    """A server with two members."""

    guild: Guild
    channel: Channel
    owner: User
    ana: User
    ben: User


@pytest.fixture
def house(discord: Discord) -> House:
    return furnished(discord)


def furnished(discord: Discord, *, locale: str = "en-US", identity: int | None = None) -> House:
    """Make a server in a language, with members who speak it."""
    number = next(_numbers)
    ana, ben = (discord.user(f"{name}{number}", locale=locale) for name in ("ana", "ben"))
    guild = discord.guild(f"house {number}", locale=locale, channels=["general", "music"], identity=identity)
    guild.join(ana)
    guild.join(ben)
    return House(guild, guild.channels[0], guild.owner, ana, ben)
