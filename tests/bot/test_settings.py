"""The bot's own settings."""

import os
from pathlib import Path

import pytest

from bot.settings import BotSettings
from bot.storage.engine import database_url
from core.errors import ConfigurationError
from core.settings import load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and no `.env` of the one who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("GENREGENIE_", "DISCORD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_health_and_metrics_are_on_loopback_and_the_database_in_a_file_by_default() -> None:
    settings = load_settings(BotSettings)
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8_080)
    assert settings.database_url is None


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_an_invalid_port_is_named(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("GENREGENIE_HTTP_PORT", port)
    with pytest.raises(ConfigurationError, match=r"^GENREGENIE_HTTP_PORT: "):
        load_settings(BotSettings)


def test_everything_invalid_of_core_and_bot_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREGENIE_WORKERS", "a-secret")
    monkeypatch.setenv("GENREGENIE_HTTP_PORT", "another-secret")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(BotSettings)
    message = str(raised.value)
    assert len(message.splitlines()) == 2
    assert "secret" not in message


@pytest.mark.parametrize(
    ("queue", "store", "fits"),
    [
        ("postgresql://user:secret@host/name", None, True),
        ("postgres://host/name", "postgresql://other/name", True),
        ("redis://user:secret@host", None, False),
        *(
            (f"postgresql://user:{one}@host/name", None, False)
            for one in ("a/secret", "a?secret", "a@secret", "secret%")
        ),
        ("postgresql://user:[secret]@host/name", None, False),
        ("postgresql://user:a%2Fsecret%40%25@host/name?sslmode=require", None, True),
        ("postgresql://user:secret@host/name", "sqlite:///file", False),
    ],
)
def test_a_queue_is_on_postgresql_and_so_is_the_store_that_its_workers_reach(
    monkeypatch: pytest.MonkeyPatch, queue: str, store: str | None, fits: bool
) -> None:
    monkeypatch.setenv("GENREGENIE_QUEUE_URL", queue)
    if store is not None:
        monkeypatch.setenv("GENREGENIE_DATABASE_URL", store)
    if fits:
        url = database_url(load_settings(BotSettings))
        assert url.drivername == "postgresql+psycopg"
        assert url.host == ("other" if store else "host")
        return
    with pytest.raises(ConfigurationError, match="GENREGENIE_QUEUE_URL") as raised:
        load_settings(BotSettings)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "shards", "edits_per_s"),
    [
        ("bot-0", "0-2", 3.75),
        ("bot-1.bots.svc", "3-5", 3.75),
        ("bot-2", "6-7", 2.5),
        ("bot-3", None, 0),
        ("bot", None, 0),
    ],
)
def test_a_host_of_a_stateful_set_has_the_shards_of_its_number_and_their_share_of_edits(
    monkeypatch: pytest.MonkeyPatch, host: str, shards: str | None, edits_per_s: float
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    monkeypatch.setenv("DISCORD_SHARD_COUNT", "8")
    monkeypatch.setenv("DISCORD_SHARDS_PER_PROCESS", "3")
    if shards is None:
        with pytest.raises(ConfigurationError, match="DISCORD_SHARD"):
            load_settings(BotSettings)
        return
    settings = load_settings(BotSettings)
    assert (settings.shards, settings.own_progress_edits_per_s) == (shards, edits_per_s)


def test_a_process_with_all_shards_has_all_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(BotSettings).own_progress_edits_per_s == 10
    monkeypatch.setenv("DISCORD_SHARD_COUNT", "8")
    assert load_settings(BotSettings).own_progress_edits_per_s == 10
    monkeypatch.setenv("DISCORD_SHARDS", "0-3")
    monkeypatch.setenv("DISCORD_SHARDS_PER_PROCESS", "4")
    with pytest.raises(ConfigurationError, match="DISCORD_SHARDS_PER_PROCESS"):
        load_settings(BotSettings)
