"""What nobody hears changes no answer: files with a constant, rumble, cancelling channels or floats of any scale."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.audio.decode import DecodeLimits
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, Models, classify_file
from core.verdict import Prediction
from tests.support.audio import encode, make_song, write_float_wav

LIMITS = DecodeLimits(max_bytes=100 * 1024**2, max_seconds=1_800, timeout_s=60)
SONG = make_song(9)
TIME = np.arange(SONG.size) / SAMPLE_RATE


def stereo(left: FloatArray, right: FloatArray | None = None) -> FloatArray:
    return np.stack((left, left if right is None else right), axis=1)


def with_a_glitch(value: float) -> FloatArray:
    samples = stereo(SONG).copy()
    samples[50_000, 0] = value
    return samples


CHANGES: dict[str, Callable[[], FloatArray]] = {
    "DC": lambda: stereo(0.5 * SONG + 0.2),
    "DC on one channel": lambda: stereo(0.5 * SONG + 0.2, 0.5 * SONG),
    "rumble": lambda: stereo(0.5 * SONG + 0.1 * np.sin(2 * np.pi * 10 * TIME)),
    "anti-phase": lambda: stereo(SONG, -SONG),
    "partly anti-phase": lambda: stereo(SONG, -0.9 * SONG),
    "one channel": lambda: stereo(SONG, 0 * SONG),
    "delayed": lambda: stereo(SONG, np.roll(SONG, SAMPLE_RATE // 100)),
    "floats beyond full scale": lambda: stereo(4 * SONG),
    "floats in the range of integers": lambda: stereo(32_768 * SONG),
    "anti-phase floats in the range of integers": lambda: stereo(2.0**31 * SONG, -(2.0**31) * SONG),
    "not a number on one channel": lambda: stereo(SONG, np.full_like(SONG, np.nan)),
    "a glitch": lambda: with_a_glitch(1e9),
    "a glitch that is no number": lambda: with_a_glitch(np.inf),
}


@pytest.fixture(scope="module")
def models() -> Models:
    return Models("genie")


@pytest.fixture(scope="module")
def plain(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    return classify(write_float_wav(tmp_path_factory.mktemp("plain") / "song.wav", SONG[:, None]), models)


def classify(path: Path, models: Models) -> Prediction:
    return classify_file(path, ClassifyOptions(), models=models, limits=LIMITS).prediction


@pytest.mark.parametrize("name", CHANGES)
def test_what_nobody_hears_does_not_change_the_answer(
    each_ffmpeg: str, tmp_path: Path, models: Models, plain: Prediction, name: str
) -> None:
    answer = classify(write_float_wav(tmp_path / "song.wav", CHANGES[name]()), models)
    assert answer.genre == plain.genre
    assert answer.probabilities == pytest.approx(plain.probabilities, abs=0.2)


@pytest.mark.parametrize("codec", [("-c:a", "libmp3lame", "-joint_stereo", "0"), ("-ar", "48000", "-c:a", "flac")])
def test_channels_that_cancel_are_classified_in_every_codec(
    tmp_path: Path, models: Models, plain: Prediction, codec: tuple[str, ...]
) -> None:
    source = write_float_wav(tmp_path / "song.wav", stereo(SONG, -SONG))
    suffix = ".mp3" if "libmp3lame" in codec else ".flac"
    assert classify(encode(tmp_path / f"song{suffix}", "-i", source, *codec), models).genre == plain.genre


def test_a_constant_alone_is_silent(each_ffmpeg: str, tmp_path: Path, models: Models) -> None:
    with pytest.raises(GenreGenieError) as raised:
        classify(write_float_wav(tmp_path / "dc.wav", np.full((6 * SAMPLE_RATE, 1), 0.3)), models)
    assert raised.value.code is ErrorCode.SILENT
