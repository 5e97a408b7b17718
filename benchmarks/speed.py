"""Speed and memory, compared with the study's method: `python -m benchmarks.speed [start|song|throughput|memory]`.

All parts together take a few minutes. The two sides take turns, so that other load on the machine affects both; targets
are ratios where possible. Unix only.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from benchmarks.measure import (
    FIGURES_PAGE,
    Figure,
    Spread,
    machine,
    publish,
    resident_mb,
    table,
    timed,
    tree_peak_mb,
    write_between,
)
from benchmarks.songs import ROOT, make_clips, make_song, origin
from core.inference.model_card import shipped_models
from core.service.identify import IdentifyResult, LocalIdentifier, Request
from core.service.sources import PathSource
from core.settings import Settings, load_settings
from core.verdict import Elapsed
from core.workers.pool import WorkerPool

MARKERS: Final = "benchmarks"

ONLY_IMPORTS: Final = (sys.executable, "-c", "import tensorflow, librosa")
CLASSIFY: Final = (sys.executable, "-m", "genregenie", "classify", "--json")

START_RUNS: Final = 5
SONG_RUNS: Final = 9
THROUGHPUT_FILES: Final = 50
THROUGHPUT_RUNS: Final = 3
REFERENCE_FILES: Final = 10
"""Files that the reference classifies in each round: fewer, because its pace is steady and slow."""
MEMORY_SAMPLE_S: Final = 0.01


class Part(StrEnum):
    """The parts of the benchmark."""

    START = "start"
    SONG = "song"
    THROUGHPUT = "throughput"
    MEMORY = "memory"


def start(folder: Path) -> list[Figure]:
    """Measure process start to verdict for a 30 s clip, against only importing TensorFlow and librosa."""
    clip = make_clips(folder, 1)[0]
    ours_command = (*CLASSIFY, str(clip))
    for command in (ONLY_IMPORTS, ours_command):  # so that both are in the disk cache
        timed(command)
    theirs, ours = zip(*((timed(ONLY_IMPORTS), timed(ours_command)) for _ in range(START_RUNS)), strict=True)
    their_seconds, our_seconds = _spread(run.seconds for run in theirs), _spread(run.seconds for run in ours)
    their_mb, our_mb = _spread(run.largest_mb for run in theirs), _spread(run.largest_mb for run in ours)
    faster, smaller = their_seconds.median / our_seconds.median, their_mb.median / our_mb.median
    their_tree, our_tree = tree_peak_mb(ONLY_IMPORTS), tree_peak_mb(ours_command)
    return [
        Figure(
            "process start to verdict for 30 s, against a process that only imports TensorFlow and librosa",
            f"{our_seconds.text('s')} against {their_seconds.text('s')}",
            f"{faster:.1f}× faster",
            "≥ 6×",
            faster >= 6,
        ),
        Figure(
            "its peak memory, largest process",
            f"{our_mb.text('MB', 0)} against {their_mb.text('MB', 0)}",
            f"{smaller:.1f}× less",
            "≥ 5×",
            smaller >= 5,
        ),
        Figure(
            "its peak memory, all processes summed (shared pages counted for each)",
            f"{our_tree:.0f} MB against {their_tree:.0f} MB",
            f"{their_tree / our_tree:.1f}× less",
        ),
    ]


def song(folder: Path) -> list[Figure]:
    """Measure the steps of classifying a 3-minute MP3 with a warm worker."""
    elapsed = asyncio.run(_time_song(make_song(folder / "three.mp3", 180)))
    decode = _spread(1000 * run.decode for run in elapsed)
    features = _spread(1000 * run.features for run in elapsed)
    classify = _spread(1000 * run.classify for run in elapsed)
    rest = _spread(1000 * (run.total - run.decode) for run in elapsed)
    steps = f"decoding {decode.text('ms', 0)}, features {features.text('ms', 0)}, model {classify.text('ms', 0)}"
    result = rest.text("ms", 0)
    return [Figure("warm, a 3-minute MP3: all but decoding", steps, result, "≤ 150 ms", rest.median <= 150)]


async def _time_song(path: Path) -> list[Elapsed]:
    settings = load_settings(Settings)
    async with WorkerPool(settings, size=1) as pool:
        identifier = LocalIdentifier(settings, pool=pool)
        request = Request(PathSource(path))
        await identifier.identify(request)
        return [(await identifier.identify(request)).verdict.elapsed for _ in range(SONG_RUNS)]


def throughput(folder: Path) -> list[Figure]:
    """Measure files per second on fifty clips: the reference, two warm workers, one warm worker."""
    clips = make_clips(folder, THROUGHPUT_FILES)
    reference, batched, two, one = [], [], [], []
    for _ in range(THROUGHPUT_RUNS):
        reference.append(REFERENCE_FILES / _reference_seconds(clips[:REFERENCE_FILES]))
        two.append(len(clips) / asyncio.run(_pool_seconds(clips, 2)))
        one.append(len(clips) / asyncio.run(_pool_seconds(clips, 1)))
        batched.append(REFERENCE_FILES / _reference_seconds(clips[:REFERENCE_FILES], "--batched"))
    theirs, at_once, ours, alone = map(_spread, (reference, batched, two, one))
    faster, scaling = ours.median / theirs.median, ours.median / alone.median
    our_rate = ours.text("files/s", 1)
    return [
        Figure(
            f"warm, {len(clips)} files of 30 s, 2 workers, against the reference",
            f"{our_rate} against {theirs.text('files/s', 1)}",
            f"{faster:.1f}×",
            "≥ 8×",
            faster >= 8,
        ),
        Figure(
            "the same, against the reference predicting a song's ten pictures at once",
            f"{our_rate} against {at_once.text('files/s', 1)}",
            f"{ours.median / at_once.median:.1f}×",
        ),
        Figure(
            "2 workers against 1",
            f"{our_rate} against {alone.text('files/s', 1)}",
            f"{scaling:.2f}×",
            "≥ 1.7×",
            scaling >= 1.7,
        ),
    ]


def _reference_seconds(clips: Sequence[Path], *options: str) -> float:
    command = (sys.executable, "-m", "benchmarks.reference", *options, *map(str, clips))
    output = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return float(json.loads(output)["seconds"])


async def _pool_seconds(clips: Sequence[Path], workers: int) -> float:
    settings = load_settings(Settings)
    async with WorkerPool(settings, size=workers) as pool:
        identifier = LocalIdentifier(settings, pool=pool)
        while pool.ready_count < workers:  # noqa: ASYNC110 - the pool signals its first worker only
            await asyncio.sleep(0.05)
        # A worker's first song loads ffmpeg from disk and computes the tables.
        await asyncio.gather(*(identifier.identify(Request(PathSource(clip))) for clip in clips[: 2 * workers]))
        began = time.perf_counter()
        await asyncio.gather(*(identifier.identify(Request(PathSource(clip))) for clip in clips))
        return time.perf_counter() - began


def memory(folder: Path) -> list[Figure]:
    """Measure a warm worker's resident memory during and after a 15-minute song, with each shipped model."""
    path = make_song(folder / "fifteen.mp3", 900)
    figures = []
    for model in shipped_models() or [None]:
        settings = load_settings(Settings)
        if model is not None:
            settings = settings.model_copy(update={"model": model})
        measured = asyncio.run(_worker_memory(path, settings))
        figures.append(
            Figure(
                f"resident memory of a worker during and after a 15-minute song, model `{measured.model}`",
                f"one worker, warm; its guard {measured.guard:.0f} MB besides",
                f"{measured.during:.0f} / {measured.after:.0f} MB",
                "≤ 160 / 130 MB",
                measured.during <= 160 and measured.after <= 130,
            )
        )
    return figures


