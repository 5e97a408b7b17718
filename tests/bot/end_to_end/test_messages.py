"""What members and admins read, word for word: `docs/messages/` has it all, so that a review sees what has changed."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.i18n.languages import locales
from tests.bot.end_to_end.conftest import LIMITS
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.scenes import GUESS_S, Scenes, interrupted, make_known, spectrogram
from tests.discord_server import Discord
from tests.discord_server.look import as_text
from tests.discord_server.ratelimits import Limit
from tests.support.data import ROOT

MESSAGES = ROOT / "docs" / "messages"
AGAIN = "if that is meant to be so: `python -m docs.make_discord_picture`"


def written(locale: str) -> list[str]:
    return re.split(r"\n\n(?=== )", (MESSAGES / f"{locale}.txt").read_text("utf-8").strip())


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def talkative(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BotProcess]:
    """A bot with short games and an owner of its own, who can look at all of its servers."""
    async with Discord() as discord:
        for number in range(2):
            discord.guild(f"another {number}")
        # What is asked in direct messages here, one after the other, takes members an hour.
        for route in ("create_message", "edit_message"):
            discord.rate_limits.limits[route] = Limit(500, 5.0)
        data = tmp_path_factory.mktemp("messages")
        async with BotProcess(discord, data, **LIMITS, GENREGENIE_GUESS_S=str(GUESS_S)) as process:
            yield process
        assert discord.complaints == [], "\n".join(map(str, discord.complaints))


@pytest.mark.parametrize("locale", locales())
async def test_messages_are_those_that_were_read_last(talkative: BotProcess, locale: str) -> None:
    make_known(talkative.data, spectrogram())
    scenes = Scenes(talkative.discord, locale)
    said = [as_text(shown, scenes.names) for shown in await scenes.play()]
    assert said == written(locale)[:-1], AGAIN


@pytest.mark.slow
async def test_what_a_crash_interrupts_says_so_in_every_language(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, **LIMITS, GENREGENIE_WORKERS="6") as process:
        scenes = [Scenes(discord, locale) for locale in locales()]
        await interrupted(discord, process, scenes)
        for scene in scenes:
            said = [as_text(shown, scene.names) for shown in scene.shown]
            assert said == written(scene.locale)[-1:], AGAIN
