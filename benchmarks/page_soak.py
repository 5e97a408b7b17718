"""The page alone under mixed traffic for an hour: `python -m benchmarks.page_soak --write`.

What it holds at rest after ten minutes is compared with what it holds at rest at the end: threads, file descriptors and
memory may not be more than 3% above. Linux only.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import typer

from benchmarks.measure import FIGURES_PAGE, machine, write_between
from benchmarks.soak import PAGE_LIMITS, Sample, Watcher, keep_asking
from benchmarks.traffic import OnThePage, Tally
from tests.web.page import PageProcess

MARKERS: Final = "page-soak"
ALLOWED: Final = 0.03
SAMPLE_S: Final = 10.0
COMPARED: Final = ("own_mb", "threads", "descriptors", "processes")


async def soak(folder: Path, minutes: float, reference: float) -> tuple[Sample, Sample, Tally]:
    """Ask for a while, and read what the page holds at rest after `reference` minutes and at the end."""
    page = PageProcess(folder, **PAGE_LIMITS)
    await asyncio.to_thread(page.__enter__)
    try:
        async with aiohttp.ClientSession() as session:
            askers = (OnThePage(session, page.address),)
            watcher = Watcher({"page": page.process.pid}, {"page": (folder / "tmp",)})
            tally = Tally()
            watching = asyncio.create_task(watcher.keep_watching(SAMPLE_S))
            rests = []
            for length in (reference, minutes - reference):
                await keep_asking(askers, tally, length * 60)
                rests.append((await watcher.at_rest())["page"])
            watching.cancel()
            return rests[0], rests[1], tally
    finally:
        await asyncio.to_thread(page.__exit__, None, None, None)


def faults(first: Sample, last: Sample, tally: Tally) -> list[str]:
    """Say what grew, was left, or was answered otherwise than it should be."""
    found = list(tally.wrong)
    for name in COMPARED:
        before, after = getattr(first, name), getattr(last, name)
        if after > before * (1 + ALLOWED):
            found.append(f"{name} grew from {before:g} to {after:g}, by more than {ALLOWED:.0%}")
    if last.temporary_files:
        found.append(f"{last.temporary_files:g} temporary files are left")
    return found


def table(first: Sample, last: Sample, tally: Tally) -> str:
    """Write both rests and the traffic in Markdown."""
    lines = ["| at rest | own memory | threads | descriptors | processes |", "|---|---|---|---|---|"]
    lines += [
        f"| after {s.minute:.0f} minutes | {s.own_mb:.1f} MB | {s.threads:g} | {s.descriptors:g} | {s.processes:g} |"
        for s in (first, last)
    ]
    answered = tally.answered.total()
    return "\n".join([*lines, "", f"{tally.asked.total()} requests, {answered} answered as they should be."])


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long there is traffic.")] = 60.0,
    reference: Annotated[float, typer.Option(min=0.1, help="Minutes of it before the first reading.")] = 10.0,
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/figures.md.")] = False,
) -> None:
    """Soak, print the table, and end with 1 where something grew or was lost."""
    if reference >= minutes:
        raise typer.BadParameter("--reference must come before the end")
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    measured_on = machine()
    with tempfile.TemporaryDirectory(prefix="genregenie-page-soak-") as folder:
        first, last, tally = asyncio.run(soak(Path(folder), minutes, reference))
    found = faults(first, last, tally)
    text = f"{table(first, last, tally)}\n\n{minutes:g} minutes; {measured_on}."
    print(text, *(f"- {fault}" for fault in found), sep="\n")
    if write:
        write_between(FIGURES_PAGE, MARKERS, text)
    if found:
        sys.exit(1)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
