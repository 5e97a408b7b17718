"""The bot with the page in its process in 1 GiB: `python -m benchmarks.one_gigabyte --write`. Linux, as root.

The bot, its worker, its proxy and every ffmpeg are in a memory control group (version 2 or 1) without swap: the kernel
would kill what does not fit. A member and a visitor send a song of 30 minutes and many short ones at the same time, and
programs ask the page's API for links that are refused.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import psutil
import typer

from benchmarks.measure import FIGURES_PAGE, Figure, machine, proportional_mb, publish, table, write_between
from benchmarks.songs import make_song
from tests.bot.end_to_end.answers import genre_of, is_final
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.bot.end_to_end.test_page_in_bot import TOKEN, classify, page_of, settings
from tests.discord_server import Discord
from tests.discord_server.cdn import File

MARKERS: Final = "one-gigabyte"
LIMIT: Final = 1024**3
MIB: Final = 1024**2
LONG_S: Final = 1_795
SHORT_S: Final = 20.0
SHORT: Final = 12
LINKS: Final = 8
ANSWERED_S: Final = 900.0
SAMPLE_S: Final = 0.25
REST_S: Final = 75.0
"""Longer than other models than the default one stay loaded."""

GROUP: Final = "genregenie-benchmark"


@dataclass(frozen=True)
class MemoryGroup:
    """A control group whose memory is limited: its folder, and the files that say how far it came."""

    folder: Path
    limit: str
    swap: str
    stat_anonymous: str

    @property
    def killed(self) -> int:
        """How many processes the kernel has killed for lack of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                pairs = dict(line.split() for line in (self.folder / name).read_text().splitlines())
                return int(pairs["oom_kill"])
        raise RuntimeError("the control group does not say how many processes were killed")

    @property
    def anonymous_mb(self) -> float:
        """Memory that cannot be dropped and read again, MB: what the limit is about."""
        pairs = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int(pairs[self.stat_anonymous]) / 1e6


@contextlib.contextmanager
def memory_group() -> Iterator[MemoryGroup]:
    """Make a control group of 1 GiB without swap.

    Raises:
        RuntimeError: this machine has none that we may make.
    """
    kinds = (
        MemoryGroup(Path("/sys/fs/cgroup") / GROUP, "memory.max", "memory.swap.max", "anon"),
        MemoryGroup(
            Path("/sys/fs/cgroup/memory") / GROUP,
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "total_rss",
        ),
    )
    for group in kinds:
        try:
            group.folder.mkdir()
            with (group.folder / group.limit).open("r+") as limit:  # which is there, if this is a control group
                limit.write(str(LIMIT))
        except OSError:
            with contextlib.suppress(OSError):
                group.folder.rmdir()
            continue
        with contextlib.suppress(OSError):  # a kernel without accounts of swap
            (group.folder / group.swap).write_text("0" if group.swap.endswith("swap.max") else str(LIMIT))
        try:
            yield group
        finally:
            with contextlib.suppress(OSError):
                group.folder.rmdir()
        return
    raise RuntimeError("needs a control group with a memory limit: Linux, as root")


@contextlib.asynccontextmanager
async def limited_bot(discord: Discord, folder: Path, group: MemoryGroup) -> AsyncIterator[BotProcess]:
    """Run the bot with the page in a control group."""
    # This machine may be busy with something else; it is not speed that is measured.
    more = {"GENREGENIE_JOB_TIMEOUT_S": "900", "GENREGENIE_WEB_MAX_JOBS_PER_VISITOR": "32"}
    bot = BotProcess(discord, folder, **settings(**more))
    await bot.launch()  # nothing that it starts has been started yet
    (group.folder / "cgroup.procs").write_text(str(bot.pid))
    await bot.until(lambda: discord.gateway.live, "the connection")
    await bot.until_ready()
    try:
        yield bot
    finally:
        await bot.stop()


def held_mb(bot: BotProcess) -> float:
    """Memory of the bot and all beneath it, proportionally, MB."""
    return sum(map(proportional_mb, (psutil.Process(bot.pid), *bot.children())))


