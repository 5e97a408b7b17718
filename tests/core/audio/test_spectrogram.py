from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.audio.spectrogram import FloatArray, LogMel, MelStream, QuantizedMel, log_mel, segments_db
from core.constants import (
    DB_FLOOR,
    FMAX,
    FMIN,
    HOP_LENGTH,
    N_FFT,
    N_MELS,
    SAMPLE_RATE,
    SECTION_FRAMES,
    SEGMENT_FRAMES,
    segment_frame,
)
from tests.support.audio import make_song
from tests.support.data import gtzan_tracks

TOLERANCE_DB = 1e-3


def reference_db(samples: FloatArray) -> FloatArray:
    mel = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS, fmin=FMIN, fmax=FMAX, power=2.0
    )
    db: FloatArray = librosa.power_to_db(mel, ref=1.0, top_db=None)
    return db


def assert_equals_librosa(samples: FloatArray) -> None:
    """Compare in the range that models see: the 80 dB below the loudest bin."""
    ours, theirs = log_mel([samples]).db, reference_db(samples)
    assert ours.shape == theirs.shape
    floor = theirs.max() + DB_FLOOR
    np.testing.assert_allclose(np.maximum(ours, floor), np.maximum(theirs, floor), rtol=0, atol=TOLERANCE_DB)


def from_file(path: Path) -> FloatArray:
    samples, rate = librosa.load(path, sr=None)
    assert rate == SAMPLE_RATE
    return samples


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(make_song(10), id="song"),
        pytest.param(np.random.default_rng(0).uniform(-1, 1, 70_000).astype(np.float32), id="noise"),
        pytest.param(np.sin(np.arange(100_000) * 0.1).astype(np.float32), id="tone"),
        pytest.param(np.eye(1, 30_000, 15_000, dtype=np.float32)[0], id="click"),
        pytest.param(make_song(4) * np.float32(1e-3), id="quiet"),
        pytest.param(make_song(4) * np.float32(3), id="overshoot"),
        pytest.param(make_song(1)[: HOP_LENGTH * 3], id="whole hops"),
        pytest.param(make_song(1)[:1], id="one sample"),
    ],
)
def test_equals_librosa_on_made_sound(samples: FloatArray) -> None:
    assert_equals_librosa(samples)


def test_equals_librosa_on_music(track: Path) -> None:
    assert_equals_librosa(from_file(track))


@pytest.mark.slow
@pytest.mark.usefixtures("real_gtzan")
def test_equals_librosa_on_all_music() -> None:
    for path in gtzan_tracks():
        assert_equals_librosa(from_file(path))


def test_silence_has_the_floor_of_power_to_db() -> None:
    np.testing.assert_allclose(log_mel([np.zeros(5_000, np.float32)]).db, -100, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_the_size_of_blocks_does_not_matter(sizes: list[int]) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, sum(sizes)).astype(np.float32)
    streamed = log_mel(np.split(samples, np.cumsum(sizes)[:-1]))
    whole = log_mel([samples])
    assert streamed.samples == whole.samples == samples.size
    np.testing.assert_allclose(streamed.db, whole.db, rtol=0, atol=TOLERANCE_DB)
    np.testing.assert_array_equal(streamed.peaks, whole.peaks)


def test_blocks_around_the_frame_length_give_the_same() -> None:
    samples = make_song(40)
    whole = log_mel([samples]).db
    for size in (1_000, HOP_LENGTH, N_FFT - 1, N_FFT + 1, 234_567):
        np.testing.assert_allclose(
            log_mel(np.split(samples, range(size, samples.size, size))).db, whole, rtol=0, atol=TOLERANCE_DB
        )


def test_nothing_at_all_is_a_recording_without_frames() -> None:
    recording = MelStream().finish()
    assert (recording.db.shape, recording.samples, recording.duration) == ((N_MELS, 0), 0, 0.0)
    assert recording.is_silent()
    assert recording.segment_starts() == []


