"""Where the recordings are that some tests use: `GENREGENIE_TEST_DATA`, or `shared/data` beside the repository.

Nothing here is read when tests are collected. Tests get at the recordings through the fixtures of `tests/conftest.py`,
most of which make sounds of their own where there are none.
"""

import os
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

ROOT: Final = Path(__file__).parents[2]
DATA: Final = Path(os.environ.get("GENREGENIE_TEST_DATA") or ROOT.parent / "shared" / "data")

Item = TypeVar("Item")


@cache
def gtzan_tracks() -> tuple[Path, ...]:
    """Give eighty tracks of thirty seconds, eight a genre; none where the data are not at hand."""
    return tuple(sorted(DATA.glob("gtzan/audio/*/*.flac")))


@cache
def speech_recordings() -> tuple[Path, ...]:
    """Give recordings of people who speak; none where the data are not at hand."""
    return tuple(sorted(DATA.glob("not_music/speech/*.ogg")))


@cache
def rain_recordings() -> tuple[Path, ...]:
    """Give recordings of rain and waves; none where the data are not at hand."""
    return tuple(sorted(path for kind in ("rain", "sea_waves") for path in DATA.glob(f"not_music/sounds/{kind}/*.ogg")))


def tenth(items: Sequence[Item], seed: int = 0) -> list[Item]:
    """A seeded tenth of a corpus, one item at least where there is one, in the corpus's order."""
    chosen = random.Random(seed).sample(range(len(items)), -(-len(items) // 10))
    return [items[index] for index in sorted(chosen)]


def a_tenth_by_default(cases: Sequence[Any], seed: int = 0) -> list[Any]:
    """Parameters of a test, of which a seeded tenth runs by default and the others with the slow tests."""
    chosen = tenth(range(len(cases)), seed)
    return [case if index in chosen else pytest.param(case, marks=pytest.mark.slow) for index, case in enumerate(cases)]
