from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.audio.spectrogram import LogMel, log_mel
from core.constants import GENRES
from core.i18n.catalog import translate
from core.i18n.languages import locales
from core.inference import chart
from core.inference.pipeline import ClassifyOptions, Models, classify_spectrogram
from core.verdict import Prediction
from tests.support.audio import make_song


@pytest.fixture(scope="module")
def recording() -> LogMel:
    return log_mel([make_song(60)])


@pytest.fixture(scope="module")
def prediction(recording: LogMel) -> Prediction:
    return classify_spectrogram(recording, ClassifyOptions(), models=Models("plain")).prediction


def opened(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


def test_a_verdict_is_drawn(recording: LogMel, prediction: Prediction) -> None:
    image = opened(chart.draw(prediction, recording))
    assert image.width >= 400
    assert image.height >= 200
    # More than a background: the spectrogram is in it.
    colours = image.convert("RGB").getcolors(image.width * image.height)
    assert colours is not None
    assert len(colours) > 50


def test_it_fits_into_a_message(recording: LogMel, prediction: Prediction) -> None:
    assert len(chart.draw(prediction, recording)) < 1024**2


@pytest.mark.parametrize("seconds", [30.0, 400.0])
def test_it_is_light_and_its_text_is_readable_on_a_phone(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = log_mel([make_song(seconds)])
    prediction = classify_spectrogram(recording, ClassifyOptions(whole=True), models=Models("plain")).prediction
    varied = tuple(
        replace(segment, probabilities=tuple(0.91 if i == n % 10 else 0.01 for i in range(10)))
        for n, segment in enumerate(prediction.segments)
    )
    # The longest legend and noise, which compresses worst.
    noise = replace(recording, db=np.random.default_rng(0).uniform(-80, 0, recording.db.shape).astype(np.float32))
    votes = dict.fromkeys(GENRES, len(varied) // 10)
    drawn: list[tuple[float, float]] = []
    plain_text = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], words: str, *args: object, **more: object) -> None:
        font = next(a for a in args if isinstance(a, ImageFont.FreeTypeFont))
        shown = self.textbbox(xy, words, font, anchor=str(more["anchor"]))
        drawn.append((font.size, shown[2]))
        assert shown[0] >= 0
        plain_text(self, xy, words, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    for locale in locales():
        png = chart.draw(replace(prediction, segments=varied, votes=votes), noise, locale)
        assert len(png) < 120_000
        width = opened(png).width
        assert min(size for size, _ in drawn) * 280 / width >= 11
        assert max(right for _, right in drawn) <= width


def test_other_votes_are_another_picture(recording: LogMel, prediction: Prediction) -> None:
    turned = tuple(replace(s, probabilities=tuple(reversed(s.probabilities))) for s in prediction.segments)
    assert chart.draw(prediction, recording) != chart.draw(replace(prediction, segments=turned), recording)


@pytest.mark.parametrize("locale", locales())
def test_every_language_can_be_drawn(recording: LogMel, prediction: Prediction, locale: str) -> None:
    opened(chart.draw(prediction, recording, locale))


@pytest.mark.parametrize("locale", locales())
def test_the_font_has_every_character_that_is_drawn(
    recording: LogMel, prediction: Prediction, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = set("".join(translate(f"genre.{genre}", locale) for genre in GENRES) + "ÄÖÜäöüßçãõéèœñ")

    def text(self: ImageDraw.ImageDraw, xy: object, words: str, *args: object, **kwargs: object) -> None:
        drawn.update(words)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    chart.draw(prediction, recording, locale)
    font = ImageFont.truetype(chart.FONT_FILE, 20)
    missing = bytes(font.getmask("\u0378"))
    assert "%" in drawn
    assert not {character for character in drawn - {" "} if bytes(font.getmask(character)) == missing}


@pytest.mark.parametrize("seconds", [3.0, 29.996, 400.0])
def test_songs_of_any_length_are_drawn_whole(seconds: float) -> None:
    recording = log_mel([make_song(seconds)])
    prediction = classify_spectrogram(recording, ClassifyOptions(whole=True), models=Models("plain")).prediction
    image = opened(chart.draw(prediction, recording))
    assert image.width <= 4_000
    assert image.height <= 4_000


def test_the_spectrogram_alone_is_drawn(recording: LogMel, prediction: Prediction) -> None:
    assert np.asarray(opened(chart.spectrogram(recording, prediction.section))).std() > 5
