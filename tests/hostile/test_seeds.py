import pytest

from tests.hostile.bombs import mutate
from tests.support.seeds import SEED_VARIABLE, corpus_random

DATA = bytes(range(256)) * 64


def mutations() -> list[bytes]:
    return [mutate(DATA, corpus_random(number)) for number in range(20)]


def test_a_seed_gives_the_same_corpus_again_and_another_seed_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SEED_VARIABLE, "20261126")
    tonight = mutations()
    assert mutations() == tonight
    monkeypatch.setenv(SEED_VARIABLE, "20261127")
    assert not set(mutations()) & set(tonight)
    monkeypatch.delenv(SEED_VARIABLE)
    assert mutations() == mutations()
