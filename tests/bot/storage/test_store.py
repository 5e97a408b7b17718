"""The store, on real SQLite files."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.settings import BotSettings
from bot.storage.engine import DATABASE_FILE
from bot.storage.store import DAY_S, GuildSettings, RequestRow, Store, StoreError
from bot.storage.tables import metadata
from core.audio.spectrogram import QuantizedMel
from core.constants import GENRES, HOP_LENGTH, N_MELS
from core.service.identify import CachedResult, CacheKey
from core.verdict import ModelInfo, Prediction, Section, Segment

HOME, ELSEWHERE = 1, 2
ANN, BEA = 10, 20


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def settings(directory: Path, **values: Any) -> BotSettings:
    return BotSettings(_env_file=None, data_dir=directory, **values)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = Store(settings(tmp_path), clock=clock)
    await opened.open()
    yield opened
    await opened.close()


def song_mel(seconds: float = 30.0) -> QuantizedMel:
    samples = int(seconds * 22_050)
    frames = 1 + samples // HOP_LENGTH
    rng = np.random.default_rng(0)
    mel = rng.integers(0, 255, (N_MELS, frames), dtype=np.uint8)
    return QuantizedMel(mel, np.full(frames, 200, np.uint8), -3.0, samples)


def result(*, mel: QuantizedMel | None = None, picture: bytes | None = b"png") -> CachedResult:
    probabilities = tuple(0.55 if genre == "rock" else 0.05 for genre in GENRES)
    prediction = Prediction(
        215.0,
        0.9,
        "rock",
        {"rock": 1},
        probabilities,
        Section(62.0, 65.0),
        (Segment(62.0, 65.0, probabilities),),
        ModelInfo("plain", "1", "m" * 64),
    )
    return CachedResult(prediction, picture, mel)


def key(sha256: str = "a" * 64, part: str = "main") -> CacheKey:
    return CacheKey(sha256, "m" * 64, "1", part)


def row(**values: Any) -> RequestRow:
    known = RequestRow(HOME, ANN, "slash", False, 1_700_000_000.0, 1.0, "verdict", "rock", "a" * 64, "song.mp3")
    return replace(known, model="plain 1", part="main", start=62.0, end=92.0, duration=215.0, **values)


async def test_a_result_comes_back_as_it_was(store: Store) -> None:
    first = result(mel=song_mel())
    await store.put(key(), first)
    assert await store.get(key()) == CachedResult(first.prediction, first.picture)
    assert await store.get(key(part="whole")) is None
    assert await store.get(key("b" * 64)) is None


async def test_no_name_is_written_with_a_result(store: Store, tmp_path: Path) -> None:
    """What the first release stored had room for names; what is stored now has not."""
    await store.put(key(), result(mel=song_mel()))
    await store.close()
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        (stored,) = connection.execute("SELECT verdict FROM results").fetchone()
    assert not {"source", "title", "uploader"} & json.loads(stored).keys()


async def test_a_songs_spectrogram_comes_back_as_it_was(store: Store) -> None:
    mel = song_mel()
    await store.put(key(), result(mel=mel))
    again = await store.song("a" * 64)
    assert again is not None
    assert again.to_bytes() == mel.to_bytes()
    assert await store.song("b" * 64) is None


async def test_songs_not_asked_for_longest_go_when_the_quota_is_full(tmp_path: Path, clock: Clock) -> None:
    store = Store(settings(tmp_path, store_mb=1), clock=clock)
    await store.open()
    for number in range(12):  # a tenth of a megabyte each
        clock.now += 1
        await store.put(key(f"{number:064}"), result(mel=song_mel()))
        assert await store.get(key(f"{0:064}")), "the one that is asked for all the time stays"
        clock.now += 1
    assert await store.song(f"{1:064}") is None
    assert await store.get(key(f"{1:064}")) is None
    assert await store.song(f"{11:064}") is not None
    await store.close()


async def test_servers_settings_and_channels_are_there_after_a_restart(store: Store, tmp_path: Path) -> None:
    own = GuildSettings(HOME, "es", False, 600.0, 5.0, 3)
    await store.save_guild(own)
    await store.switch_channel(HOME, 100, on=True)
    await store.switch_channel(HOME, 101, on=True)
    await store.switch_channel(HOME, 101, on=False)
    await store.close()
    reopened = Store(settings(tmp_path))
    await reopened.open()
    assert reopened.guild(HOME) == own
    assert reopened.guild(ELSEWHERE) == GuildSettings(ELSEWHERE)
    assert reopened.listening_channels(HOME) == [100]
    assert reopened.listens(999, 100), "a thread of a channel that is on"
    assert not reopened.listens(101, None)
    await reopened.close()


async def test_a_member_has_one_word_on_a_song_the_last(store: Store) -> None:
    asked = await store.request(await store.add_request(row()))
    assert asked is not None
    await store.correct(asked, ANN, "jazz")
    await store.correct(asked, ANN, "blues")
    await store.correct(asked, BEA, "metal")
    said = [(correction.user_id, correction.heard_as, correction.said) for correction in await store.corrections()]
    assert said == [(ANN, "rock", "blues"), (BEA, "rock", "metal")]


async def test_stats_count_one_server_only(store: Store) -> None:
    await store.add_request(row())
    await store.add_request(row(genre="jazz"))
    await store.add_request(replace(row(), outcome="silent", genre=None, sha256=None))
    await store.add_request(row(guild_id=ELSEWHERE))
    stats = await store.stats(HOME)
    assert stats.outcomes == {"verdict": 2, "silent": 1}
    assert stats.genres == {"rock": 1, "jazz": 1}


async def test_forgetting_a_member_leaves_the_others(store: Store) -> None:
    await store.put(key(), result(mel=song_mel()))
    await store.put(key("b" * 64), result(mel=song_mel()))
    hers = await store.add_request(row())
    his = await store.add_request(row(user_id=BEA, sha256="b" * 64))
    elsewhere = await store.add_request(row(guild_id=ELSEWHERE))
    await store.correct(row(), ANN, "jazz")
    await store.forget_member(HOME, ANN)
    assert await store.request(hers) is None
    assert await store.request(his) is not None
    assert await store.request(elsewhere) is not None
    assert await store.corrections() == []
    assert await store.song("a" * 64) is not None, "asked about elsewhere too"
    await store.forget_member(ELSEWHERE, ANN)
    assert await store.song("a" * 64) is None
    assert await store.song("b" * 64) is not None


async def test_forgetting_a_server_takes_all_of_it(store: Store) -> None:
    await store.put(key(), result(mel=song_mel()))
    asked = await store.add_request(row())
    await store.correct(row(), ANN, "jazz")
    await store.save_guild(GuildSettings(HOME, "es"))
    await store.switch_channel(HOME, 100, on=True)
    await store.forget_guild(HOME)
    assert await store.request(asked) is None
    assert await store.song("a" * 64) is None
    assert await store.corrections() == []
    assert store.guild(HOME).language is None
    assert not store.listens(100)


async def test_a_server_that_was_left_is_forgotten_after_its_grace_time_only(store: Store, clock: Clock) -> None:
    await store.save_guild(GuildSettings(HOME, "es"))
    await store.add_request(row(asked_at=clock.now))
    await store.guild_left(HOME)
    clock.now += 6 * DAY_S
    await store.apply_retention()
    await store.guild_present([HOME])
    assert store.guild(HOME).language == "es", "it came back in time"
    await store.guild_left(HOME)
    assert await store.known_guilds() == set()
    clock.now += 8 * DAY_S
    await store.apply_retention()
    await store.guild_present([HOME])
    assert store.guild(HOME).language is None
    assert (await store.stats(HOME)).outcomes == {}


async def test_retention_deletes_the_old_and_gives_the_room_back(store: Store, clock: Clock, tmp_path: Path) -> None:
    for number in range(30):
        await store.put(key(f"{number:064}"), result(mel=song_mel()))
        await store.add_request(row(sha256=f"{number:064}", asked_at=clock.now))
    await store.correct(row(), ANN, "jazz")
    clock.now += 31 * DAY_S
    await store.put(key("f" * 64), result("f" * 64, mel=song_mel()))
    kept = await store.add_request(row(sha256="f" * 64, asked_at=clock.now))
    await store.apply_retention()
    assert await store.request(1) is None
    assert await store.request(kept) is not None
    assert await store.song(f"{0:064}") is None
    assert await store.song("f" * 64) is not None
    assert len(await store.corrections()) == 1, "corrections are kept for longer"
    clock.now += 400 * DAY_S
    await store.apply_retention()
    assert await store.corrections() == []
    await store.close()
    assert (tmp_path / DATABASE_FILE).stat().st_size < 500_000, "three megabytes were in it"


async def test_ids_are_never_given_twice(store: Store, clock: Clock) -> None:
    first = await store.add_request(row())
    clock.now += 31 * DAY_S
    await store.apply_retention()
    assert await store.add_request(row()) > first


async def test_a_locked_database_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.storage.engine.BUSY_SECONDS", 0.2)
    store = Store(settings(tmp_path))
    await store.open()
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await store.put(key(), result(mel=song_mel()))  # waits, gives up, says nothing
        with pytest.raises(StoreError):
            await store.add_request(row())
        other.execute("ROLLBACK")
    assert await store.get(key()) is None
    assert await store.add_request(row())
    await store.close()


def test_rows_have_the_columns_of_their_tables() -> None:
    assert set(asdict(row())) == set(metadata.tables["requests"].columns.keys())
