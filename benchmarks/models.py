"""Memory of a worker that is asked for several models side by side: `python -m benchmarks.models --write`. Linux only.

It classifies a song with every shipped model in turn, as the page does to compare them, and then waits until the models
that only some ask for are given back.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from benchmarks.measure import (
    FIGURES_PAGE,
    Figure,
    anonymous_mb,
    machine,
    proportional_mb,
    publish,
    table,
    write_between,
)
from benchmarks.songs import make_song
from core.inference.model_card import shipped_models
from core.inference.pipeline import ClassifyOptions
from core.settings import Settings, load_settings
from core.workers.pool import WorkerPool
from core.workers.worker import IDLE_S

MARKERS: Final = "models"
SONG_S: Final = 60
ROUNDS: Final = 5
SLACK_MB: Final = 10.0


async def measure(song: Path) -> list[Figure]:
    """Measure a worker before, after and some time after it has compared all models."""
    models = shipped_models()
    async with WorkerPool(load_settings(Settings), size=1) as pool:
        await pool.ready()
        # The interpreter that holds the models has no children while it rests; a guard may stand above it.
        worker = next(
            child
            for child in psutil.Process().children(recursive=True)
            if "core.workers.worker" in child.cmdline() and not child.children()
        )
        await pool.classify_file(song)
        before = proportional_mb(worker), anonymous_mb(worker)
        for _ in range(ROUNDS):
            for model in models:
                await pool.classify_file(song, ClassifyOptions(model=model))
        after = proportional_mb(worker), anonymous_mb(worker)
        await asyncio.sleep(IDLE_S + 5)
        rested = proportional_mb(worker), anonymous_mb(worker)
    return [
        _figure("after a song with the default model", before),
        _figure(f"after {ROUNDS} songs with {', '.join(models)} side by side", after),
        _figure(f"a minute later ({IDLE_S:.0f} s without a song)", rested, before[0] + SLACK_MB),
    ]


def _figure(when: str, memory: tuple[float, float], most: float | None = None) -> Figure:
    goal = "" if most is None else f"≤ {SLACK_MB:.0f} MB more than before"
    return Figure(
        f"a worker's memory (proportional set size) {when}",
        f"{memory[1]:.0f} MB of it its own",
        f"{memory[0]:.0f} MB",
        goal,
        None if most is None else memory[0] <= most,
    )


def main(
    out: Annotated[Path, typer.Option("--json", help="Where to save the figures.")] = Path(".reports/models.json"),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/figures.md.")] = False,
) -> None:
    """Measure, print a Markdown table, and save the figures as JSON."""
    if write:
        write_between(FIGURES_PAGE, MARKERS)
    measured_on = machine()
    with tempfile.TemporaryDirectory(prefix="genregenie-models-") as folder:
        figures = asyncio.run(measure(make_song(Path(folder) / "song.mp3", SONG_S)))
    text = f"{table(figures)}\n\nMeasured on {measured_on}."
    publish(figures, text, measured_on, out, FIGURES_PAGE if write else None, MARKERS)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