@dataclass(frozen=True)
class WorkerMemory:
    """Resident memory in MB of a worker with `model` during and after a song, and of the guard above it."""

    during: float
    after: float
    guard: float
    model: str


async def _worker_memory(path: Path, settings: Settings) -> WorkerMemory:
    async with WorkerPool(settings, size=1) as pool:
        await pool.ready()
        # Where there is a sandbox, the pool's child is a guard and the worker is the guard's; ffmpeg is below it.
        child = next(child for child in psutil.Process().children() if "core.workers.worker" in child.cmdline())
        guarded = [below for below in child.children() if "core.workers.worker" in below.cmdline()]
        worker, guard_mb = (guarded[0], resident_mb(child)) if guarded else (child, 0.0)
        identifier = LocalIdentifier(settings, pool=pool)
        result, peak = await _with_peak_memory(identifier.identify(Request(PathSource(path))), worker)
        return WorkerMemory(peak, resident_mb(worker), guard_mb, result.prediction.model.name)


async def _with_peak_memory(
    work: Coroutine[Any, Any, IdentifyResult], process: psutil.Process
) -> tuple[IdentifyResult, float]:
    """Await a result, and give it with the peak of a process's memory meanwhile, MB."""
    task = asyncio.create_task(work)
    peak = 0.0
    while not task.done():
        peak = max(peak, resident_mb(process))
        await asyncio.wait((task,), timeout=MEMORY_SAMPLE_S)
    return task.result(), peak


def _spread(values: Iterable[float]) -> Spread:
    return Spread(tuple(values))


def main(
    parts: Annotated[list[Part] | None, typer.Argument(help="What to measure; all by default.")] = None,
    out: Annotated[Path, typer.Option("--json", help="Where to save the figures.")] = Path(".reports/speed.json"),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/figures.md.")] = False,
) -> None:
    """Measure, print a Markdown table, and save the figures as JSON."""
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    measured_on = f"{machine()}; songs made from {origin()}"
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="genregenie-speed-") as folder:
        for part in parts or list(Part):
            print(f"measuring {part.value} …", file=sys.stderr, flush=True)
            figures += {Part.START: start, Part.SONG: song, Part.THROUGHPUT: throughput, Part.MEMORY: memory}[part](
                Path(folder)
            )
    text = f"{table(figures)}\n\nMeasured on {measured_on}; medians, ranges in brackets."
    publish(figures, text, measured_on, out, FIGURES_PAGE if write else None, MARKERS)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