async def measure(folder: Path) -> list[Figure]:
    """Put the bot and the page under load in 1 GiB.

    Raises:
        RuntimeError: there is no control group for it.
    """
    long = make_song(folder / "long.mp3", LONG_S)
    data = folder / "data"
    data.mkdir()
    with memory_group() as group:
        async with Discord() as discord, limited_bot(discord, data, group) as bot:
            house = furnished(discord)
            page = await page_of(bot)
            await asyncio.sleep(5)
            rest = held_mb(bot)
            peaks: list[tuple[float, float]] = []
            watch = asyncio.create_task(_watch(bot, group, peaks))
            answered = await _ask(discord, house, page, long)
            watch.cancel()
            await asyncio.sleep(REST_S)
            after = held_mb(bot)
            restarts = (await bot.metrics())["genregenie_worker_restarts_total"]
        killed = group.killed
    peak, anonymous = max(held for held, _ in peaks), max(anonymous for _, anonymous in peaks)
    wanted = 2 + 2 * SHORT + LINKS
    return [
        Figure("memory at rest: bot, page, one worker, proxy (proportional set size)", "", f"{rest:.0f} MB"),
        Figure(
            "its peak while a member's and a visitor's song of 30 minutes, 24 short ones and 8 links are asked for",
            f"{anonymous:.0f} MB that cannot be dropped and read again",
            f"{peak:.0f} MB",
            "≤ 1,024 MiB",
            peak * 1e6 <= LIMIT,
        ),
        Figure("memory at rest a minute after", f"{after - rest:+.0f} MB", f"{after:.0f} MB"),
        Figure("answered as they should be", f"of {wanted}", str(answered), f"{wanted}", answered == wanted),
        Figure(
            "killed by the kernel for lack of memory; workers replaced",
            "the limit is the kernel's own (control group)",
            f"{killed}; {restarts:.0f}",
            "0; 0",
            killed == 0 and restarts == 0,
        ),
    ]


async def _watch(bot: BotProcess, group: MemoryGroup, peaks: list[tuple[float, float]]) -> None:
    while True:
        peaks.append((held_mb(bot), group.anonymous_mb))
        await asyncio.sleep(SAMPLE_S)


async def _ask(discord: Discord, house: House, page: str, long: Path) -> int:
    """Ask on both sides at once; gives how many were answered as they should be."""
    files = [File.at(long), *(new_song(SHORT_S) for _ in range(SHORT))]
    asked = [
        discord.slash("genre", user=(house.ana, house.ben)[n % 2], channel=house.channel, file=file)
        for n, file in enumerate(files)
    ]
    bodies = [files[0].data, *(new_song(SHORT_S).data for _ in range(SHORT))]
    visits = [asyncio.create_task(classify(page, body)) for body in bodies]
    links = [asyncio.create_task(_link(page, n)) for n in range(LINKS)]
    replies = await asyncio.gather(*(one.reply(is_final, within=ANSWERED_S) for one in asked))
    good = sum(bool(genre_of(reply)) for reply in replies)
    for status, verdict in await asyncio.gather(*visits):
        good += status == 200 and "genre" in verdict
    return good + sum(code == "blocked-address" for code in await asyncio.gather(*links))


async def _link(page: str, number: int) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = {"link": f"http://127.0.0.1:9/{number}.mp3"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{page}/api/v1/classify", json=body) as response,
    ):
        return str((await response.json())["error"]["code"])


def main(
    out: Annotated[Path, typer.Option("--json", help="Where to save the figures.")] = Path(
        ".reports/one_gigabyte.json"
    ),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/figures.md.")] = False,
) -> None:
    """Measure, print a Markdown table, and save the figures as JSON."""
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    measured_on = machine()
    with tempfile.TemporaryDirectory(prefix="genregenie-1gb-") as folder:
        figures = asyncio.run(measure(Path(folder)))
    text = f"{table(figures)}\n\nMeasured on {measured_on}."
    publish(figures, text, measured_on, out, FIGURES_PAGE if write else None, MARKERS)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
