"""What is deleted on demand and after its time, and what is not, on a real SQLite file and a real PostgreSQL."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bot.app import _retain
from bot.storage.engine import DATABASE_FILE
from bot.storage.games import Answer, Game
from bot.storage.guilds import GuildSettings
from bot.storage.open_requests import OpenRequest
from bot.storage.retention import DAY_S, Holdings, Retention, Scope
from bot.storage.stores import Stores
from tests.bot.storage.rows import ANN, BEA, ELSEWHERE, HOME, ON_BOTH, Clock, key, result, row, settings, spectrogram


def all_bytes(directory: Path) -> bytes:
    """All that is in the database's files, free pages and the write-ahead log too."""
    return b"".join(path.read_bytes() for path in directory.glob(f"{DATABASE_FILE}*"))


@ON_BOTH
async def test_forgetting_a_member_leaves_the_others(stores: Stores) -> None:
    await stores.results.put(key(), result(mel=spectrogram()))
    await stores.results.put(key("b" * 64), result(mel=spectrogram()))
    hers = await stores.requests.add(row())
    his = await stores.requests.add(row(user_id=BEA, sha256="b" * 64))
    elsewhere = await stores.requests.add(row(guild_id=ELSEWHERE))
    await stores.corrections.add(row(), ANN, "jazz")
    await stores.retention.forget(Scope(HOME, ANN))
    assert await stores.requests.get(hers) is None
    assert await stores.requests.get(his) is not None
    assert await stores.requests.get(elsewhere) is not None
    assert await stores.corrections.all() == []
    assert await stores.results.spectrogram("a" * 64) is not None, "asked about elsewhere too"
    await stores.retention.forget(Scope(ELSEWHERE, ANN))
    assert await stores.results.spectrogram("a" * 64) is None
    assert await stores.results.spectrogram("b" * 64) is not None


@ON_BOTH
async def test_forgetting_a_server_takes_all_of_it(stores: Stores) -> None:
    await stores.results.put(key(), result(mel=spectrogram()))
    request_id = await stores.requests.add(row())
    await stores.corrections.add(row(), ANN, "jazz")
    await stores.guilds.save(GuildSettings(HOME, "es"))
    await stores.guilds.switch_autoscan(HOME, 100, on=True)
    await stores.retention.forget(Scope(HOME))
    assert await stores.requests.get(request_id) is None
    assert await stores.results.spectrogram("a" * 64) is None
    assert await stores.corrections.all() == []
    assert stores.guilds.settings(HOME).language is None
    assert not stores.guilds.autoscan_is_on(100)


async def test_forgetting_someone_everywhere_reaches_direct_messages_and_what_only_they_asked_for(
    stores: Stores, tmp_path: Path
) -> None:
    marked = replace(spectrogram(), peaks=np.full(spectrogram().peaks.shape, 77, np.uint8))
    await stores.results.put(key(), result(mel=marked))
    assert b"\x4d" * 100 in all_bytes(tmp_path)
    await stores.results.put(key("b" * 64), result(mel=spectrogram()))
    await stores.results.put(key("c" * 64), result(mel=spectrogram()))
    for guild_id, sha256 in ((None, "a"), (HOME, "a"), (ELSEWHERE, "b"), (None, "c")):
        await stores.requests.add(row(guild_id=guild_id, sha256=sha256 * 64, name="her secret demo.mp3"))
    # One that is shared in a server, and one in somebody else's direct messages, whose row names no server.
    await stores.requests.add(row(user_id=BEA, sha256="b" * 64))
    await stores.requests.add(row(user_id=BEA, guild_id=None, sha256="c" * 64))
    await stores.corrections.add(row(), ANN, "jazz")
    scope = Scope(user_id=ANN)
    assert await stores.retention.held(scope) == Holdings(requests=4, corrections=1, songs=1)
    assert (await stores.retention.held(Scope(HOME))).songs == 0, "also asked about elsewhere"
    await stores.retention.forget(scope)
    assert not await stores.retention.held(scope)
    assert await stores.results.get(key()) is None
    assert await stores.results.spectrogram("a" * 64) is None
    assert await stores.results.spectrogram("b" * 64) is not None
    assert await stores.results.spectrogram("c" * 64) is not None
    assert await stores.retention.held(Scope(user_id=BEA)) == Holdings(requests=2, corrections=0, songs=2)
    assert b"her secret demo" not in all_bytes(tmp_path), "overwritten, not only unlinked"
    assert b"\x4d" * 100 not in all_bytes(tmp_path), "nor the spectrogram that nobody else asked for"


