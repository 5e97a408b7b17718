"""Sessions on a real disk."""

import stat
from pathlib import Path

import pytest

import web.sessions
from web.sessions import SESSION_S, Sessions

PASSWORD = "open sesame"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


def test_a_session_outlives_a_restart_and_can_be_ended(path: Path) -> None:
    sessions = Sessions(PASSWORD, path)
    first, second = sessions.start(), sessions.start()
    assert Sessions(PASSWORD, path).is_open(first)
    again = Sessions(PASSWORD, path)
    again.end(first)
    for one in (again, Sessions(PASSWORD, path)):
        assert not one.is_open(first)
        assert one.is_open(second)
        assert not one.is_open("")
        assert not one.is_open("guessed")


def test_a_new_password_ends_all_sessions(path: Path) -> None:
    session = Sessions(PASSWORD, path).start()
    assert not Sessions("another password", path).is_open(session)
    assert Sessions(PASSWORD, path).is_open(session)


def test_a_session_ends_by_itself(path: Path) -> None:
    now = 1_000.0
    sessions = Sessions(PASSWORD, path, clock=lambda: now)
    session = sessions.start()
    now += SESSION_S - 1
    assert sessions.is_open(session)
    now += 1
    assert not sessions.is_open(session)


def test_the_file_opens_nothing_and_is_nobody_else_s(path: Path) -> None:
    session = Sessions(PASSWORD, path).start()
    kept = path.read_text("utf-8")
    assert session not in kept
    assert PASSWORD not in kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_oldest_sessions_are_dropped_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.sessions, "MAX_SESSIONS", 2)
    sessions = Sessions(PASSWORD, path)
    started = [sessions.start() for _ in range(3)]
    assert [sessions.is_open(session) for session in started] == [False, True, True]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "b"}', '{"a": null}', "\x00"])
def test_a_damaged_file_is_no_session(path: Path, content: str) -> None:
    path.write_text(content, "utf-8")
    sessions = Sessions(PASSWORD, path)
    assert not sessions.is_open("a")
    assert sessions.is_open(sessions.start())


def test_where_nothing_can_be_written_sessions_last_as_long_as_the_process(tmp_path: Path) -> None:
    sessions = Sessions(PASSWORD, tmp_path / "missing" / "sessions.json")
    assert sessions.is_open(sessions.start())
