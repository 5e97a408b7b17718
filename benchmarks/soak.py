"""Mixed traffic for a while, on bot, page and command line at once: `python -m benchmarks.soak --minutes 15`.

Good, bad, cancelled and huge requests, the bot on the Discord on loopback. What the processes hold is read at rest
before and after, and every few seconds between: memory, threads, file descriptors, temporary files. Linux only.
"""

import asyncio
import contextlib
import csv
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import psutil
import typer

from benchmarks.measure import FIGURES_PAGE, anonymous_mb, machine, proportional_mb, write_between
from benchmarks.songs import make_song
from benchmarks.traffic import HUGE_MINUTES, OnDiscord, OnTheCommandLine, OnThePage, Tally
from tests.bot.end_to_end.conftest import furnished
from tests.bot.end_to_end.process import BotProcess
from tests.discord_server import Discord
from tests.support.processes import living_children
from tests.web.page import PageProcess

MARKERS: Final = "soak"

WARM_UP: Final = 0.15
"""Share of the time after which everything has been used once: the first reading at rest."""

REST_S: Final = 75.0
"""After the last answer: connections that are kept for the next request are closed by then, and the page has deleted
what closed tabs had sent and nobody asked about, which it does after a minute."""

REST_SAMPLES: Final = 5
QUIET_S: Final = 120.0
"""Ceiling for the last work to end."""

GROWTH: Final = 0.10
"""Memory that may have been added between the two rests; a leak of one song a minute would be more."""

MORE: Final = 2
"""Threads and descriptors that may have been added."""

PAGE_LIMITS: Final = {
    "WEB_MAX_JOBS": "64",
    "WEB_MAX_JOBS_PER_VISITOR": "64",
    "WEB_REQUESTS_PER_MINUTE": "100000",
}
"""All visitors have the same address here."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is held at one moment, by the bot with its workers, or the page with its own.

    `memory_mb` is the proportional set size, which grows too when others end that share a library; `own_mb` is what of
    it the processes have filled themselves.
    """

    minute: float
    who: str
    memory_mb: float
    own_mb: float
    threads: int
    descriptors: int
    processes: int
    temporary_files: int


class Watcher:
    """Reads what a process and all below it hold.

    Args:
        roots: name → process id.
        places: name → folders in which temporary files would lie.
    """

    def __init__(self, roots: dict[str, int], places: dict[str, Sequence[Path]]) -> None:
        self._roots = roots
        self._places = places
        self._began = time.monotonic()
        self.samples: list[Sample] = []

    def sample(self) -> list[Sample]:
        """Read once."""
        minute = (time.monotonic() - self._began) / 60
        taken = [self._of(who, pid, minute) for who, pid in self._roots.items()]
        self.samples += taken
        return taken

    def _of(self, who: str, pid: int, minute: float) -> Sample:
        processes = [psutil.Process(pid), *living_children(pid)]
        return Sample(
            round(minute, 3),
            who,
            round(sum(map(proportional_mb, processes)), 1),
            round(sum(map(anonymous_mb, processes)), 1),
            sum(_or_zero(process.num_threads) for process in processes),
            sum(_or_zero(process.num_fds) for process in processes),
            len(processes),
            sum(len(_files(place)) for place in self._places[who]),
        )

    async def keep_watching(self, every_s: float) -> None:
        """Read every so many seconds, for ever."""
        while True:
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(every_s)

    async def at_rest(self) -> dict[str, Sample]:
        """Read several times while nothing is asked, and give the middle."""
        await asyncio.sleep(REST_S)
        taken: list[Sample] = []
        for _ in range(REST_SAMPLES):
            taken += await asyncio.to_thread(self.sample)
            await asyncio.sleep(1)
        return {who: _middle([sample for sample in taken if sample.who == who]) for who in self._roots}


def _or_zero(read: Callable[[], int]) -> int:
    try:
        return read()
    except psutil.Error:  # it has ended meanwhile
        return 0


def _files(place: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):  # a folder that went while it was read
        return [path for path in place.rglob("*") if path.is_file() and path.name != "lock"]
    return []


