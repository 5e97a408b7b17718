"""The high-pass filter: what lies below hearing is gone, what does not is as it was, whatever the blocks."""

import numpy as np
import pytest

from core.audio.high_pass import CONTEXT, HighPass
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE


def high_passed(samples: FloatArray, size: int = 10_000) -> FloatArray:
    high_pass = HighPass()
    done = [high_pass.feed(samples[start : start + size]) for start in range(0, samples.size, size)]
    return np.concatenate((*done, high_pass.finish()))


def tone(hertz: float, seconds: float = 6) -> FloatArray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.cos(2 * np.pi * hertz * time + 0.7).astype(np.float32)


def rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(samples[CONTEXT:-CONTEXT], dtype=np.float64))))


@pytest.mark.parametrize("hertz", [0, 0.3, 5, 8, 12, 15, 17])
def test_what_lies_below_hearing_is_gone(hertz: float) -> None:
    assert rms(high_passed(tone(hertz))) < 10 ** (-55 / 20)


@pytest.mark.parametrize("hertz", [24, 27.5, 41.2, 100, 172.3, 440, 5_000, 11_000])
def test_what_can_be_heard_is_as_it_was(hertz: float) -> None:
    samples = tone(hertz)
    assert rms(high_passed(samples) - samples) < 0.001


def test_a_constant_neither_begins_nor_ends_with_a_click() -> None:
    for seconds in (0.01, 1, 7):
        assert np.abs(high_passed(np.full(round(seconds * SAMPLE_RATE), 0.5, np.float32))).max() < 0.001


@pytest.mark.parametrize("samples", [0, 1, 2, 127, CONTEXT, 2 * CONTEXT + 1, 83_711, 83_712, 200_000])
def test_as_many_samples_come_out_and_the_size_of_blocks_does_not_matter(samples: int) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    whole = high_passed(noise, max(1, samples))
    assert whole.size == samples
    np.testing.assert_allclose(high_passed(noise, 7_919), whole, rtol=0, atol=1e-5)


def test_it_keeps_no_more_than_a_few_seconds() -> None:
    high_pass, waiting = HighPass(), 0
    for _ in range(60):
        waiting += SAMPLE_RATE - high_pass.feed(np.ones(SAMPLE_RATE, np.float32)).size
        assert waiting <= 6 * SAMPLE_RATE
