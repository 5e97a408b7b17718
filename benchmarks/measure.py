"""Seconds and memory of processes, and figures side by side."""

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

MB: Final = 1_000_000
SAMPLE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """One process from start to end: wall seconds, and the peak of the largest process among it and its children."""

    seconds: float
    largest_mb: float


def timed(command: Sequence[str]) -> Run:
    """Run a command to its end without watching it, which would cost it time. Unix only.

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
    # The kernel counts in KiB, and over all children that were waited for it tells the largest.
    return Run(seconds, usage.ru_maxrss * 1024 / MB)


def tree_peak_mb(command: Sequence[str]) -> float:
    """Run a command and give the peak of its processes' resident memory, summed: shared pages count for each."""
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
    """Proportional set size of a process, where a page that n processes share counts as an n-th; Linux only."""
    return _rollup_mb(process, "Pss")


def anonymous_mb(process: psutil.Process) -> float:
    """Memory that a process has filled itself; what else the machine runs does not change it. Linux only."""
    return _rollup_mb(process, "Pss_Anon")


def _rollup_mb(process: psutil.Process, name: str) -> float:
    """Read one line of the kernel's summary of a process's memory; 0 when the process has ended."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    match = re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(match[1]) * 1024 / MB if match else 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Several runs of the same: their median, and the least and the most."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def text(self, unit: str, digits: int = 2) -> str:
        """Write it as `1.20 s (1.10-1.40)`."""
        low, high = f"{min(self.values):.{digits}f}", f"{max(self.values):.{digits}f}"
        spread = f" ({low}-{high})" if low != high else ""
        return f"{self.median:.{digits}f} {unit}{spread}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a table, in words.

    Attributes:
        what: what was measured.
        seen: the values behind the result.
        result: what the goal is about.
        goal: what is wanted.
        met: whether it is reached; None where there is no goal.
    """

    what: str
    seen: str
    result: str
    goal: str = ""
    met: bool | None = None


def table(figures: Sequence[Figure]) -> str:
    """Write figures as a Markdown table."""
    lines = ["| what | seen | result | wanted |", "|---|---|---|---|"]
    for figure in figures:
        missed = " (missed)" if figure.met is False else ""
        lines.append(f"| {figure.what} | {figure.seen} | **{figure.result}** | {figure.goal}{missed} |")
    return "\n".join(lines)


def machine() -> str:
    """Say what was measured on."""
    memory = psutil.virtual_memory().total / 1024**3
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, load {load:.1f} at the start"


def write_between(path: Path, name: str, text: str | None = None) -> None:
    """Put a text between a file's marker comments `<!-- NAME:begin -->` and `<!-- NAME:end -->`.

    Args:
        path: the file.
        name: of the markers.
        text: None writes nothing and only looks whether they are there, before minutes are spent on the text.

    Raises:
        ValueError: the file does not have both, in that order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = path.read_text("utf-8")
    before, found, rest = old.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no {begin} … {end}")
    if text is not None:
        path.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


def publish(figures: Sequence[Figure], text: str, measured_on: str, out: Path, readme: Path | None, name: str) -> None:
    """Print what was measured, keep it as JSON, and put it into the README.

    Args:
        figures: what is kept.
        text: what is printed: a Markdown table and what is said below it.
        measured_on: the machine, and with what.
        out: the JSON file.
        readme: None leaves it alone.
        name: of the README's markers, as for `write_between`.
    """
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": measured_on, "figures": [asdict(figure) for figure in figures]}, indent=2))
    if readme is not None:
        write_between(readme, name, text)