def _middle(samples: Sequence[Sample]) -> Sample:
    numbers = {
        field.name: statistics.median(getattr(sample, field.name) for sample in samples)
        for field in fields(Sample)
        if field.name != "who"
    }
    return Sample(who=samples[0].who, **numbers)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both rests, all samples, and what became of the questions."""

    before: dict[str, Sample]
    after: dict[str, Sample]
    samples: list[Sample]
    tally: Tally
    complaints: list[str]

    def faults(self) -> list[str]:
        """Say what was not flat, or was lost."""
        found = [*self.tally.wrong, *self.complaints]
        for who, after in self.after.items():
            before = self.before[who]
            if after.own_mb > before.own_mb * (1 + GROWTH):
                found.append(f"{who}: memory grew from {before.own_mb:.0f} to {after.own_mb:.0f} MB")
            for name in ("threads", "descriptors"):
                if getattr(after, name) > getattr(before, name) + MORE:
                    found.append(f"{who}: {name} grew from {getattr(before, name):g} to {getattr(after, name):g}")
            if after.processes != before.processes:
                found.append(f"{who}: {before.processes:g} processes became {after.processes:g}")
            if after.temporary_files:
                found.append(f"{who}: {after.temporary_files:g} temporary files are left")
        return found


async def soak(folder: Path, minutes: float) -> Outcome:
    """Start everything, ask, and read."""
    for name in ("bot", "page", "temporary"):
        (folder / name).mkdir()
    # All that is started from here puts what is temporary here.
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "temporary")
    # Before anything runs: this Discord would stand still meanwhile.
    huge = make_song(folder / "huge.mp3", 60 * HUGE_MINUTES).read_bytes()
    async with _services(folder) as (discord, bot, page), aiohttp.ClientSession() as session:
        watcher = Watcher(
            {"bot": bot.pid, "page": page.process.pid},
            {"bot": (folder / "bot" / "tmp",), "page": (folder / "page" / "tmp", folder / "temporary")},
        )
        on_discord = OnDiscord(discord, furnished(discord), huge)
        await on_discord.switch_autoscan_on()
        askers = (on_discord, OnThePage(session, page.address), OnTheCommandLine(folder))
        tally = Tally()
        watching = asyncio.create_task(watcher.keep_watching(max(1.0, minutes * 60 / 300)))
        await keep_asking(askers, tally, minutes * 60 * WARM_UP)
        await _quiet(bot)
        before = await watcher.at_rest()
        await keep_asking(askers, tally, minutes * 60 * (1 - WARM_UP))
        await _quiet(bot)
        after = await watcher.at_rest()
        watching.cancel()
        return Outcome(before, after, watcher.samples, tally, [str(complaint) for complaint in discord.complaints])


@contextlib.asynccontextmanager
async def _services(folder: Path) -> AsyncIterator[tuple[Discord, BotProcess, PageProcess]]:
    page = PageProcess(folder / "page", **PAGE_LIMITS)
    async with Discord() as discord, BotProcess(discord, folder / "bot") as bot:
        await asyncio.to_thread(page.__enter__)
        try:
            yield discord, bot, page
        finally:
            await asyncio.to_thread(page.__exit__, None, None, None)


async def keep_asking(askers: Iterable[OnDiscord | OnThePage | OnTheCommandLine], tally: Tally, seconds: float) -> None:
    """Ask all questions side by side, each again and again, for a while."""
    stop = asyncio.Event()
    asking = [
        asyncio.create_task(tally.keep_asking(name, ask, stop))
        for asker in askers
        for name, ask in asker.questions().items()
    ]
    await asyncio.sleep(seconds)
    stop.set()
    await asyncio.gather(*asking)


async def _quiet(bot: BotProcess) -> None:
    """Wait until the bot has nothing to do."""
    deadline = time.monotonic() + QUIET_S
    while time.monotonic() < deadline:
        metrics = await bot.metrics()
        if metrics["genregenie_running"] == metrics["genregenie_queue_length"] == 0:
            break
        await asyncio.sleep(0.5)


def tables(outcome: Outcome) -> str:
    """Write both tables in Markdown: what was held, and what was asked."""
    lines = [
        "| at rest | memory (PSS) | of it its own | threads | descriptors | processes | temporary files |",
        "|---|---|---|---|---|---|---|",
    ]
    for who in outcome.before:
        for when, sample in (("before", outcome.before[who]), ("after", outcome.after[who])):
            memory = f"{sample.memory_mb:.0f} MB | {sample.own_mb:.0f} MB"
            counts = f"{sample.threads:g} | {sample.descriptors:g} | {sample.processes:g} | {sample.temporary_files:g}"
            lines.append(f"| {who}, {when} | {memory} | {counts} |")
    lines += ["", "| asked | times | answered as it should be |", "|---|---|---|"]
    tally = outcome.tally
    lines += [f"| {name} | {asked} | {tally.answered[name]} |" for name, asked in sorted(tally.asked.items())]
    lines.append(f"| **all** | **{tally.asked.total()}** | **{tally.answered.total()}** |")
    return "\n".join(lines)


def plot(outcome: Outcome, path: Path) -> None:
    """Draw what was held over time; between the two rests there is traffic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = {
        "own_mb": "own memory, MB",
        "threads": "threads",
        "descriptors": "file descriptors",
        "temporary_files": "temporary files",
    }
    figure, axes = plt.subplots(len(titles), 1, sharex=True, figsize=(9, 9), layout="constrained")
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for who in outcome.before:
            own = [sample for sample in outcome.samples if sample.who == who]
            [line] = axis.plot([s.minute for s in own], [getattr(s, name) for s in own], label=who, linewidth=1)
            rests = (outcome.before[who], outcome.after[who])
            axis.plot([s.minute for s in rests], [getattr(s, name) for s in rests], "o", color=line.get_color())
        axis.set_ylabel(title)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend(title="with workers; dots: at rest")
    axes[-1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long there is traffic.")] = 15.0,
    out: Annotated[Path, typer.Option(help="Where table, samples and plot go.")] = Path(".reports"),
    write: Annotated[bool, typer.Option("--write", help="Write the tables into docs/figures.md.")] = False,
) -> None:
    """Soak, print the tables, and end with 1 where something was not flat or was lost."""
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    out.mkdir(parents=True, exist_ok=True)
    out = out.absolute()
    measured_on = machine()
    with tempfile.TemporaryDirectory(prefix="genregenie-soak-") as folder:
        outcome = asyncio.run(soak(Path(folder), minutes))
    text = f"{tables(outcome)}\n\n{minutes:g} minutes; {measured_on}."
    faults = outcome.faults()
    print(text, *(f"\n- {fault}" for fault in faults), sep="\n")
    (out / "soak.md").write_text(text + "\n", "utf-8")
    with (out / "soak.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Sample)])
        writer.writeheader()
        writer.writerows(map(asdict, outcome.samples))
    plot(outcome, out / "soak.png")
    if write:
        write_between(FIGURES_PAGE, MARKERS, text)
    if faults:
        sys.exit(1)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
