"""Prediction → picture: the votes on a time line, over the mel spectrogram that they were cast on.

It is made for a phone 360 pixels wide, where a message leaves it 280: half of its own width. So no text is smaller
than 22 pixels, and the names of the genres, for which the columns have no room, are in a legend.
"""

import io
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.audio.spectrogram import FloatArray, LogMel, hertz_to_mel
from core.constants import (
    DB_FLOOR,
    FMAX,
    GENRE_COLOURS,
    N_MELS,
    SECTION_FRAMES,
    SEGMENT_SECONDS,
    seconds_to_frame,
)
from core.i18n.catalog import translate
from core.i18n.formatting import clock, percent
from core.verdict import Explanation, Prediction, Section

FONT_FILE: Final = Path(str(files("font_source_sans_pro"))) / "files" / "SourceSansPro-Regular.ttf"
"""Has the letters that English lacks, which the typeface within Pillow has not."""

WIDTH: Final = 560
_LEFT, _RIGHT = 84, 16
_LEGEND_TOP, _LEGEND_ROW = 78, 36
_VOTES_HEIGHT, _MEL_OFFSET, _MEL_HEIGHT, _AXIS_HEIGHT = 96, 104, 200, 44
"""Heights, and where the spectrogram begins below the top of the votes, pixels."""

_LARGE, _MIDDLE, _SMALL = 44, 26, 22
"""Sizes of text, pixels."""

_PLOT_WIDTH = WIDTH - _LEFT - _RIGHT

_BACKGROUND: Final = (24, 25, 33)
_TEXT: Final = (235, 236, 240)
_FAINT: Final = (160, 164, 178)
_EMPTY: Final = (44, 46, 58)

# Dark to bright, as people know it from spectrograms: black, purple, red, orange, pale yellow.
_RAMP: Final = ((0, 0, 6), (60, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))

_LABELLED_HZ: Final = (500, 1_000, 2_000, 4_000, 8_000)
_DIMMED: Final = 0.3
"""Brightness of what said nothing for the genre, where the picture shows why."""

_MOST_APART: Final = 12
"""With more segments than this there is no room for gaps between their columns."""

_MOST_TICKS: Final = 5
_MOST_LONG_TICKS: Final = 4
"""Of times with hours, which are wider."""

_LEVELS: Final = 48
"""Shades of a spectrogram: as many as an eye tells apart, and few enough for a picture of some ten kilobytes."""


def draw(prediction: Prediction, recording: LogMel, locale: str = "en") -> bytes:
    """Draw the votes over the spectrogram of the part that was classified.

    Args:
        prediction: the votes.
        recording: the whole song.
        locale: language of the labels.

    Returns:
        A PNG, `WIDTH` pixels wide, and as high as its legend needs.
    """
    rows = _legend(prediction, locale)
    top = _LEGEND_TOP + _LEGEND_ROW * len(rows) + 8
    image = Image.new("RGB", (WIDTH, top + _MEL_OFFSET + _MEL_HEIGHT + _AXIS_HEIGHT), _BACKGROUND)
    pen = ImageDraw.Draw(image)
    _draw_heading(pen, prediction, locale)
    _draw_legend(pen, rows)
    _draw_votes(pen, prediction, top)
    mel = _drawn(recording, prediction.section, prediction.why, size=(_PLOT_WIDTH, _MEL_HEIGHT))
    image.paste(mel, (_LEFT, top + _MEL_OFFSET))
    _draw_axes(pen, prediction, top + _MEL_OFFSET)
    return _png(image.quantize(256, dither=Image.Dither.NONE))


def spectrogram(recording: LogMel, section: Section) -> bytes:
    """Draw the spectrogram of a section alone, without axes.

    Returns:
        A PNG, one pixel for each frame and band (of a long section, the loudest of some frames each).
    """
    # A spectrogram that was kept has at most 256 levels: a palette loses nothing, and spares half of the bytes.
    return _png(_drawn(recording, section).quantize(256))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT_FILE, size)


def _share(share: float, locale: str) -> str:
    """Write a share with common spaces: the font has none that do not break."""
    return " ".join(percent(share, locale).split())


def _draw_heading(pen: ImageDraw.ImageDraw, prediction: Prediction, locale: str) -> None:
    genre = translate(f"genre.{prediction.genre}", locale)
    pen.text((_RIGHT, 40), genre, _TEXT, _font(_LARGE), anchor="lm")
    width = pen.textlength(genre, _font(_LARGE))
    pen.text((_RIGHT + width + 16, 46), _share(prediction.confidence, locale), _FAINT, _font(_MIDDLE), anchor="lm")


def _legend(prediction: Prediction, locale: str) -> list[list[tuple[str, str]]]:
    """Give the genres voted for, each with its name and votes, in rows that fit the picture."""
    rows: list[list[tuple[str, str]]] = [[]]
    room = float(WIDTH - _RIGHT)
    x = float(_RIGHT)
    for genre, count in prediction.votes.items():
        words = f"{translate(f'genre.{genre}', locale)} {count}"
        width = _legend_width(words)
        if rows[-1] and x + width > room:
            rows.append([])
            x = _RIGHT
        rows[-1].append((genre, words))
        x += width
    return rows


def _legend_width(words: str) -> float:
    return _MIDDLE + 6 + _font(_MIDDLE).getlength(words) + 18


def _draw_legend(pen: ImageDraw.ImageDraw, rows: list[list[tuple[str, str]]]) -> None:
    for number, row in enumerate(rows):
        x, middle = float(_RIGHT), _LEGEND_TOP + _LEGEND_ROW * (number + 0.5)
        for genre, words in row:
            pen.rectangle((x, middle - 11, x + 22, middle + 11), GENRE_COLOURS[genre])
            pen.text((x + _MIDDLE + 6, middle), words, _TEXT, _font(_MIDDLE), anchor="lm")
            x += _legend_width(words)


