"""The bot's log lines: no token of the bot's or of an interaction's."""

import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from bot.logs import set_up_bot_logs
from bot.settings import BotSettings

TOKEN = "the.bots.token"  # made up


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("discord.client").filters.clear()


@pytest.fixture(params=[True, False], ids=["json", "text"])
def settings(request: pytest.FixtureRequest) -> BotSettings:
    return BotSettings(_env_file=None, log_json=request.param).model_copy(update={"token": SecretStr(TOKEN)})


def test_no_token_of_the_bot_or_of_an_interaction_is_in_a_line(
    settings: BotSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_bot_logs(settings)
    url = "https://discord.com/api/v10/webhooks/123456/aW50ZXJhY3Rpb24_secret-x/messages/@original"
    logging.getLogger("bot.test").warning("POST %s with %s failed", url, TOKEN)
    line = capsys.readouterr().err
    assert TOKEN not in line
    assert "aW50ZXJhY3Rpb24" not in line
    assert "/webhooks/123456/[removed]/messages/@original" in line


def test_the_missing_voice_support_is_not_worth_a_line(
    settings: BotSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_bot_logs(settings)
    logging.getLogger("discord.client").warning("PyNaCl is not installed, voice will NOT be supported")
    logging.getLogger("discord.client").warning("something else")
    (line,) = capsys.readouterr().err.splitlines()
    assert "something else" in line