@ON_BOTH
async def test_what_is_under_way_is_held_and_forgotten_too(stores: Stores) -> None:
    song = '[{"name": "song.mp3", "link": "https://example.org/secret"}]'
    left = OpenRequest("", "slash", ANN, HOME, 5, False, "en", song, False, None, 0, None, 0.0, 0, None, 6, None)
    interrupted = await stores.open_requests.add(left)
    await stores.open_requests.interrupt(interrupted)
    game_id = await stores.games.prepare(Game("", HOME, BEA, 5, 6, None, "en", host_knows=True)) or 0
    await stores.games.open(game_id, Answer("rock", "Rock", "rock 10", "song.mp3", None), 30)
    await stores.games.guess(game_id, ANN, "rock")
    assert await stores.retention.held(Scope(user_id=ANN)) == Holdings(0, 0, 0, open=1, games=1)
    assert await stores.retention.held(Scope(HOME, BEA)) == Holdings(0, 0, 0, games=1)
    assert await stores.retention.held(Scope(HOME)) == Holdings(0, 0, 0, open=1, games=1)
    assert not await stores.retention.held(Scope(ELSEWHERE))
    for scope in (Scope(user_id=ANN), Scope(HOME)):
        await stores.retention.forget(scope)
        assert not await stores.retention.held(scope)


async def test_a_server_is_told_that_its_counts_go(stores: Stores) -> None:
    await stores.requests.add(row())
    assert await stores.retention.held(Scope(HOME)) == Holdings(1, 0, 0, taste=True)


def test_a_scope_is_never_everyone_everywhere() -> None:
    with pytest.raises(ValueError, match="a server or a member"):
        Scope()


@ON_BOTH
async def test_a_server_that_was_left_is_forgotten_after_its_grace_time_only(stores: Stores, clock: Clock) -> None:
    await stores.guilds.save(GuildSettings(HOME, "es"))
    await stores.requests.add(row(asked_at=clock.now))
    await stores.guilds.mark_left(HOME)
    clock.now += 6 * DAY_S
    await stores.retention.apply()
    await stores.guilds.mark_present([HOME])
    assert stores.guilds.settings(HOME).language == "es", "it came back in time"
    await stores.guilds.mark_left(HOME)
    assert await stores.guilds.known_ids() == set()
    clock.now += 8 * DAY_S
    await stores.retention.apply()
    await stores.guilds.mark_present([HOME])
    assert stores.guilds.settings(HOME).language is None
    assert (await stores.requests.stats(HOME, 30 * DAY_S)).outcomes == {}


async def test_retention_deletes_the_old_and_gives_the_room_back(stores: Stores, clock: Clock, tmp_path: Path) -> None:
    for number in range(30):
        await stores.results.put(key(f"{number:064}"), result(mel=spectrogram()))
        await stores.requests.add(row(sha256=f"{number:064}", asked_at=clock.now))
    await stores.corrections.add(row(), ANN, "jazz")
    clock.now += 31 * DAY_S
    await stores.results.put(key("f" * 64), result(mel=spectrogram()))
    kept = await stores.requests.add(row(sha256="f" * 64, asked_at=clock.now))
    await stores.retention.apply()
    assert await stores.requests.get(1) is None
    assert await stores.requests.get(kept) is not None
    assert await stores.results.spectrogram(f"{0:064}") is None
    assert await stores.results.spectrogram("f" * 64) is not None
    assert len(await stores.corrections.all()) == 1, "corrections are kept for longer"
    clock.now += 400 * DAY_S
    await stores.retention.apply()
    assert await stores.corrections.all() == []
    await stores.close()
    assert (tmp_path / DATABASE_FILE).stat().st_size < 500_000, "three megabytes were in it"


async def test_what_is_deleted_is_deleted_though_its_room_cannot_be_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bot.storage.engine.BUSY_SECONDS", 0.1)
    stores = Stores(settings(tmp_path))
    await stores.open()
    request_id = await stores.requests.add(row())
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as other:
        # Another program, such as a backup's, takes the file right after the rows are gone.
        monkeypatch.setattr(stores.guilds, "forget", lambda _: other.execute("BEGIN IMMEDIATE"))
        await stores.retention.forget(Scope(HOME))
        other.execute("ROLLBACK")
    assert await stores.requests.get(request_id) is None
    assert "The database failed: database is locked" in caplog.text
    await stores.close()


async def test_retention_goes_on_after_an_hour_in_which_it_failed(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bot.app.RETAIN_S", 0.0)
    tried, again = 0, asyncio.Event()

    async def failing(self: Retention) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise RuntimeError("unforeseen")
        again.set()

    monkeypatch.setattr(Retention, "apply_in_turn", failing)
    retained = asyncio.create_task(_retain(stores.retention))
    await asyncio.wait_for(again.wait(), 20)
    retained.cancel()
    assert "unforeseen" in caplog.text
