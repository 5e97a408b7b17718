"""Where the recordings are that some tests need: `GENREGENIE_TEST_DATA`, or `shared/data` beside the repository."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import pytest

ROOT: Final = Path(__file__).parents[2]
DATA: Final = Path(os.environ.get("GENREGENIE_TEST_DATA") or ROOT.parent / "shared" / "data")

GTZAN_TRACKS: Final = tuple(sorted(DATA.glob("gtzan/audio/*/*.flac")))
"""Eighty tracks of thirty seconds, eight a genre; none where the data are not at hand."""

SPEECH: Final = tuple(sorted(DATA.glob("not_music/speech/*.ogg")))
SOUNDS: Final = tuple(sorted(DATA.glob("not_music/sounds/*/*.ogg")))

needs_gtzan = pytest.mark.skipif(not GTZAN_TRACKS, reason=f"needs GTZAN's audio under {DATA / 'gtzan'}")
needs_not_music = pytest.mark.skipif(not SPEECH, reason=f"needs recordings under {DATA / 'not_music'}")

Item = TypeVar("Item")


def tenth(items: Sequence[Item], seed: int = 0) -> list[Item]:
    """A seeded tenth of a corpus, one item at least where there is one, in the corpus's order."""
    chosen = random.Random(seed).sample(range(len(items)), -(-len(items) // 10))
    return [items[index] for index in sorted(chosen)]
