"""Logging: one line an event on standard error, as text or JSON, without secrets and stack traces."""

import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import SecretStr

from core.settings import Settings

REDACTED: Final = "[removed]"
QUIET_LOGGERS: Final = ("aiohttp", "asyncio", "filelock", "PIL")
"""Loggers of the core's libraries, which report nothing below a warning."""

current_reference: Final[ContextVar[str | None]] = ContextVar("current_reference", default=None)
"""Short id of what the running task is about: every line that it and its subtasks log has it as `id`."""


def new_reference() -> str:
    """Make a short id: eight characters are read out to a host, and of ten thousand a day hardly two are the same."""
    return secrets.token_hex(4)


class LineFormatter(logging.Formatter):
    """Formats every record as one line, without secrets.

    Args:
        as_json: write JSON objects instead of text.
        secrets: strings to remove.
        redact: patterns of which everything but the first group is removed.
        traces: include exceptions' stack traces; for debugging.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        secrets: Sequence[str] = (),
        redact: Sequence[re.Pattern[str]] = (),
        traces: bool = False,
    ) -> None:
        super().__init__()
        self._as_json = as_json
        self._secrets = secrets
        self._redact = redact
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        reference = current_reference.get()
        fields: dict[str, Any] = {**getattr(record, "fields", {}), **({"id": reference} if reference else {})}
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
            # As it is, and as JSON writes it.
            line = line.replace(secret, REDACTED).replace(json.dumps(secret)[1:-1], REDACTED)
        for pattern in self._redact:
            line = pattern.sub(rf"\1{REDACTED}", line)
        return line


def _plain(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    return json.dumps(text) if " " in text else text


def set_up_logs(
    settings: Settings,
    *secrets: SecretStr | None,
    quiet_loggers: Sequence[str] = (),
    redact: Sequence[re.Pattern[str]] = (),
) -> None:
    """Log to standard error as the settings say, libraries only from warnings on.

    Args:
        settings: level and format.
        secrets: what to remove from every line.
        quiet_loggers: further libraries' loggers.
        redact: patterns of which everything but the first group is removed from every line.
    """
    hidden = [value for secret in secrets if secret and (value := secret.get_secret_value().strip())]
    debugging = settings.log_level == "DEBUG"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(as_json=settings.log_json, secrets=hidden, redact=redact, traces=debugging))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in (*QUIET_LOGGERS, *quiet_loggers):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
