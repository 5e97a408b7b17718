"""What others notice while one member attacks with links: `python -m benchmarks.attack --write`.

`genregenie bot` as it is run, on the Discord on loopback that the tests use. One member sends sixteen links to servers
that dribble, or that flood with tiny chunks and interim responses; a member of another server sends files meanwhile.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.burst import bucket_percentile, lag_between
from benchmarks.measure import FIGURES_PAGE, Figure, machine, publish, table, write_between
from tests.bot.end_to_end.answers import genre_of, is_final
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.core.fetch.servers import Exchange, Server, running_server
from tests.discord_server import Discord

MARKERS: Final = "attack"
LINKS: Final = 16
FILES: Final = 7
SONG_S: Final = 30.0
TIMEOUT_S: Final = 30
FLOOD_S: Final = 20.0
QUIET_S: Final = 10.0
CHUNK: Final = b"1\r\nx\r\n"


async def dribble(exchange: Exchange) -> None:
    """Send a byte every three seconds, for ever."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(3)


async def chunks(exchange: Exchange) -> None:
    """Send a body in chunks of one byte, as fast as it goes."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await exchange.send(CHUNK * 10_000)


async def interim(exchange: Exchange) -> None:
    """Send interim responses, as fast as it goes."""
    while True:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)


@contextlib.asynccontextmanager
async def attacked(discord: Discord, folder: Path) -> AsyncIterator[tuple[BotProcess, Server]]:
    """Run a bot that may reach the attacker's server, which is on loopback as well."""
    folder.mkdir()  # noqa: ASYNC240 - once, before anything runs
    async with running_server() as server:
        server.routes.update({"/dribble*": dribble, "/chunks*": chunks, "/interim*": interim})
        settings = {
            "GENREGENIE_ALLOWED_HOSTS": f"{discord.host},{server.host}",
            "GENREGENIE_JOB_TIMEOUT_S": str(TIMEOUT_S),
        }
        try:
            async with BotProcess(discord, folder, **settings) as bot:
                yield bot, server
        finally:
            await server.stop()


async def answered(discord: Discord, house: House) -> float:
    """Send a file, and return the seconds until its answer."""
    song = new_song(SONG_S)
    began = time.perf_counter()
    genre_of(await discord.slash("genre", user=house.ana, channel=house.channel, file=song).reply(is_final))
    return time.perf_counter() - began


async def dribbling_links(folder: Path) -> list[Figure]:
    """Measure another server's files while sixteen links of one member dribble."""
    async with Discord() as discord, attacked(discord, folder / "dribble") as (_, server):
        attacker, other = furnished(discord), furnished(discord)
        await answered(discord, other)  # warm
        alone = [await answered(discord, other) for _ in range(FILES)]
        for number in range(LINKS):
            link = server.url(f"/dribble/{number}")
            discord.slash("genre", user=attacker.ana, channel=attacker.channel, link=link)
        await server.wait_for_requests()
        meanwhile = [await answered(discord, other) for _ in range(FILES)]
    ratio = statistics.median(meanwhile) / statistics.median(alone)
    return [
        Figure(
            f"{LINKS} links of one member dribble: a file of another server's member",
            f"median {statistics.median(meanwhile):.2f} s, alone {statistics.median(alone):.2f} s",
            f"{ratio:.1f} times as long",
            "≤ 2 times",
            ratio <= 2,
        )
    ]


async def floods(folder: Path, name: str) -> list[Figure]:
    """Measure the bot's event loop while sixteen links of one member flood."""
    async with Discord() as discord, attacked(discord, folder / name) as (bot, server):
        attacker = furnished(discord)
        await answered(discord, attacker)
        quiet = await bot.metrics()
        await asyncio.sleep(QUIET_S)
        before = await bot.metrics()
        asked = [
            discord.slash("genre", user=attacker.ana, channel=attacker.channel, link=server.url(f"/{name}/{number}"))
            for number in range(LINKS)
        ]
        acknowledged = await asyncio.gather(*(interaction.acknowledged() for interaction in asked))
        await server.wait_for_requests()
        await asyncio.wait([asyncio.create_task(interaction.reply(is_final)) for interaction in asked], timeout=FLOOD_S)
        after = await bot.metrics()
    lag = bucket_percentile(lag_between(before, after), 0.99)
    at_rest = bucket_percentile(lag_between(quiet, before), 0.99)
    return [
        Figure(
            f"{LINKS} links of one member to a flood of {name}: event-loop lag, 99th percentile",
            f"all acknowledged within {max(acknowledged):.2f} s; lag before the attack {1000 * at_rest:.0f} ms",
            f"{1000 * lag:.0f} ms",
            "< 100 ms",
            lag < 0.1,
        )
    ]


async def measure(folder: Path) -> list[Figure]:
    """Carry out all attacks, one after the other."""
    return [*await dribbling_links(folder), *await floods(folder, "chunks"), *await floods(folder, "interim")]


def main(
    out: Annotated[Path, typer.Option("--json", help="Where to save the figures.")] = Path(".reports/attack.json"),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/figures.md.")] = False,
) -> None:
    """Measure, print a Markdown table and keep the figures as JSON."""
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    measured_on = machine()
    with tempfile.TemporaryDirectory(prefix="genregenie-attack-") as folder:
        figures = asyncio.run(measure(Path(folder)))
    text = f"{table(figures)}\n\nMeasured on {measured_on}."
    publish(figures, text, measured_on, out, FIGURES_PAGE if write else None, MARKERS)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
