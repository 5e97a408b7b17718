"""Time and memory of processes, and tables of figures."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

FIGURES_PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "figures.md"
"""Where the benchmarks write their tables."""

MB: Final = 1_000_000
SAMPLE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: wall seconds, and the peak memory of the largest of its processes."""

    seconds: float
    largest_mb: float


def timed(command: Sequence[str]) -> Run:
    """Run a command to its end, without sampling it, which would slow it down. Unix only.

    Measure from a small process: the kernel counts its memory as the child's until the child becomes the command.

    Raises:
        RuntimeError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    # ru_maxrss is in KiB, and is the largest of the process and the children that it waited for.
    return Run(seconds, usage.ru_maxrss * 1024 / MB)


def tree_peak_mb(command: Sequence[str]) -> float:
    """Run a command, and give the peak of its processes' summed resident memory; shared pages count for each."""
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            peak = max(peak, sum(resident_mb(member) for member in (process, *process.children(recursive=True))))
        time.sleep(SAMPLE_SECONDS)
    return peak


def resident_mb(process: psutil.Process) -> float:
    """Resident memory of a process; 0 when it has ended."""
    try:
        return float(process.memory_info().rss) / MB
    except psutil.Error:
        return 0.0


def proportional_mb(process: psutil.Process) -> float:
    """Proportional set size of a process: a page shared by n processes counts as 1/n. Linux only."""
    return _rollup_mb(process, "Pss")


def anonymous_mb(process: psutil.Process) -> float:
    """Anonymous memory of a process, which does not depend on what else the machine runs. Linux only."""
    return _rollup_mb(process, "Pss_Anon")


def _rollup_mb(process: psutil.Process, name: str) -> float:
    """Read a line of a process's `smaps_rollup`; 0 when the process has ended."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    match = re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(match[1]) * 1024 / MB if match else 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements: their median and range."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the measurements."""
        return statistics.median(self.values)

    def text(self, unit: str, digits: int = 2) -> str:
        """Format as `1.20 s (1.10-1.40)`: median and range."""
        low, high = f"{min(self.values):.{digits}f}", f"{max(self.values):.{digits}f}"
        spread = f" ({low}-{high})" if low != high else ""
        return f"{self.median:.{digits}f} {unit}{spread}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a table, as text.

    Attributes:
        what: what was measured.
        seen: the values behind the result.
        result: the value that the goal is about.
        goal: the goal.
        met: whether the goal is met; None where there is none.
    """

    what: str
    seen: str
    result: str
    goal: str = ""
    met: bool | None = None


def table(figures: Sequence[Figure]) -> str:
    """Format figures as a Markdown table."""
    lines = ["| what | measured | result | goal |", "|---|---|---|---|"]
    for figure in figures:
        missed = " (missed)" if figure.met is False else ""
        lines.append(f"| {figure.what} | {figure.seen} | **{figure.result}** | {figure.goal}{missed} |")
    return "\n".join(lines)


def machine() -> str:
    """Describe the machine that the figures come from."""
    memory = psutil.virtual_memory().total / 1024**3
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, load {load:.1f} at the start"


def write_between(path: Path, name: str, text: str | None = None) -> None:
    """Put a text between a file's marker comments `<!-- NAME:begin -->` and `<!-- NAME:end -->`.

    Args:
        path: the file.
        name: of the marker comments.
        text: the text; None only checks that the markers are there, before minutes are spent on measuring.

    Raises:
        ValueError: the file lacks the markers, or they are in the wrong order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = path.read_text("utf-8")
    before, found, rest = old.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no {begin} … {end}")
    if text is not None:
        path.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


def publish(figures: Sequence[Figure], text: str, measured_on: str, out: Path, page: Path | None, name: str) -> None:
    """Print figures, save them as JSON, and write them into a page.

    Args:
        figures: what was measured.
        text: the Markdown table, with a line about the conditions.
        measured_on: the machine and the data.
        out: the JSON file.
        page: the Markdown page to write `text` into; None writes none.
        name: of the page's markers, as for `write_between`.
    """
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": measured_on, "figures": [asdict(figure) for figure in figures]}, indent=2))
    if page is not None:
        write_between(page, name, text)
