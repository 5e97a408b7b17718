"""Budgets of processor time."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.audio import decode
from core.errors import GenreGenieError
from core.sandbox.cpu import CpuBudget
from tests.core.fetch.media import tones
from tests.hostile.bombs import flac_with_tags

LIMITS = decode.DecodeLimits(max_bytes=50 * 1024**2, max_seconds=1_800, timeout_s=120)


@pytest.fixture
def spinning() -> Iterator[psutil.Process]:
    """A child that takes all the processor time that it gets."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def test_a_child_that_takes_more_than_its_budget_is_reported(spinning: psutil.Process) -> None:
    exceeded = threading.Event()
    with CpuBudget(spinning.pid, 0.3, exceeded.set):
        assert exceeded.wait(60)
        assert spinning.cpu_times().user > 0.2


def test_what_is_granted_meanwhile_counts(spinning: psutil.Process) -> None:
    exceeded = threading.Event()
    with CpuBudget(spinning.pid, 0.1, exceeded.set) as budget:
        budget.grant(3_600)
        while spinning.cpu_times().user < 0.6:
            assert not exceeded.wait(0.05)


def test_tags_that_ffmpeg_would_compare_for_minutes_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = tones(tmp_path, "song.flac", 6).read_bytes()
    tagged = tmp_path / "tagged.flac"
    monkeypatch.setattr(decode, "CPU_SECONDS", 0.7)
    tagged.write_bytes(flac_with_tags(song, 500))
    assert sum(len(block) for block in decode.FfmpegDecoder(tagged, LIMITS)) > 5 * 22_050
    tagged.write_bytes(flac_with_tags(song, 100_000))
    with pytest.raises(GenreGenieError, match="timeout"):
        list(decode.FfmpegDecoder(tagged, LIMITS))
