"""One writer: whoever comes second is refused in one line, and the lock ends with its process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.storage.backup import back_up, put_back
from bot.storage.lock import sole_writer
from bot.storage.stores import Stores
from core.errors import ConfigurationError
from tests.bot.storage.rows import settings
from tests.support.data import ROOT

HOLD = """
import sys
from pathlib import Path
from bot.settings import BotSettings
from bot.storage.lock import sole_writer
with sole_writer(BotSettings(_env_file=None, data_dir=Path(sys.argv[1])), shards=sys.argv[2] or None):
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Start another process that holds the folder, as a bot of some shards does."""
    started = []

    def start(shards: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), shards],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def hold_here(folder: Path, shards: str | None) -> None:
    with sole_writer(settings(folder), shards=shards):
        pass


async def test_a_restore_under_a_running_bot_is_refused_until_it_has_died(hold: Hold, tmp_path: Path) -> None:
    stores = Stores(settings(tmp_path))
    await stores.open()
    await stores.close()
    back_up(settings(tmp_path), tmp_path / "copy")
    bot = hold("")
    with pytest.raises(ConfigurationError) as refused:
        put_back(settings(tmp_path), tmp_path / "copy")
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
    back_up(settings(tmp_path), tmp_path / "another")  # a copy only reads
    bot.kill()
    bot.wait()
    put_back(settings(tmp_path), tmp_path / "copy")


@pytest.mark.parametrize(
    ("held", "own", "refused"),
    [("0-3", "4-7", False), ("0-3", "0-3", True), ("0-3", None, True), ("", "0-3", True)],
)
def test_bots_of_different_shards_share_a_folder(
    hold: Hold, tmp_path: Path, held: str, own: str | None, refused: bool
) -> None:
    hold(held)
    if refused:
        with pytest.raises(ConfigurationError):
            hold_here(tmp_path, own)
    else:
        hold_here(tmp_path, own)


def test_what_fails_while_the_folder_is_held_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), sole_writer(settings(tmp_path)):
        raise PermissionError
