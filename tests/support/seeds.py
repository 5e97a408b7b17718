"""The seed of hostile corpora: the same by default, another with each night and release (`.ci/run hostile`)."""

import os
import random
from typing import Final

SEED_VARIABLE: Final = "GENREGENIE_TEST_SEED"


def corpus_seed() -> int:
    """Seed that this run was given; 0 by default."""
    return int(os.environ.get(SEED_VARIABLE) or 0)


def corpus_random(name: int | str) -> random.Random:
    """Random numbers for one input of a corpus: what a failed test names, with the run's seed, gives the same again."""
    seed = corpus_seed()
    return random.Random(f"{seed}/{name}" if seed else name)
