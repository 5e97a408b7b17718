"""Log lines: one an event, without secrets and stack traces."""

import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from core.logging_setup import LineFormatter, set_up_logs
from core.settings import Settings

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
def test_no_secret_and_nothing_that_a_pattern_redacts_is_in_a_line(as_json: bool) -> None:
    formatter = LineFormatter(as_json=as_json, secrets=[TOKEN], redact=[re.compile(r"(/keys/)\w+")])
    line = formatter.format(record("POST %s with %s failed", "https://example.com/keys/a1b2c3/use", TOKEN))
    assert TOKEN not in line
    assert "a1b2c3" not in line
    assert "https://example.com/keys/[removed]/use" in line


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_removed_as_json_writes_it_too(as_json: bool) -> None:
    formatter = LineFormatter(as_json=as_json, secrets=['pässword "one"'])
    line = formatter.format(record("failed", fields={"name": 'with pässword "one" again'}))
    assert "ssword" not in line


@pytest.mark.parametrize("as_json", [True, False])
def test_a_failure_is_one_line_that_says_where_and_not_what(as_json: bool) -> None:
    line = LineFormatter(as_json=as_json).format(failing())
    assert "\n" not in line
    assert "ValueError in failing, line" in line
    assert "secret" not in line
    assert "Traceback" not in line


def test_json_has_the_fields_of_a_request() -> None:
    fields: dict[str, object] = {"guild": 5, "kind": "slash", "seconds": 1.5, "outcome": "verdict"}
    described = json.loads(LineFormatter(as_json=True).format(record("request", fields=fields)))
    assert described.items() >= {"level": "WARNING", "message": "request", **fields}.items()


def test_text_has_the_fields_of_a_request() -> None:
    line = LineFormatter(as_json=False).format(record("request", fields={"guild": None, "outcome": "a b"}))
    assert line.endswith('bot.test: request guild=- outcome="a b"')


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("restored_logging")
def test_libraries_log_warnings_only_and_all_lines_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(Settings(), quiet_loggers=["a_library"], redact=[re.compile(r"(key=)\w+")])
    for name in ("a_library", "aiohttp", "core.test"):
        logging.getLogger(name).info("info of %s, key=a1b2c3", name)
        logging.getLogger(name).warning("warning of %s, key=a1b2c3", name)
    lines = capsys.readouterr().err.splitlines()
    shown = [line.partition(": ")[2].partition(",")[0] for line in lines]
    assert shown == ["warning of a_library", "warning of aiohttp", "info of core.test", "warning of core.test"]
    assert all(line.endswith("key=[removed]") for line in lines)
