import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from benchmarks.burst import bucket_percentile, percentile
from benchmarks.measure import Figure, Spread, table, timed, tree_peak_mb, write_between
from bot.monitoring import Metrics
from tests.bot.end_to_end.process import SAMPLE
from tests.support.data import ROOT

HOLDS_60_MB = (sys.executable, "-c", "import time; held = bytearray(60_000_000); time.sleep(0.5)")
ITS_CHILD_HOLDS_60_MB = (sys.executable, "-c", f"import subprocess; subprocess.run({list(HOLDS_60_MB)!r})")


@pytest.mark.parametrize("command", [HOLDS_60_MB, ITS_CHILD_HOLDS_60_MB])
def test_a_run_has_its_seconds_and_the_peak_of_its_largest_process(command: tuple[str, ...]) -> None:
    # A process of its own: until a child becomes its program, the kernel counts its parent's memory as the child's.
    code = f"from benchmarks.measure import timed; run = timed({command!r}); print(run.seconds, run.largest_mb)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    seconds, largest_mb = map(float, output.split())
    assert seconds >= 0.5
    assert 60 < largest_mb < 120


def test_the_peak_of_all_processes_counts_children_too() -> None:
    alone, with_parent = tree_peak_mb(HOLDS_60_MB), tree_peak_mb(ITS_CHILD_HOLDS_60_MB)
    assert with_parent > alone > 60


def test_a_run_that_fails_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        timed((sys.executable, "-c", "raise SystemExit(3)"))


def test_a_spread_is_told_by_its_middle_and_its_ends() -> None:
    assert Spread((3.0, 1.0, 2.0)).median == 2.0
    assert Spread((3.0, 1.0, 2.0)).text("s", 1) == "2.0 s (1.0-3.0)"
    assert Spread((2.0,)).text("MB", 0) == "2 MB"


def test_the_table_says_which_goals_are_missed() -> None:
    met, missed, without = table(
        [Figure("a", "1", "2×", "≥ 2×", True), Figure("b", "1", "1×", "≥ 2×", False), Figure("c", "1", "1 s")]
    ).splitlines()[2:]
    assert "(missed)" not in met + without
    assert "≥ 2× (missed)" in missed


def test_the_text_goes_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "figures.md"
    page.write_text("before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n")
    for text in ("new", "newer"):
        write_between(page, "x", text)
        assert page.read_text() == f"before\n<!-- x:begin -->\n{text}\n<!-- x:end -->\nafter\n"
    with pytest.raises(ValueError, match="y:begin"):
        write_between(page, "y", "new")


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert percentile(values, 0.99) == 198
    assert percentile([5.0], 0.99) == 5


def test_a_percentile_of_the_bots_histogram_lies_between_two_of_its_buckets() -> None:
    metrics = Metrics()
    for _ in range(98):
        metrics.lag.observe(0.002)
    metrics.lag.observe(0.07)
    metrics.lag.observe(0.07)
    shown = dict(SAMPLE.findall(generate_latest(metrics.registry).decode()))
    buckets = {
        float(name.split('"')[1].replace("+Inf", "inf")): float(value)
        for name, value in shown.items()
        if "lag_seconds_bucket" in name
    }
    assert 0.05 < bucket_percentile(buckets, 0.99) < 0.1
    assert 0.001 < bucket_percentile(buckets, 0.5) < 0.005


@pytest.mark.parametrize("name", ["attack", "models", "one_gigabyte", "speed", "burst", "soak", "page_soak"])
def test_each_command_says_what_it_does(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--write" in done.stdout
