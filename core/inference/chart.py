"""Prediction → picture: the votes on a time line, over the mel spectrogram that they were cast on."""

import io
from functools import cache
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

WIDTH: Final = 1000
HEIGHT: Final = 520
_LEFT, _RIGHT = 64, 20
_VOTES_TOP, _VOTES_BOTTOM = 76, 196
_MEL_TOP, _MEL_BOTTOM = 204, 472
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

_MOST_LABELLED: Final = 12
"""With more segments than this there is no room for words in their bars."""


def draw(prediction: Prediction, recording: LogMel, locale: str = "en") -> bytes:
    """Draw the votes over the spectrogram of the part that was classified.

    Args:
        prediction: the votes.
        recording: the whole song.
        locale: language of the labels.

    Returns:
        A PNG of `WIDTH` × `HEIGHT` pixels.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
    pen = ImageDraw.Draw(image)
    _draw_heading(pen, prediction, locale)
    _draw_votes(pen, prediction, locale)
    mel = _drawn(recording, prediction.section, prediction.why)
    image.paste(mel.resize((_PLOT_WIDTH, _MEL_BOTTOM - _MEL_TOP), Image.Resampling.BILINEAR), (_LEFT, _MEL_TOP))
    _draw_axes(pen, prediction)
    return _png(image)


def spectrogram(recording: LogMel, section: Section) -> bytes:
    """Draw the spectrogram of a section alone, without axes.

    Returns:
        A PNG, one pixel for each frame and band (of a long section, the loudest of some frames each).
    """
    # A spectrogram that was kept has at most 256 levels: a palette loses nothing, and spares half of the bytes.
    return _png(_drawn(recording, section).quantize(256))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _share(share: float, locale: str) -> str:
    """Write a share with common spaces: the font has none that do not break."""
    return " ".join(percent(share, locale).split())


def _draw_heading(pen: ImageDraw.ImageDraw, prediction: Prediction, locale: str) -> None:
    genre = translate(f"genre.{prediction.genre}", locale)
    pen.text((_LEFT, 40), genre, _TEXT, _font(40), anchor="lm")
    width = pen.textlength(genre, _font(40))
    pen.text((_LEFT + width + 18, 46), _share(prediction.confidence, locale), _FAINT, _font(24), anchor="lm")
    counts = [(name, f"{translate(f'genre.{name}', locale)} {count}") for name, count in prediction.votes.items()]
    room = WIDTH - _RIGHT - (_LEFT + width + 100)
    size = next(s for s in range(20, 9, -1) if s == 10 or _row_length(pen, counts, s) <= room)
    x = WIDTH - _RIGHT - _row_length(pen, counts, size)
    for name, words in counts:
        pen.text((x, 46), words, GENRE_COLOURS[name], _font(size), anchor="lm")
        x += pen.textlength(words, _font(size)) + size


def _row_length(pen: ImageDraw.ImageDraw, counts: list[tuple[str, str]], size: int) -> float:
    return sum(pen.textlength(words, _font(size)) for _, words in counts) + size * (len(counts) - 1)


def _x(prediction: Prediction, seconds: float) -> float:
    section = prediction.section
    return _LEFT + (seconds - section.start) / max(section.end - section.start, 1e-6) * _PLOT_WIDTH


def _draw_votes(pen: ImageDraw.ImageDraw, prediction: Prediction, locale: str) -> None:
    """Draw one column a segment, filled as high as its genre is probable."""
    labelled = len(prediction.segments) <= _MOST_LABELLED
    height = _VOTES_BOTTOM - _VOTES_TOP
    for segment in prediction.segments:
        left, right = _x(prediction, segment.start), min(_x(prediction, segment.end), WIDTH - _RIGHT)
        gap = 2 if labelled else 0
        box = (left + gap, _VOTES_TOP, max(right - gap, left + 1), _VOTES_BOTTOM)
        pen.rectangle(box, _EMPTY)
        level = _VOTES_BOTTOM - segment.probability * height
        pen.rectangle((box[0], level, box[2], box[3]), GENRE_COLOURS[segment.genre])
        if labelled:
            middle, name = (left + right) / 2, translate(f"genre.{segment.genre}", locale)
            share = _share(segment.probability, locale)
            for y, words, size in ((_VOTES_TOP + 18, name, 18), (_VOTES_TOP + 42, share, 17)):
                while size > 9 and pen.textlength(words, _font(size)) > right - left - 6:
                    size -= 1
                pen.text((middle, y), words, _TEXT, _font(size), anchor="mm", stroke_width=2, stroke_fill=_BACKGROUND)


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


def _drawn(recording: LogMel, section: Section, why: Explanation | None = None) -> Image.Image:
    db = _reduced(recording, seconds_to_frame(section.start), seconds_to_frame(section.end))
    image = _coloured(db)
    if why is None:
        return image
    light = _spotlight(why, section, db.shape[1])[::-1]
    return Image.fromarray((np.asarray(image) * light[:, :, np.newaxis]).astype(np.uint8))


def _spotlight(why: Explanation, section: Section, columns: int) -> FloatArray:
    """How bright each bin is drawn so that what spoke for the genre stands out: float32 `(N_MELS, columns)`, 0 to 1."""
    falls = np.maximum(np.array(why.importance, np.float32), 0)
    strength = np.minimum(falls / max(float(np.quantile(falls, 0.95)), 1e-6), 1)
    light = np.full((N_MELS, columns), _DIMMED, np.float32)
    per_second = columns / max(section.end - section.start, 1e-6)
    cells = strength.shape[1] // len(why.segments)
    rows = np.linspace(0, N_MELS, strength.shape[0] + 1).round().astype(int)
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
    level = np.clip(1 - db[::-1] / DB_FLOOR, 0, 1)
    stops = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(level, stops, [colour[i] for colour in _RAMP]) for i in range(3)]
    pixels: NDArray[np.uint8] = np.stack(channels, axis=-1).astype(np.uint8)
    return Image.fromarray(pixels)


def _draw_axes(pen: ImageDraw.ImageDraw, prediction: Prediction) -> None:
    for hertz in _LABELLED_HZ:
        y = _MEL_BOTTOM - hertz_to_mel(hertz) / hertz_to_mel(FMAX) * (_MEL_BOTTOM - _MEL_TOP)
        pen.line((_LEFT - 6, y, _LEFT - 1, y), _FAINT)
        words = f"{hertz / 1000:g} k" if hertz >= 1000 else f"{hertz}"
        pen.text((_LEFT - 10, y), words, _FAINT, _font(15), anchor="rm")
    pen.text((_LEFT - 10, _MEL_TOP + 8), "Hz", _FAINT, _font(15), anchor="rm")
    section = prediction.section
    length = section.end - section.start
    step = next(s for s in (3, 6, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200) if length / s <= 12)
    ticks = int(length / step + 0.02) + 1
    for tick in range(ticks):
        seconds = section.start + tick * step
        x = min(_x(prediction, seconds), WIDTH - _RIGHT - 1)
        pen.line((x, _MEL_BOTTOM, x, _MEL_BOTTOM + 6), _FAINT)
        pen.text((x, _MEL_BOTTOM + 20), clock(seconds), _FAINT, _font(16), anchor="mm")
