import asyncio
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page_soak
from benchmarks.soak import GROWTH, MORE, Outcome, Sample, Watcher, plot, tables
from benchmarks.traffic import Tally, expect

REST = Sample(
    minute=1, who="bot", memory_mb=250, own_mb=200, threads=10, descriptors=30, processes=2, temporary_files=0
)


def outcome(after: Sample = REST, tally: Tally | None = None) -> Outcome:
    return Outcome({"bot": REST}, {"bot": after}, [REST, after], tally or Tally(), [])


def test_what_stays_the_same_is_no_fault() -> None:
    assert outcome().faults() == []
    assert outcome(replace(REST, own_mb=200 * (1 + GROWTH), threads=10 + MORE, descriptors=5)).faults() == []


@pytest.mark.parametrize(
    "change",
    [
        {"own_mb": 240},
        {"threads": 20},
        {"descriptors": 40},
        {"processes": 3},
        {"processes": 1},
        {"temporary_files": 1},
    ],
    ids=str,
)
def test_what_grew_or_was_left_or_has_gone_is_a_fault(change: dict[str, int]) -> None:
    [fault] = outcome(replace(REST, **change)).faults()
    assert fault.startswith("bot: ")


def test_a_wrong_answer_is_a_fault() -> None:
    assert outcome(tally=Tally(wrong=["page: a song: nothing came"])).faults() == ["page: a song: nothing came"]


async def test_right_answers_are_counted_and_wrong_ones_kept_in_words() -> None:
    tally, stop, results = Tally(), asyncio.Event(), iter((True, False, True))

    async def ask() -> None:
        right = next(results, None)
        if right is None:
            stop.set()
            return
        expect(right, "something else was said")

    await tally.keep_asking("questions", ask, stop)
    assert tally.asked == Counter(questions=4)
    assert tally.answered == Counter(questions=3)
    assert tally.wrong == ["questions: something else was said"]


def test_a_sample_counts_what_a_process_holds_and_leaves_behind(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "song.mp3").write_bytes(b"left")
    (tmp_path / "lock").touch()
    watcher = Watcher({"us": os.getpid()}, {"us": (tmp_path, tmp_path / "missing")})
    [before] = watcher.sample()
    assert before.temporary_files == 1
    assert before.memory_mb >= before.own_mb > 10
    files = [(tmp_path / "lock").open() for _ in range(10)]
    [after] = watcher.sample()
    for file in files:
        file.close()
    assert after.descriptors - before.descriptors == len(files)


def test_the_tables_and_the_plot_show_both_rests(tmp_path: Path) -> None:
    text = tables(outcome(replace(REST, own_mb=207), Tally(Counter(a=3), Counter(a=2))))
    assert "| bot, before | 250 MB | 200 MB |" in text
    assert "| bot, after | 250 MB | 207 MB |" in text
    assert "| a | 3 | 2 |" in text
    plot(outcome(), tmp_path / "new" / "soak.png")
    assert (tmp_path / "new" / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_may_hold_three_percent_more_after_an_hour_than_after_ten_minutes() -> None:
    first = replace(REST, who="page", own_mb=100, threads=100, descriptors=100)
    assert page_soak.faults(first, replace(first, own_mb=103, threads=103, descriptors=90), Tally()) == []
    for change in ({"own_mb": 103.1}, {"threads": 104}, {"descriptors": 104}, {"processes": 3}, {"temporary_files": 1}):
        assert len(page_soak.faults(first, replace(first, **change), Tally())) == 1
    assert page_soak.faults(first, first, Tally(wrong=["page: a song: nothing came"])) == ["page: a song: nothing came"]
