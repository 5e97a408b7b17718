"""Pictures of bars, read back from their pixels."""

import io
from collections import Counter

import pytest
from PIL import Image

from core.constants import GENRE_COLOURS, GENRES
from core.i18n.languages import locales
from core.inference.bars import draw_comparison, draw_counts
from core.inference.chart import WIDTH
from core.verdict import Segment
from tests.support.verdicts import make_prediction

MAX_BYTES = 120_000


def colours(png: bytes, left: float = 0.0, right: float = 1.0) -> Counter[tuple[int, ...]]:
    """Pixels of each colour between two shares of the width."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    assert image.width == WIDTH
    part = image.crop((round(left * WIDTH), 0, round(right * WIDTH), image.height))
    return Counter(dict((colour, n) for n, colour in part.getcolors(1 << 24) or []))  # type: ignore[misc]


@pytest.mark.parametrize("locale", locales())
def test_bars_are_as_long_as_the_counts(locale: str) -> None:
    png = draw_counts(
        "A title that is far too long for a picture that is made for a phone", {"rock": 40, "jazz": 10}, locale
    )
    assert len(png) < MAX_BYTES
    seen = colours(png)
    assert seen[GENRE_COLOURS["rock"]] == pytest.approx(4 * seen[GENRE_COLOURS["jazz"]], rel=0.05)
    assert not seen[GENRE_COLOURS["pop"]]


def test_all_genres_and_none_have_room() -> None:
    seen = colours(draw_counts("All", {genre: 10**6 for genre in GENRES}, "de"))
    assert all(seen[colour] for colour in GENRE_COLOURS.values())
    assert colours(draw_counts("None", {}))


def song(**shares: float) -> tuple[float, ...]:
    rest = (1 - sum(shares.values())) / (len(GENRES) - len(shares))
    return tuple(shares.get(genre, rest) for genre in GENRES)


@pytest.mark.parametrize("locale", locales())
def test_two_songs_stand_back_to_back(locale: str) -> None:
    first = make_prediction(Segment(0, 3, song(rock=0.8, jazz=0.2)))
    second = make_prediction(Segment(0, 3, song(rock=0.4, jazz=0.6)))
    png = draw_comparison(first, second, locale)
    assert len(png) < MAX_BYTES
    left, right = colours(png, 0, 0.5), colours(png, 0.5, 1)
    rock, jazz = GENRE_COLOURS["rock"], GENRE_COLOURS["jazz"]
    assert left[rock] == pytest.approx(2 * right[rock], rel=0.1)
    assert right[jazz] == pytest.approx(3 * left[jazz], rel=0.1)
    assert not left[GENRE_COLOURS["pop"]]
