"""The log's lines: one an event, without secrets and traces."""

import json
import logging
import sys

import pytest

from core.logging_setup import LineFormatter

TOKEN = "the.bots.token"  # made up


def record(message: str, *arguments: object, fields: dict[str, object] | None = None) -> logging.LogRecord:
    made = logging.LogRecord("bot.test", logging.WARNING, __file__, 1, message, arguments, None)
    if fields is not None:
        made.fields = fields
    return made


def failing() -> logging.LogRecord:
    try:
        raise ValueError("a secret\nof two lines")
    except ValueError:
        return logging.LogRecord("bot.test", logging.ERROR, __file__, 1, "It failed", (), sys.exc_info())


@pytest.mark.parametrize("as_json", [True, False])
def test_no_token_of_the_bot_or_of_an_interaction_is_in_a_line(as_json: bool) -> None:
    formatter = LineFormatter(as_json=as_json, secrets=(TOKEN,))
    url = "https://discord.com/api/v10/webhooks/123456/aW50ZXJhY3Rpb24_secret-x/messages/@original"
    line = formatter.format(record("POST %s with %s failed", url, TOKEN))
    assert TOKEN not in line
    assert "aW50ZXJhY3Rpb24" not in line
    assert "/webhooks/123456/[removed]/messages/@original" in line


@pytest.mark.parametrize("as_json", [True, False])
def test_a_failure_is_one_line_that_says_where_and_not_what(as_json: bool) -> None:
    line = LineFormatter(as_json=as_json, secrets=()).format(failing())
    assert "\n" not in line
    assert "ValueError in failing, line" in line
    assert "secret" not in line
    assert "Traceback" not in line


def test_json_has_the_fields_of_a_request() -> None:
    fields: dict[str, object] = {"guild": 5, "kind": "slash", "seconds": 1.5, "outcome": "verdict"}
    described = json.loads(LineFormatter(as_json=True, secrets=()).format(record("request", fields=fields)))
    assert described.items() >= {"level": "WARNING", "message": "request", **fields}.items()


def test_text_has_the_fields_of_a_request() -> None:
    line = LineFormatter(as_json=False, secrets=()).format(record("request", fields={"guild": None, "outcome": "a b"}))
    assert line.endswith('bot.test: request guild=- outcome="a b"')
