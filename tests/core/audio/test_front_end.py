"""Decoded stereo → spectrogram: librosa's of the sum, and what the sum would lose."""

import numpy as np
import pytest

from core.audio.front_end import decoded_log_mel
from core.audio.spectrogram import FloatArray, LogMel, log_mel
from core.constants import DB_FLOOR, SAMPLE_RATE
from tests.core.audio.test_spectrogram import reference_db
from tests.support.audio import make_noise, make_song, mixed


def stereo(left: FloatArray, right: FloatArray) -> FloatArray:
    return np.stack((left, right), axis=1).astype(np.float32)


def assert_close(recording: LogMel, expected: FloatArray, most: float) -> None:
    """Compare dB below the loudest bin, in the range that models see."""
    ours = np.maximum(recording.db - recording.db.max(), DB_FLOOR)
    theirs = np.maximum(expected - expected.max(), DB_FLOOR)
    assert np.abs(ours - theirs).max() <= most


def test_above_the_filter_it_is_as_librosa_has_the_sum_of_the_channels() -> None:
    samples = make_song(10)
    channels = stereo(samples, 0.5 * samples)
    ours, theirs = decoded_log_mel(np.array_split(channels, 9)).db, reference_db(mixed(channels))
    assert ours.shape == theirs.shape
    floor = theirs.max() + DB_FLOOR
    # From 155 Hz on, and where the window does not reach beyond the ends, at which a constant would be a click.
    difference = np.maximum(ours, floor) - np.maximum(theirs, floor)
    assert np.abs(difference[6:, 3:-3]).max() <= 0.05


@pytest.mark.parametrize("rumble", [0, 8, 10, 15])
def test_a_constant_and_rumble_change_no_band(rumble: float) -> None:
    song = make_song(10)
    time = np.arange(song.size) / SAMPLE_RATE
    rumbling = song + np.float32(0.2) * np.cos(2 * np.pi * rumble * time).astype(np.float32)
    changed = decoded_log_mel([stereo(rumbling, rumbling)]).db[:, 12:-12]  # the ends of a tone are no tone
    plain = decoded_log_mel([stereo(song, song)]).db[:, 12:-12]
    floor = plain.max() + DB_FLOOR / 2
    np.testing.assert_allclose(np.maximum(changed, floor), np.maximum(plain, floor), rtol=0, atol=0.5)


def test_channels_that_cancel_are_what_each_of_them_is() -> None:
    song = make_song(10)
    recording = decoded_log_mel([stereo(song, -song)])
    assert not recording.is_silent()
    assert_close(recording, decoded_log_mel([stereo(song, song)]).db, 0.01)


def test_one_channel_alone_is_what_it_is_on_both() -> None:
    song = make_song(10)
    for channels in (stereo(song, 0 * song), stereo(0 * song, song)):
        assert_close(decoded_log_mel([channels]), decoded_log_mel([stereo(song, song)]).db, 0.01)


def test_a_part_that_cancels_is_kept_beside_one_that_does_not() -> None:
    high, low = (make_noise(5, *band, seed=band[0]) * np.float32(0.2) for band in ((3_000, 5_000), (200, 1_000)))
    cancelling = decoded_log_mel([stereo(low + high, low - high)]).db.mean(axis=1)
    expected = decoded_log_mel([stereo(low + high, low + high)]).db.mean(axis=1)
    assert np.abs(cancelling - expected)[20:100].max() <= 3.5


def test_a_delayed_channel_leaves_no_gaps() -> None:
    noise = make_noise(10, 100, 10_000)
    delayed = np.concatenate((np.zeros(10, np.float32), noise[:-10]))  # half a millisecond: gaps at 1.1 kHz, 3.3 kHz…
    plain, late = (decoded_log_mel([stereo(noise, right)]).db.mean(axis=1) for right in (noise, delayed))
    difference = (late - plain)[8:120]
    assert difference.max() - difference.min() <= 4


def test_channels_with_nothing_in_common_are_as_their_sum() -> None:
    left, right = (make_noise(10, 100, 10_000, seed) for seed in (1, 2))
    ours = decoded_log_mel([stereo(left, right)]).db.mean(axis=1)
    theirs = log_mel([mixed(stereo(left, right))]).db.mean(axis=1)
    assert np.abs(ours - theirs)[20:110].max() <= 1.5


def test_a_constant_alone_is_silence() -> None:
    assert decoded_log_mel([np.full((5 * SAMPLE_RATE, 2), 0.5, np.float32)]).is_silent()


def test_the_filter_does_not_ring_into_silence() -> None:
    song = make_song(9)
    song[3 * SAMPLE_RATE : 6 * SAMPLE_RATE] = 0
    recording = decoded_log_mel(np.array_split(stereo(song, song), 5))
    assert recording.is_silent(74, 144)
    assert not recording.is_silent(72, 144)
    assert not recording.is_silent(74, 146)


def test_beyond_full_scale_silence_is_what_is_silent_beside_the_rest() -> None:
    song = make_song(12)
    song[6 * SAMPLE_RATE :] = 0.0005
    song[6 * SAMPLE_RATE :: 2] *= -1
    for scale in (1, 4, 32_768):
        recording = decoded_log_mel([stereo(song, song) * np.float32(scale)])
        assert not recording.is_silent(0, 100)
        assert recording.is_silent(170, 270)


def test_one_glitch_does_not_make_the_rest_silent() -> None:
    song = make_song(6)
    song[3 * SAMPLE_RATE] = 100
    recording = decoded_log_mel([stereo(song, song)])
    assert not recording.is_silent(0, 50)
    np.testing.assert_allclose(
        recording.db[:, :50], decoded_log_mel([stereo(make_song(6), make_song(6))]).db[:, :50], atol=1
    )
