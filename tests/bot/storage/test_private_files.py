"""Whoever makes them first, and whatever the umask is: no other user of the machine reads what the bot keeps."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.settings import BotSettings
from bot.storage.backup import back_up, put_back
from bot.storage.engine import DATABASE_FILE
from bot.storage.stores import Stores
from core.doctor import _open_to_others
from core.fetch.tempfiles import TemporaryFiles
from core.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")


@pytest.fixture(autouse=True)
def _generous() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_ones(root: Path) -> list[tuple[str, str]]:
    """What others have a permission for, beneath a folder and the folder itself."""
    modes = [(str(path.relative_to(root)), path.stat().st_mode) for path in (root, *root.rglob("*"))]
    return [(name, oct(stat.S_IMODE(mode))) for name, mode in modes if mode & 0o077]


async def test_the_temporary_files_come_first_and_the_database_second(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    with TemporaryFiles(data / "tmp", quota=10, min_free=0) as files, files.job(1):
        stores = Stores(BotSettings(data_dir=data))
        await stores.open()
        assert {path.name for path in data.iterdir()} >= {"tmp", DATABASE_FILE, f"{DATABASE_FILE}-wal"}
        assert open_ones(tmp_path / "deep") == []
        await stores.close()


async def test_a_database_of_an_older_release_is_closed_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    settings = BotSettings(data_dir=tmp_path / "data")
    stores = Stores(settings)
    await stores.open()
    for path in settings.data_dir.iterdir():
        path.chmod(0o644)
    assert len(open_ones(settings.data_dir)) == 3
    again = Stores(settings)
    await again.open()
    assert open_ones(settings.data_dir) == []
    await again.close()
    await stores.close()


async def test_a_restored_database_and_a_copy_are_as_private(tmp_path: Path) -> None:
    settings = BotSettings(data_dir=tmp_path / "data")
    stores = Stores(settings)
    await stores.open()
    await stores.close()
    copy = tmp_path / "copy"
    back_up(settings, copy)
    elsewhere = BotSettings(data_dir=tmp_path / "new" / "data")
    put_back(elsewhere, copy)
    assert copy.stat().st_mode & 0o077 == 0
    assert open_ones(tmp_path / "new") == []


def test_a_folder_that_somebody_made_and_opened_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    TemporaryFiles(tmp_path, quota=1, min_free=0).open()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_doctor_names_secrets_and_data_that_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path("my data"))
    assert _open_to_others(settings) == []
    (tmp_path / ".env").write_text("DISCORD_TOKEN=x\n", "ascii")
    settings.data_dir.mkdir()
    (tmp_path / ".env").chmod(0o640)
    settings.data_dir.chmod(0o755)
    assert [check.remedy for check in _open_to_others(settings)] == ["`chmod 600 .env`", "`chmod 700 'my data'`"]
    (tmp_path / ".env").chmod(0o600)
    settings.data_dir.chmod(0o700)
    assert _open_to_others(settings) == []
