from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from core.audio.spectrogram import LogMel, log_mel
from core.i18n.catalog import locales
from core.inference import chart
from core.inference.pipeline import ClassifyOptions, Models, classify_spectrogram
from core.verdict import Verdict
from tests.support.audio import make_song


@pytest.fixture(scope="module")
def recording() -> LogMel:
    return log_mel([make_song(60)])


@pytest.fixture(scope="module")
def verdict(recording: LogMel) -> Verdict:
    return classify_spectrogram(recording, "song.wav", ClassifyOptions(), models=Models("plain")).verdict


def opened(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


def test_a_verdict_is_drawn(recording: LogMel, verdict: Verdict) -> None:
    image = opened(chart.draw(verdict, recording))
    assert image.width >= 400
    assert image.height >= 200
    # More than a background: the spectrogram is in it.
    colours = image.convert("RGB").getcolors(image.width * image.height)
    assert colours is not None
    assert len(colours) > 50


def test_it_fits_into_a_message(recording: LogMel, verdict: Verdict) -> None:
    assert len(chart.draw(verdict, recording)) < 1024**2


def test_other_votes_are_another_picture(recording: LogMel, verdict: Verdict) -> None:
    turned = tuple(replace(s, probabilities=tuple(reversed(s.probabilities))) for s in verdict.segments)
    assert chart.draw(verdict, recording) != chart.draw(replace(verdict, segments=turned), recording)


@pytest.mark.parametrize("locale", locales())
def test_every_language_can_be_drawn(recording: LogMel, verdict: Verdict, locale: str) -> None:
    opened(chart.draw(verdict, recording, locale))


@pytest.mark.parametrize("seconds", [3.0, 29.996, 400.0])
def test_songs_of_any_length_are_drawn_whole(seconds: float) -> None:
    recording = log_mel([make_song(seconds)])
    verdict = classify_spectrogram(recording, "song.wav", ClassifyOptions(whole=True), models=Models("plain")).verdict
    image = opened(chart.draw(verdict, recording))
    assert image.width <= 4_000
    assert image.height <= 4_000


def test_names_of_strangers_do_no_harm(recording: LogMel, verdict: Verdict) -> None:
    for name in ("x" * 5_000, "a\nb\tc", "שלום 你好 🎵", "\u202egnp.exe", ""):
        opened(chart.draw(replace(verdict, source=name, title=name), recording))


def test_the_spectrogram_alone_is_drawn(recording: LogMel, verdict: Verdict) -> None:
    assert np.asarray(opened(chart.spectrogram(recording, verdict.section))).std() > 5