def _x(prediction: Prediction, seconds: float) -> float:
    section = prediction.section
    return _LEFT + (seconds - section.start) / max(section.end - section.start, 1e-6) * _PLOT_WIDTH


def _draw_votes(pen: ImageDraw.ImageDraw, prediction: Prediction, top: int) -> None:
    """Draw one column a segment, filled as high as its genre is probable."""
    gap = 2 if len(prediction.segments) <= _MOST_APART else 0
    bottom = top + _VOTES_HEIGHT
    for segment in prediction.segments:
        left, right = _x(prediction, segment.start), min(_x(prediction, segment.end), WIDTH - _RIGHT)
        box = (left + gap, top, max(right - gap, left + 1), bottom)
        pen.rectangle(box, _EMPTY)
        level = bottom - segment.probability * _VOTES_HEIGHT
        pen.rectangle((box[0], level, box[2], box[3]), GENRE_COLOURS[segment.genre])


def _reduced(recording: LogMel, first: int, last: int) -> FloatArray:
    """Spectrogram of some frames as the models see it, at most two columns a pixel: float32 `(N_MELS, n)` dB."""
    pieces = []
    for start in range(first, max(last, first + 1), SECTION_FRAMES):
        pieces.append(recording.section_db(start)[:, : last - start])
    db = np.concatenate(pieces, axis=1)
    step = max(1, db.shape[1] // (2 * _PLOT_WIDTH))
    kept = db.shape[1] // step * step
    reduced: FloatArray = db[:, :kept].reshape(N_MELS, -1, step).max(axis=2)
    return reduced


def _drawn(
    recording: LogMel, section: Section, why: Explanation | None = None, *, size: tuple[int, int] | None = None
) -> Image.Image:
    """Draw a spectrogram: one pixel a frame and band, or as many as `size` says, width first."""
    db = _reduced(recording, seconds_to_frame(section.start), seconds_to_frame(section.end))
    if size is not None:
        # Before it is coloured: the picture has no more colours then than shades.
        db = np.asarray(Image.fromarray(db).resize(size, Image.Resampling.BILINEAR))
    image = _coloured(db)
    if why is None:
        return image
    light = _spotlight(why, section, db.shape)[::-1]
    return Image.fromarray((np.asarray(image) * light[:, :, np.newaxis]).astype(np.uint8))


def _spotlight(why: Explanation, section: Section, shape: tuple[int, ...]) -> FloatArray:
    """How bright each pixel is drawn so that what spoke for the genre stands out: float32 of that shape, 0 to 1."""
    height, columns = shape
    falls = np.maximum(np.array(why.importance, np.float32), 0)
    strength = np.minimum(falls / max(float(np.quantile(falls, 0.95)), 1e-6), 1)
    light = np.full((height, columns), _DIMMED, np.float32)
    per_second = columns / max(section.end - section.start, 1e-6)
    cells = strength.shape[1] // len(why.segments)
    rows = np.linspace(0, height, strength.shape[0] + 1).round().astype(int)
    for number, start in enumerate(why.segments):
        for cell in range(cells):
            left = start - section.start + cell * SEGMENT_SECONDS / cells
            span = slice(round(left * per_second), round((left + SEGMENT_SECONDS / cells) * per_second))
            for row in range(strength.shape[0]):
                value = strength[row, number * cells + cell]
                light[rows[row] : rows[row + 1], span] = _DIMMED + (1 - _DIMMED) * value
    return light


def _coloured(db: FloatArray) -> Image.Image:
    """Colour a spectrogram, the lowest band at the bottom."""
    level = np.round(np.clip(1 - db[::-1] / DB_FLOOR, 0, 1) * (_LEVELS - 1)) / (_LEVELS - 1)
    stops = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(level, stops, [colour[i] for colour in _RAMP]) for i in range(3)]
    pixels: NDArray[np.uint8] = np.stack(channels, axis=-1).astype(np.uint8)
    return Image.fromarray(pixels)


def _draw_axes(pen: ImageDraw.ImageDraw, prediction: Prediction, top: int) -> None:
    """Draw the frequencies and times of a spectrogram that begins at `top`."""
    bottom = top + _MEL_HEIGHT
    for hertz in _LABELLED_HZ:
        y = bottom - hertz_to_mel(hertz) / hertz_to_mel(FMAX) * _MEL_HEIGHT
        pen.line((_LEFT - 6, y, _LEFT - 1, y), _FAINT)
        unit = " kHz" if hertz == _LABELLED_HZ[-1] else " k"
        words = f"{hertz / 1000:g}{unit}" if hertz >= 1000 else f"{hertz}"
        pen.text((_LEFT - 10, y), words, _FAINT, _font(_SMALL), anchor="rm")
    section = prediction.section
    length = section.end - section.start
    most = _MOST_TICKS if section.end < 3_600 else _MOST_LONG_TICKS
    step = next(s for s in (3, 6, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400) if length / s <= most)
    for tick in range(int(length / step + 0.02) + 1):
        seconds = section.start + tick * step
        x = min(_x(prediction, seconds), WIDTH - _RIGHT - 1)
        pen.line((x, bottom, x, bottom + 6), _FAINT)
        words = clock(seconds)
        # The last one would stand out of the picture.
        middle = min(x, WIDTH - 4 - _font(_SMALL).getlength(words) / 2)
        pen.text((middle, bottom + 24), words, _FAINT, _font(_SMALL), anchor="mm")
