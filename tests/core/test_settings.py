from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and no `.env` of the one who runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith("GENREGENIE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_everything_has_a_default() -> None:
    settings = load_settings(Settings)
    assert settings.model is None
    assert settings.max_duration_s == 1_800
    assert settings.max_file_bytes == settings.max_file_mb * 1024**2
    assert settings.allowed_hosts == ()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREGENIE_WORKERS", "3")
    monkeypatch.setenv("GENREGENIE_ALLOWED_HOSTS", "127.0.0.1:8080, Media.Example:443")
    monkeypatch.setenv("GENREGENIE_LOG_LEVEL", "debug")
    settings = load_settings(Settings)
    assert settings.workers == 3
    assert settings.allowed_hosts == ("127.0.0.1:8080", "media.example:443")
    assert settings.log_level == "DEBUG"


def test_a_file_in_the_working_directory_is_read_and_the_environment_is_stronger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("GENREGENIE_WORKERS=2\nGENREGENIE_MAX_FILE_MB=7\nDISCORD_TOKEN=secret\n")
    monkeypatch.setenv("GENREGENIE_WORKERS", "4")
    settings = load_settings(Settings)
    assert (settings.workers, settings.max_file_mb) == (4, 7)


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREGENIE_WORKERS", "")
    assert load_settings(Settings).workers == Settings().workers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GENREGENIE_WORKERS", "0"),
        ("GENREGENIE_WORKERS", "many"),
        ("GENREGENIE_MAX_FILE_MB", "-1"),
        ("GENREGENIE_MAX_DURATION_S", "nan"),
        ("GENREGENIE_MAX_DURATION_S", "1"),
        ("GENREGENIE_JOB_TIMEOUT_S", "inf"),
        ("GENREGENIE_ALLOWED_HOSTS", "example.com"),
        ("GENREGENIE_ALLOWED_HOSTS", "example.com:0"),
        ("GENREGENIE_ALLOWED_HOSTS", ":80"),
        ("GENREGENIE_LOG_LEVEL", "LOUD"),
    ],
)
def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        load_settings(Settings)


def test_everything_invalid_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREGENIE_WORKERS", "a-secret")
    monkeypatch.setenv("GENREGENIE_MAX_FILE_MB", "another-secret")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(Settings)
    message = str(raised.value)
    assert len(message.splitlines()) == 2
    assert "secret" not in message


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().workers = 9
