"""Answers without a song."""

from core.constants import GENRES
from core.service.identify import IdentifyResult
from core.verdict import Segment, Verdict
from tests.support.verdicts import make_verdict


def voter(start: float, genre: str, probability: float = 0.73) -> Segment:
    rest = (1 - probability) / 9
    return Segment(start, start + 3, tuple(probability if name == genre else rest for name in GENRES))


def verdict(*genres: str) -> Verdict:
    segments = tuple(voter(62.0 + 3 * i, genre) for i, genre in enumerate(genres or ("rock",) * 7 + ("metal",) * 3))
    return make_verdict(*segments)


PNG = b"\x89PNG"


def identified(answer: Verdict | None = None, *, picture: bytes | None = None) -> IdentifyResult:
    return IdentifyResult(answer or verdict(), "a" * 64, picture)
