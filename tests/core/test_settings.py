import codecs
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import Settings, load_settings
from tests.support.data import ROOT
from tests.support.users import as_another_user


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and no `.env` of the one who runs the tests."""
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


LINE = "GENREGENIE_WORKERS=2  # für zwei\n"
UNREADABLE = {
    "UTF-16": codecs.BOM_UTF16_LE + LINE.encode("utf-16-le"),
    "UTF-16, the other way round": codecs.BOM_UTF16_BE + LINE.encode("utf-16-be"),
    "UTF-16 without a mark": LINE.encode("utf-16-le"),
    "UTF-32": LINE.encode("utf-32"),
    "Latin-1": b"# no umlaut yet\n" + LINE.encode("latin-1"),
    "UTF-8 with a byte order mark": codecs.BOM_UTF8 + LINE.encode(),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_in_another_encoding_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^\.env .*: save it as UTF-8 without a byte order mark$"):
        load_settings(Settings)


def test_the_line_that_is_not_utf_8_is_named_without_what_it_says(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\n\nDISCORD_TOKEN=s\xe9cret\n")
    with pytest.raises(ConfigurationError, match=r"\(line 3\)") as raised:
        load_settings(Settings)
    assert "cret" not in str(raised.value)


def test_a_file_in_utf_8_is_read_whatever_its_letters(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("# für 你\r\nGENREGENIE_WORKERS=2\r\n".encode())
    assert load_settings(Settings).workers == 2


def test_a_folder_of_that_name_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigurationError, match=r"^\.env cannot be read: .+$"):
        load_settings(Settings)


def test_a_link_to_itself_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(".env")
    with pytest.raises(ConfigurationError, match=r"^\.env cannot be read: .+$"):
        load_settings(Settings)


def test_a_file_that_may_not_be_read_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        monkeypatch.chdir(place)
        Path(".env").write_text(LINE)
        Path(".env").chmod(0)
        with as_another_user(), pytest.raises(ConfigurationError, match=r"^\.env cannot be read: Permission denied$"):
            load_settings(Settings)
        monkeypatch.undo()


def test_a_file_that_is_switched_off_or_a_pipe_is_left_to_be_read_once(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(os.devnull)
    assert load_settings(Settings).workers == 1
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    with subprocess.Popen(["sh", "-c", "echo GENREGENIE_WORKERS=3 > .env"], cwd=tmp_path):
        assert load_settings(Settings).workers == 3


@pytest.mark.parametrize(
    "command",
    [
        *("--version", "classify song.wav", "doctor", "bot", "invite", "backup copy.db", "corrections export"),
        "web",
    ],
)
def test_every_command_ends_with_2_and_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / ".env").write_bytes(UNREADABLE["UTF-16"])
    done = subprocess.run(
        [sys.executable, str(ROOT / "genregenie.py"), *command.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("genregenie: .env is in UTF-16")
