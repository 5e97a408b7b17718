"""Genres → pictures of bars: what was asked most, and two songs side by side. Made for a phone, as `chart` is."""

import io
from collections.abc import Mapping
from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from core.constants import GENRE_COLOURS, GENRES
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.inference.chart import FONT_FILE, WIDTH
from core.verdict import Prediction

_EDGE: Final = 16
_HEADING: Final = 84
_ROW, _BAR = 46, 30
_LARGE, _MIDDLE = 36, 26
"""Sizes of text, pixels: half as large on a phone."""

_BACKGROUND: Final = (24, 25, 33)
_TEXT: Final = (235, 236, 240)
_FAINT: Final = (160, 164, 178)
_EMPTY: Final = (44, 46, 58)

_LEAST_SHOWN: Final = 0.02
"""Probability below which, in both songs, a genre is left out of a comparison."""


def draw_counts(title: str, counts: Mapping[str, int], locale: str = "en") -> bytes:
    """Draw how often each genre came up: a bar a genre, the most frequent first.

    Args:
        title: what was counted.
        counts: genre → number; those without any are left out.
        locale: language of the labels.

    Returns:
        A PNG, `WIDTH` pixels wide.
    """
    ranked = sorted(((n, genre) for genre, n in counts.items() if n > 0 and genre in GENRES), reverse=True)
    total = sum(n for n, _ in ranked) or 1
    image, pen = _canvas(len(ranked))
    heading, font = _fitted(title)
    pen.text((_EDGE, _HEADING / 2), heading, _TEXT, font, anchor="lm")
    left = _EDGE + _names_width([genre for _, genre in ranked], locale) + 14
    labels = [f"{n}  {_share(n / total, locale)}" for n, _ in ranked]
    right = WIDTH - _EDGE - max((_font(_MIDDLE).getlength(label) for label in labels), default=0.0) - 14
    for row, ((n, genre), label) in enumerate(zip(ranked, labels, strict=True)):
        middle = _middle(row)
        pen.text((_EDGE, middle), translate(f"genre.{genre}", locale), _TEXT, _font(_MIDDLE), anchor="lm")
        end = left + max(3.0, (right - left) * n / ranked[0][0])
        pen.rectangle((left, middle - _BAR / 2, end, middle + _BAR / 2), GENRE_COLOURS[genre])
        pen.text((end + 14, middle), label, _FAINT, _font(_MIDDLE), anchor="lm")
    return _png(image)


def draw_comparison(first: Prediction, second: Prediction, locale: str = "en") -> bytes:
    """Draw the probabilities of two songs back to back: a row a genre, the first song's bars to the left.

    Returns:
        A PNG, `WIDTH` pixels wide.
    """
    shown = [genre for genre in GENRES if max(first.probability(genre), second.probability(genre)) >= _LEAST_SHOWN]
    shown.sort(key=lambda genre: -(first.probability(genre) + second.probability(genre)))
    image, pen = _canvas(len(shown))
    centre, half = WIDTH / 2, _names_width(shown, locale) / 2 + 14
    room = centre - half - _EDGE - _font(_MIDDLE).getlength("100 %") - 10
    highest = max(max(song.probabilities) for song in (first, second))
    for number, (song, x, anchor) in enumerate(((first, _EDGE, "lm"), (second, WIDTH - _EDGE, "rm")), 1):
        # The name of the nearest of ten genres would mislead where a song is none of them.
        heading = f"{number}" if song.outside else f"{number}: {translate(f'genre.{song.genre}', locale)}"
        pen.text((x, _HEADING / 2), heading, _TEXT, _font(_LARGE), anchor=anchor)
    for row, genre in enumerate(shown):
        middle = _middle(row)
        pen.text((centre, middle), translate(f"genre.{genre}", locale), _TEXT, _font(_MIDDLE), anchor="mm")
        for song, side in ((first, -1), (second, 1)):
            share = song.probability(genre)
            near, far = centre + side * half, centre + side * (half + max(3.0, room * share / highest))
            box = (min(near, far), middle - _BAR / 2, max(near, far), middle + _BAR / 2)
            pen.rectangle(box, GENRE_COLOURS[genre] if share >= _LEAST_SHOWN else _EMPTY)
            anchor = "rm" if side < 0 else "lm"
            pen.text((far + side * 10, middle), _share(share, locale), _FAINT, _font(_MIDDLE), anchor=anchor)
    return _png(image)


def _canvas(rows: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, _HEADING + max(rows, 1) * _ROW + _EDGE), _BACKGROUND)
    return image, ImageDraw.Draw(image)


def _middle(row: int) -> float:
    return _HEADING + (row + 0.5) * _ROW


def _names_width(genres: list[str], locale: str) -> float:
    return max((_font(_MIDDLE).getlength(translate(f"genre.{genre}", locale)) for genre in genres), default=0.0)


def _fitted(title: str) -> tuple[str, ImageFont.FreeTypeFont]:
    """Choose the size in which a title fits the picture's width, and shorten one that does not in the smallest."""
    room = WIDTH - 2 * _EDGE
    for size in range(_LARGE, _MIDDLE, -1):
        if _font(size).getlength(title) <= room:
            return title, _font(size)
    while _font(_MIDDLE).getlength(title) > room:
        title = title[:-2].rstrip() + "…"
    return title, _font(_MIDDLE)


def _share(share: float, locale: str) -> str:
    """Write a share with common spaces: the font has none that do not break."""
    return " ".join(percent(share, locale).split())


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT_FILE, size)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.quantize(64, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()
