"""The log: a line an event on standard error, as text or JSON; no contents, no tokens, no traces."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import SecretStr

from core.settings import Settings

INTERACTION_TOKEN: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?'\"]+")
REDACTED: Final = "[removed]"
LIBRARIES: Final = (
    "discord",
    "aiohttp",
    "asyncio",
    "alembic",
    "sqlalchemy",
    "aiosqlite",
    "PIL",
    "uvicorn",
    "httpx",
    "gradio",
)


class LineFormatter(logging.Formatter):
    """Makes every record one line, without the secrets given.

    Args:
        as_json: an object a line instead of text.
        secrets: strings that never appear.
        traces: put an exception's trace into the line; for debugging.
    """

    def __init__(self, *, as_json: bool, secrets: tuple[str, ...], traces: bool = False) -> None:
        super().__init__()
        self._as_json = as_json
        self._secrets = secrets
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = self._describe(record.exc_info[1])
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if self._as_json:
            line = json.dumps(
                {"time": time, "level": record.levelname, "logger": record.name, "message": message, **fields},
                default=str,
            )
        else:
            pairs = "".join(f" {name}={_plain(value)}" for name, value in fields.items())
            line = f"{time} {record.levelname} {record.name}: {message}{pairs}".replace("\n", " | ")
        return self._redacted(line)

    def _describe(self, error: BaseException) -> str:
        if self._traces:
            return "".join(traceback.format_exception(error))
        frames = traceback.extract_tb(error.__traceback__)
        name = type(error).__name__
        return f"{name} in {frames[-1].name}, line {frames[-1].lineno}" if frames else name

    def _redacted(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, REDACTED)
        return INTERACTION_TOKEN.sub(rf"\1{REDACTED}", line)


def _plain(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    return json.dumps(text) if " " in text else text


def set_up_logs(settings: Settings, *secrets: SecretStr | None) -> None:
    """Send all records to standard error, and let libraries speak of trouble only.

    Args:
        settings: level and form.
        secrets: what appears in no line.
    """
    hidden = tuple(value for secret in secrets if secret and (value := secret.get_secret_value().strip()))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(as_json=settings.log_json, secrets=hidden, traces=settings.log_level == "DEBUG"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    # It says at every start that there will be no voice: nobody wants any.
    logging.getLogger("discord.client").addFilter(lambda record: "voice will NOT" not in record.getMessage())