class TestSegments:
    @pytest.mark.parametrize(
        ("seconds", "segments"),
        [(29.996, 10), (30.0, 10), (29.94, 9), (3.0, 1), (2.95, 1), (2.949, 0), (5.94, 1), (5.95, 2), (33.0, 11)],
    )
    def test_a_segment_counts_if_at_most_a_twentieth_of_a_second_is_missing(
        self, seconds: float, segments: int
    ) -> None:
        samples = int(seconds * SAMPLE_RATE + 0.5)
        recording = log_mel([np.full(samples, 0.1, np.float32)])
        assert len(recording.segment_starts()) == segments

    def test_segments_start_three_seconds_apart_and_the_tenth_ends_with_the_section(self) -> None:
        starts = log_mel([make_song(29.996)]).segment_starts()
        assert starts == [round(3 * i * SAMPLE_RATE / HOP_LENGTH) for i in range(10)]
        assert starts[-1] + SEGMENT_FRAMES == SECTION_FRAMES == 723

    def test_they_follow_a_frame_anywhere(self) -> None:
        recording = log_mel([make_song(20)])
        assert recording.segment_starts(100, 2) == [100, 100 + segment_frame(1)]
        assert recording.segment_starts(recording.n_frames - SEGMENT_FRAMES - 30, 2) != []
        assert recording.segment_starts(recording.n_frames) == []

    def test_db_are_below_the_loudest_bin_of_the_section(self) -> None:
        samples = make_song(60)
        samples[: 30 * SAMPLE_RATE] *= np.float32(0.01)
        recording = log_mel([samples])
        starts = recording.segment_starts()
        cut = segments_db(recording, starts)
        assert cut.shape == (20, N_MELS, SEGMENT_FRAMES)
        assert cut.dtype == np.float32
        assert cut.min() >= DB_FLOOR
        # Each thirty seconds have a loudest bin of their own, however quiet they are.
        assert cut[:9].max() == pytest.approx(0, abs=1e-4)
        assert cut[10:].max() == 0
        np.testing.assert_array_equal(cut[:10], segments_db(recording, starts[:10]))

    def test_every_frame_of_every_segment_is_the_songs(self) -> None:
        recording = log_mel([np.random.default_rng(0).uniform(-0.5, 0.5, 300 * SAMPLE_RATE).astype(np.float32)])
        cut = segments_db(recording, recording.segment_starts())
        assert cut.shape[0] == 100
        assert cut.max(axis=1).min() > DB_FLOOR / 2  # noise has no empty frame

    def test_loudness_does_not_matter(self) -> None:
        quiet, loud = (log_mel([make_song(12) * np.float32(gain)]) for gain in (0.05, 1))
        np.testing.assert_allclose(
            segments_db(quiet, quiet.segment_starts()), segments_db(loud, loud.segment_starts()), atol=2e-3
        )


class TestSilence:
    @pytest.mark.parametrize(("dbfs", "silent"), [(-100, True), (-61, True), (-59, False), (-1, False)])
    def test_nothing_over_60_dbfs_is_silent(self, dbfs: float, silent: bool) -> None:
        tone = np.sin(np.arange(5 * SAMPLE_RATE) * 0.2) * 10 ** (dbfs / 20)
        assert log_mel([tone.astype(np.float32)]).is_silent() is silent

    def test_one_click_anywhere_is_a_sound(self) -> None:
        for place in (1_000, 30_000, 65_000):
            samples = np.zeros(66_150, np.float32)
            samples[place] = 0.5
            recording = log_mel([samples])
            assert not recording.is_silent()
            frame = round(place / HOP_LENGTH)
            assert not recording.is_silent(frame - 1, frame + 2)
            assert recording.is_silent(frame + 3)
            assert frame < 3 or recording.is_silent(0, frame - 2)


class TestQuantizedMel:
    @pytest.fixture(scope="class")
    @classmethod
    def recording(cls) -> LogMel:
        samples = make_song(20)
        samples[: 8 * SAMPLE_RATE] *= np.float32(0.02)
        samples[5 * SAMPLE_RATE : 8 * SAMPLE_RATE] = 0
        return log_mel([samples])

    def test_it_comes_back_from_bytes(self, recording: LogMel) -> None:
        stored = QuantizedMel.quantize(recording)
        again = QuantizedMel.from_bytes(stored.to_bytes())
        np.testing.assert_array_equal(again.mel, stored.mel)
        np.testing.assert_array_equal(again.peaks, stored.peaks)
        assert (again.reference, again.samples, again.duration) == (
            stored.reference,
            recording.samples,
            recording.duration,
        )

    def test_it_is_off_by_a_quarter_of_a_decibel_at_most(self, recording: LogMel) -> None:
        again = QuantizedMel.quantize(recording).dequantize()
        floor = recording.db.max() - 119.9
        np.testing.assert_allclose(np.maximum(again.db, floor), np.maximum(recording.db, floor), rtol=0, atol=0.24)
        loud = recording.peaks > 1e-3
        np.testing.assert_allclose(again.peaks[loud], recording.peaks[loud], rtol=0.03)

    def test_silence_stays_silence(self, recording: LogMel) -> None:
        again = QuantizedMel.quantize(recording).dequantize()
        silence = (130, 190)
        assert recording.is_silent(*silence)
        assert again.is_silent(*silence)
        assert not again.is_silent()

    def test_it_gives_the_same_segments(self, recording: LogMel) -> None:
        again = QuantizedMel.quantize(recording).dequantize()
        assert again.segment_starts() == recording.segment_starts()
        np.testing.assert_allclose(
            segments_db(again, again.segment_starts()),
            segments_db(recording, recording.segment_starts()),
            rtol=0,
            atol=0.5,
        )

    def test_it_takes_a_fifth_of_a_megabyte_a_minute(self, recording: LogMel) -> None:
        assert len(QuantizedMel.quantize(recording).to_bytes()) < 210_000 * recording.duration / 60

    def test_an_empty_recording_comes_back_too(self) -> None:
        assert (
            QuantizedMel.from_bytes(QuantizedMel.quantize(MelStream().finish()).to_bytes()).dequantize().n_frames == 0
        )

    @settings(deadline=None)
    @given(data=st.binary(max_size=600))
    def test_other_bytes_are_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match="not a stored spectrogram"):
            QuantizedMel.from_bytes(data)

    def test_cut_bytes_are_refused(self, recording: LogMel) -> None:
        data = QuantizedMel.quantize(recording).to_bytes()
        for length in (0, 15, 16, 200, len(data) - (N_MELS + 1), len(data) - 1):
            with pytest.raises(ValueError, match="not a stored spectrogram"):
                QuantizedMel.from_bytes(data[:length])
