"""What the store on PostgreSQL costs when it is large: a part of `python -m benchmarks.scale`.

Its rows are made in the database: songs whose spectrograms are a few bytes (PostgreSQL keeps real ones apart from their
rows, where no statement but the one that reads a spectrogram comes by), predictions of ten segments as they are kept,
and one request a song.
"""

import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.measure import Figure
from bot.settings import BotSettings
from bot.storage.results import ResultStore
from bot.storage.retention import Retention
from bot.storage.stores import Stores
from core.constants import FRONT_END_VERSION
from core.service.identify import CachedResult, CacheKey
from core.verdict import Prediction, Segment
from tests.bot.storage.rows import spectrogram
from tests.support.postgres import Cluster
from tests.support.verdicts import make_prediction

GUILDS: Final = 10_000
CALLS: Final = 60
SONG_S: Final = 180
SONG_BYTES: Final = 700_000
RESULT_BYTES: Final = 4_000
EVICTED: Final = 3_000
NO_QUOTA: Final = 2**62
MODEL: Final = "ab" * 32

FILL: Final = (
    """
    INSERT INTO songs (sha256, size, used_at, mel)
    SELECT
        encode(sha256(i::text::bytea), 'hex'),
        %(song_bytes)s,
        extract(epoch FROM now()) - i,
        decode(repeat('ab', 200), 'hex')
    FROM generate_series(1, %(songs)s) AS i
    """,
    """
    INSERT INTO results (sha256, model_sha256, front_end, part, size, verdict, embedding)
    SELECT sha256, %(model)s, %(front_end)s, 'main', %(result_bytes)s, %(verdict)s, decode(repeat('cd', 512), 'hex')
    FROM songs
    """,
    """
    INSERT INTO requests (guild_id, user_id, kind, private, asked_at, seconds, outcome, genre, sha256)
    SELECT
        (1000000 + row_number() OVER () %% %(guilds)s) << 22, 1, 'slash', false, used_at, 1, 'verdict', 'rock', sha256
    FROM songs
    """,
)


async def store_figures(cluster: Cluster, folder: Path, songs: int) -> list[Figure]:
    """Measure the store with so many songs, against one that is empty."""
    empty, url = (cluster.url(cluster.new_database()) for _ in range(2))
    settings = [BotSettings(_env_file=None, data_dir=folder, database_url=one) for one in (empty, url)]  # type: ignore[call-arg]
    small, large = map(Stores, settings)
    await small.open()
    await large.open()
    try:
        await _fill(url, songs)
        results = ResultStore(large.database, quota_bytes=NO_QUOTA)
        puts, gets = await _calls(ResultStore(small.database, quota_bytes=NO_QUOTA), results)
        summed = await _seconds(results.shrink_to_quota)
        known = await _seconds(large.guilds.known_ids)
        full = ResultStore(large.database, quota_bytes=(songs - EVICTED) * (SONG_BYTES + RESULT_BYTES))
        evicted = await _seconds(full.shrink_to_quota)
        tidied = await _seconds(Retention(settings[1], large.database, large.guilds, results, large.meta).apply)
    finally:
        await small.close()
        await large.close()
    many = f"{songs:,} songs"
    return [
        _against_empty(f"keeping a song of three minutes among {many}", *puts),
        _against_empty(f"looking up a result among {many}", *gets),
        Figure(
            f"holding {many} against the quota: one process, now and then",
            f"the sum alone {summed * 1000:.0f} ms; with the {EVICTED:,} oldest deleted {evicted:.1f} s",
            f"{evicted:.1f} s",
        ),
        Figure(f"hourly tidying of {many} and as many requests", "one process, in small steps", f"{tidied:.1f} s"),
        Figure(f"which of {GUILDS:,} servers {many} are of", "at each start of a bot", f"{known * 1000:.0f} ms"),
    ]


async def _fill(url: str, songs: int) -> None:
    """Make the rows."""
    verdict = json.dumps(_prediction().to_dict())
    sizes = {"song_bytes": SONG_BYTES, "result_bytes": RESULT_BYTES}
    values = {"songs": songs, "guilds": GUILDS, "model": MODEL, "front_end": FRONT_END_VERSION, "verdict": verdict}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in FILL:
            await connection.execute(statement, values | sizes)
        await connection.execute("VACUUM ANALYZE")


def _prediction() -> Prediction:
    weights = [[random.Random(10 * i + j).random() for j in range(10)] for i in range(10)]  # noqa: S311 - no secret
    shares = [tuple(one / sum(row) for one in row) for row in weights]
    return make_prediction(*(Segment(3.0 * i, 3.0 * i + 3, share) for i, share in enumerate(shares)))


def _against_empty(what: str, seconds: float, empty: float) -> Figure:
    ratio = seconds / empty
    seen = f"median {seconds * 1000:.1f} ms, {empty * 1000:.1f} ms in an empty store"
    return Figure(what, seen, f"{ratio:.1f}×", "at most 2× of an empty store", ratio <= 2)


async def _calls(small: ResultStore, large: ResultStore) -> tuple[tuple[float, float], tuple[float, float]]:
    """Keep songs and look their results up, in both in turn; gives each one's median seconds, the large one's first."""
    song = CachedResult(_prediction(), spectrogram(SONG_S))
    puts: dict[ResultStore, list[float]] = {large: [], small: []}
    gets: dict[ResultStore, list[float]] = {large: [], small: []}
    for number in range(CALLS):
        key = CacheKey(f"{number:064x}", MODEL, FRONT_END_VERSION, "main")
        for results in (large, small):
            puts[results].append(await _seconds(partial(results.put, key, song)))
            gets[results].append(await _seconds(partial(results.get, key)))
            if await results.get(key) is None:
                raise RuntimeError("the store kept nothing")
    median = statistics.median
    return (median(puts[large]), median(puts[small])), (median(gets[large]), median(gets[small]))


async def _seconds(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began
