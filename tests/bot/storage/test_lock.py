"""One writer: whoever comes second is refused in one line, and the lock ends with its process."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from bot.settings import BotSettings
from bot.storage.backup import back_up, put_back
from bot.storage.lock import sole_writer
from bot.storage.shard_lock import ShardLock, sole_server
from bot.storage.stores import Stores
from core.errors import ConfigurationError
from core.i18n.catalog import translate
from tests.bot.storage.rows import settings
from tests.support.data import ROOT
from tests.support.postgres import Cluster
from tests.support.processes import eventually

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


ON_ITS_OWN: dict[str, Any] = {}


@pytest.fixture
def on_server(postgres: Cluster, tmp_path: Path) -> Callable[..., BotSettings]:
    """Give the settings of processes on different machines with one database."""
    url = postgres.url(postgres.new_database())
    return lambda **shards: settings(
        tmp_path, database_url=url, **{f"DISCORD_{key.upper()}": value for key, value in shards.items()}
    )


@pytest.mark.parametrize(
    ("held", "own", "refused"),
    [
        ({"shard_count": 8, "shards": "0-3"}, {"shard_count": 8, "shards": "4-7"}, False),
        ({"shard_count": 8, "shards": "0-3"}, {"shard_count": 8, "shards": "3-5"}, True),
        ({"shard_count": 8, "shards": "0-3"}, {"shard_count": 16, "shards": "4-7"}, True),
        ({"shard_count": 8, "shards": "4-7"}, ON_ITS_OWN, True),
        (ON_ITS_OWN, {"shard_count": 8, "shards": "4-7"}, True),
        (ON_ITS_OWN, ON_ITS_OWN, True),
    ],
)
async def test_bots_on_two_machines_with_the_same_shards_are_refused_until_one_has_ended(
    on_server: Callable[..., BotSettings], held: dict[str, Any], own: dict[str, Any], refused: bool
) -> None:
    first, second = ShardLock(on_server(**held)), ShardLock(on_server(**own))
    await first.take()
    if refused:
        with pytest.raises(ConfigurationError) as error:
            await second.take(wait_s=0)
        assert str(error.value) == translate("bot.start.shards-in-use", "en", address="127.0.0.1")
        await second.close()
        second = ShardLock(on_server(**own))
        taking = asyncio.create_task(second.take())
        await asyncio.sleep(0.2)
        assert not taking.done()
        await first.close()
        await taking
    else:
        await second.take(wait_s=0)
    await first.close()
    await second.close()


async def test_shards_whose_connection_was_cut_are_held_again_unless_another_has_them(
    on_server: Callable[..., BotSettings], postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.storage.shard_lock.CHECK_S", 0.05)
    monkeypatch.setattr("bot.storage.shard_lock.WAIT_S", 0.0)
    own = on_server(shard_count=2, shards="1")
    url = make_url(own.database_url or "")
    locks = "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = 7201403"
    end = f"SELECT pg_terminate_backend(pid) {locks}"
    async with sole_server(own) as lock:
        keeping = asyncio.create_task(lock.keep())
        held_by = postgres.sql(f"SELECT pid {locks}", url.database or "")
        assert postgres.sql(end, url.database or "") == "True"
        await eventually(lambda: postgres.sql(f"SELECT pid {locks}", url.database or "") not in ("", held_by))
        assert not keeping.done()
        monkeypatch.setattr("bot.storage.shard_lock.CHECK_S", 2.0)
        await asyncio.sleep(0.2)  # it looks less often from now on, so that another is quicker
        other = ShardLock(own)
        assert postgres.sql(end, url.database or "") == "True"
        await other.take(wait_s=10)
        with pytest.raises(ConfigurationError):
            await asyncio.wait_for(keeping, 30)
        await other.close()
