"""The bot's part of logging: its libraries' loggers, and Discord's tokens, which no line may contain."""

import logging
import re
from typing import Final

from pydantic import SecretStr

from bot.settings import BotSettings
from core.logging_setup import set_up_logs

QUIET_LOGGERS: Final = ("discord", "alembic", "sqlalchemy", "aiosqlite", "procrastinate", "psycopg")

INTERACTION_TOKEN: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?'\"]+")
"""The token in the URL of an interaction's reply."""


def set_up_bot_logs(settings: BotSettings, *secrets: SecretStr | None) -> None:
    """Log to standard error without the bot's token, interactions' tokens and further secrets."""
    hidden = (settings.token, settings.queue_url, *secrets)
    set_up_logs(settings, *hidden, quiet_loggers=QUIET_LOGGERS, redact=[INTERACTION_TOKEN])
    # discord.py warns at every start that voice is not available; the bot does not use it.
    logging.getLogger("discord.client").addFilter(lambda record: "voice will NOT" not in record.getMessage())
