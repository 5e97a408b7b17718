"""The bot under 200 requests at once, its start and its memory at rest: `python -m benchmarks.burst`.

`genregenie bot` as it is run, on the Discord on loopback that the tests use, which takes its share of the processors.
"""

import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from benchmarks.measure import FIGURES_PAGE, Figure, Spread, machine, proportional_mb, publish, table, write_between
from tests.bot.end_to_end.answers import genre_of, is_final
from tests.bot.end_to_end.conftest import furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord

MARKERS: Final = "burst"

GUILDS: Final = 20
EACH: Final = 10
SONG_S: Final = 6.0
WORKERS: Final = 2
ANSWERED_S: Final = 300.0
"""Ceiling for the last answer."""

STARTS: Final = 5
REST_S: Final = 10.0
"""After a start, before its memory is read."""

LAG: Final = "genregenie_event_loop_lag_seconds_bucket"
IDLE_TENSORFLOW: Final = "import tensorflow, librosa; print('ready', flush=True); input()"


async def burst(folder: Path, guilds: int = GUILDS, each: int = EACH) -> list[Figure]:
    """Ask for 200 songs in one moment, ten in each of twenty servers; every one must be answered once.

    Raises:
        RuntimeError: one was not, or was not acknowledged in Discord's three seconds.
    """
    async with Discord() as discord, BotProcess(discord, folder / "burst", GENREGENIE_WORKERS=str(WORKERS)) as bot:
        songs = [new_song(SONG_S) for _ in range(guilds * each)]
        houses = [furnished(discord) for _ in range(guilds)]
        before = await bot.metrics()
        began = time.perf_counter()
        asked = [
            discord.slash("genre", user=house.ana, channel=house.channel, file=songs.pop())
            for house in houses
            for _ in range(each)
        ]
        waits = await asyncio.gather(*(interaction.acknowledged() for interaction in asked), return_exceptions=True)
        acknowledged = [wait for wait in waits if isinstance(wait, float)]
        if len(acknowledged) < len(asked):
            raise RuntimeError(f"{len(asked) - len(acknowledged)} of {len(asked)} were not acknowledged within 3 s")
        answers = await asyncio.gather(*(interaction.reply(is_final, within=ANSWERED_S) for interaction in asked))
        seconds = time.perf_counter() - began
        after = await bot.metrics()
        for message in answers:
            genre_of(message)
        if discord.complaints or any(len(interaction.messages) != 1 for interaction in asked):
            raise RuntimeError("a request was not answered once and only once, and correctly")
    last = percentile(acknowledged, 0.99)
    lag = bucket_percentile(lag_between(before, after), 0.99)
    what = f"{len(asked)} requests at once from {guilds} servers"
    return [
        Figure(
            f"{what}: acknowledgement, 99th percentile",
            f"half within {percentile(acknowledged, 0.5):.2f} s, all within {max(acknowledged):.2f} s",
            f"{last:.2f} s",
            "< 1 s",
            last < 1,
        ),
        Figure(
            f"{what}: event-loop lag, 99th percentile",
            "from the bot's own `/metrics`, between two of its buckets",
            f"{1000 * lag:.0f} ms",
            "< 100 ms",
            lag < 0.1,
        ),
        Figure(
            f"{what}: the last answer, with {WORKERS} workers",
            "none lost, none twice",
            f"{seconds:.0f} s",
        ),
    ]


async def start(folder: Path) -> list[Figure]:
    """Start the bot and take the time until Discord has sent READY, and until a worker is warm as well."""
    connected, ready = [], []
    async with Discord() as discord:
        furnished(discord)
        for number in range(STARTS + 1):
            bot = BotProcess(discord, folder / "start")
            bot.data.mkdir(exist_ok=True)
            began = time.perf_counter()
            await bot.launch()
            await bot.until(lambda: discord.gateway.live, "READY")
            if number:  # the first start makes the database and reads everything from disk
                connected.append(time.perf_counter() - began)
            await bot.until_ready()
            if number:
                ready.append(time.perf_counter() - began)
            await bot.stop()
    spread = Spread(tuple(connected))
    return [
        Figure(
            "process start to READY",
            f"to a warm worker as well {Spread(tuple(ready)).text('s', 1)}",
            spread.text("s", 1),
            "< 3 s",
            spread.median < 3,
        )
    ]


async def rest(folder: Path) -> list[Figure]:
    """Read the memory of a bot with one warm worker that nobody asks anything."""
    async with Discord() as discord, BotProcess(discord, folder / "rest", GENREGENIE_WORKERS="1") as bot:
        house = furnished(discord)
        asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(SONG_S))
        await asked.reply(is_final)
        await asyncio.sleep(REST_S)
        processes = [psutil.Process(bot.pid), *bot.workers()]
        parts = [proportional_mb(process) for process in processes]
    reference = await _tensorflow_mb()
    return [
        Figure(
            "memory at rest, bot and one warm worker (proportional set size)",
            f"{' + '.join(f'{part:.0f}' for part in parts)} MB; one process with TensorFlow and librosa "
            f"{reference:.0f} MB",
            f"{sum(parts):.0f} MB",
            "≤ 220 MB",
            sum(parts) <= 220,
        )
    ]


async def _tensorflow_mb() -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        IDLE_TENSORFLOW,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if process.stdout is None or await process.stdout.readline() != b"ready\n":
        raise RuntimeError("TensorFlow or librosa is not installed: requirements/dev.txt has them")
    used = proportional_mb(psutil.Process(process.pid))
    await process.communicate(b"\n")
    return used


def percentile(values: Sequence[float], share: float) -> float:
    """Value that this share of the values does not exceed: the nearest rank."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def bucket_percentile(buckets: Mapping[float, float], share: float) -> float:
    """Percentile of a Prometheus histogram, linear between its buckets' borders.

    Args:
        buckets: upper border → how many were not above it; the last border is infinite.
        share: 0 to 1.
    """
    wanted = share * max(buckets.values())
    lower, below = 0.0, 0.0
    for border, count in sorted(buckets.items()):
        if count >= wanted:
            if math.isinf(border):
                return lower
            return lower + (border - lower) * (wanted - below) / max(count - below, 1)
        lower, below = border, count
    return lower


def lag_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[float, float]:
    """Buckets of the lag between two readings of the metrics."""
    return {
        float(name.split('"')[1].replace("+Inf", "inf")): count - before.get(name, 0.0)
        for name, count in after.items()
        if name.startswith(LAG)
    }


async def _measure(folder: Path) -> list[Figure]:
    for name in ("burst", "rest"):
        (folder / name).mkdir()
    return [*await burst(folder), *await start(folder), *await rest(folder)]


def main(
    out: Annotated[Path, typer.Option("--json", help="Where to save the figures.")] = Path(".reports/burst.json"),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/figures.md.")] = False,
) -> None:
    """Measure, print a Markdown table and keep the figures as JSON."""
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    measured_on = machine()
    with tempfile.TemporaryDirectory(prefix="genregenie-burst-") as folder:
        figures = asyncio.run(_measure(Path(folder)))
    text = f"{table(figures)}\n\nMeasured on {measured_on}."
    publish(figures, text, measured_on, out, FIGURES_PAGE if write else None, MARKERS)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
