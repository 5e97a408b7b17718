"""Results and spectrograms, on a real SQLite file and a real PostgreSQL."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bot.storage.engine import DATABASE_FILE
from bot.storage.stores import Stores
from core.service.identify import CachedResult
from tests.bot.storage.rows import ON_BOTH, Clock, key, result, settings, spectrogram


@ON_BOTH
async def test_a_result_comes_back_as_it_was(stores: Stores) -> None:
    first = result(mel=spectrogram())
    await stores.results.put(key(), first)
    assert await stores.results.get(key()) == CachedResult(first.prediction)
    assert await stores.results.get(key(part="whole")) is None
    assert await stores.results.get(key("b" * 64)) is None


async def test_a_result_is_found_by_song_model_and_part(stores: Stores) -> None:
    first = result(mel=spectrogram())
    await stores.results.put(key(part="start:62.0"), first)
    assert await stores.results.find("a" * 64, "plain 1", "start:62.0") == first.prediction
    assert await stores.results.find("a" * 64, "plain 2", "start:62.0") is None
    assert await stores.results.find("a" * 64, "plain 1", "main") is None


async def test_no_name_is_written_with_a_result(stores: Stores, tmp_path: Path) -> None:
    """What the first release stored had room for names; what is stored now has not."""
    await stores.results.put(key(), result(mel=spectrogram()))
    await stores.close()
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        (stored,) = connection.execute("SELECT verdict FROM results").fetchone()
    assert not {"source", "title", "uploader"} & json.loads(stored).keys()


async def test_a_songs_spectrogram_comes_back_as_it_was(stores: Stores) -> None:
    mel = spectrogram()
    await stores.results.put(key(), result(mel=mel))
    again = await stores.results.spectrogram("a" * 64)
    assert again is not None
    assert again.to_bytes() == mel.to_bytes()
    assert await stores.results.spectrogram("b" * 64) is None


async def test_a_short_songs_spectrogram_is_kept_too_to_draw_it(stores: Stores) -> None:
    await stores.results.put(key(), result(mel=spectrogram(4)))
    assert await stores.results.spectrogram("a" * 64) is not None


@ON_BOTH
async def test_what_an_older_front_end_made_is_not_used_and_is_replaced(stores: Stores) -> None:
    older = replace(key(), front_end="0")
    await stores.results.put(older, result(mel=spectrogram(33)))
    assert await stores.results.get(key()) is None
    assert await stores.results.spectrogram(key().sha256) is None
    await stores.results.put(key(), result(mel=spectrogram(36)))
    await stores.results.put(key(part="whole"), result(mel=spectrogram(39)))
    again = await stores.results.spectrogram(key().sha256)
    assert again is not None
    assert again.to_bytes() == spectrogram(36).to_bytes()


async def test_songs_not_asked_for_longest_go_when_the_quota_is_full(tmp_path: Path, clock: Clock) -> None:
    stores = Stores(settings(tmp_path, store_mb=1), clock=clock)
    await stores.open()
    results = stores.results
    for number in range(12):  # a tenth of a megabyte each
        clock.now += 1
        await results.put(key(f"{number:064}"), result(mel=spectrogram()))
        assert await results.get(key(f"{0:064}")), "the one that is asked for all the time stays"
        clock.now += 1
    assert await results.spectrogram(f"{1:064}") is None
    assert await results.get(key(f"{1:064}")) is None
    assert await results.spectrogram(f"{11:064}") is not None
    await stores.close()
