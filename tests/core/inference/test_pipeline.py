from pathlib import Path

import numpy as np
import pytest

from core.audio.cancel import CancelToken
from core.audio.decode import DecodeLimits
from core.audio.spectrogram import log_mel
from core.constants import SAMPLE_RATE, SEGMENT_SECONDS
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from core.inference.pipeline import ClassifyOptions, ClassifyResult, Models, Step, classify_file, classify_spectrogram
from tests.support.audio import encode, make_song, write_wav

LIMITS = DecodeLimits(max_bytes=100 * 1024**2, max_seconds=1_800, timeout_s=60)

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models("plain")


def test_of_the_models_that_only_some_ask_for_one_stays_loaded_until_it_is_given_back() -> None:
    models = Models("genie", most_others=1)
    own = models.genre()
    models.keep()
    plain = models.genre("plain")
    assert models.genre("plain") is plain
    augmented = models.genre("augmented")
    assert models.genre("augmented") is augmented
    assert models.genre("plain") is not plain
    assert models.release()
    assert not models.release()
    assert models.genre("augmented") is not augmented
    assert models.genre() is own


def classify(path: Path, models: Models, options: ClassifyOptions | None = None, **more: object) -> ClassifyResult:
    return classify_file(path, options or ClassifyOptions(), models=models, limits=LIMITS, **more)  # type: ignore[arg-type]


def code_of(path: Path, models: Models, options: ClassifyOptions | None = None, **more: object) -> ErrorCode:
    with pytest.raises(GenreGenieError) as raised:
        classify(path, models, options, **more)
    return raised.value.code


@pytest.mark.parametrize(
    ("seconds", "segments"), [(2.9, 0), (2.95, 1), (3.0, 1), (5.94, 1), (12, 4), (29.996, 10), (30, 10), (47, 10)]
)
def test_a_song_has_as_many_votes_as_segments(models: Models, tmp_path: Path, seconds: float, segments: int) -> None:
    path = write_wav(tmp_path / "s.wav", make_song(seconds))
    if not segments:
        assert code_of(path, models) is ErrorCode.TOO_SHORT
        return
    verdict = classify(path, models).prediction
    assert len(verdict.segments) == segments
    assert verdict.duration == pytest.approx(seconds, abs=1e-3)
    assert verdict.section.end - verdict.section.start == pytest.approx(min(30, seconds), abs=0.05)
    starts = [segment.start - verdict.section.start for segment in verdict.segments]
    assert starts == pytest.approx([SEGMENT_SECONDS * i for i in range(segments)])


def test_a_track_of_the_training_datas_length_has_ten_votes(models: Models, track: Path) -> None:
    verdict = classify(track, models).prediction
    assert len(verdict.segments) == 10
    assert verdict.section.start == pytest.approx(0, abs=1)


def test_the_whole_is_classified_to_its_end(models: Models, tmp_path: Path) -> None:
    verdict = classify(write_wav(tmp_path / "s.wav", make_song(100)), models, ClassifyOptions(whole=True)).prediction
    assert len(verdict.segments) == 33
    assert (verdict.section.start, verdict.section.end) == (0, pytest.approx(100, abs=0.01))


def test_one_part_that_is_no_music_does_not_make_a_song_none(models: Models) -> None:
    noise = np.random.default_rng(0).standard_normal(30 * SAMPLE_RATE).astype(np.float32) * np.float32(0.1)
    with pytest.raises(GenreGenieError) as raised:
        classify_spectrogram(log_mel([noise]), ClassifyOptions(), models=models)
    assert raised.value.code is ErrorCode.NOT_MUSIC
    song = log_mel([np.concatenate((noise, make_song(150)))])
    prediction = classify_spectrogram(song, ClassifyOptions(start=0.0), models=models).prediction
    assert prediction.section.start == 0


def test_silence_has_no_vote(models: Models, tmp_path: Path) -> None:
    samples = make_song(30)
    samples[9 * SAMPLE_RATE - 1_000 : 15 * SAMPLE_RATE + 1_000] = 0  # frames lie across the segments' borders
    verdict = classify(write_wav(tmp_path / "s.wav", samples), models).prediction
    assert [round(segment.start) for segment in verdict.segments] == [0, 3, 6, 15, 18, 21, 24, 27]
    assert sum(verdict.votes.values()) == 8


def test_a_silent_part_is_silent_though_the_song_is_not(models: Models, tmp_path: Path) -> None:
    samples = make_song(80)
    samples[40 * SAMPLE_RATE :] = 0
    path = write_wav(tmp_path / "s.wav", samples)
    assert code_of(path, models, ClassifyOptions(start=45.0)) is ErrorCode.SILENT
    assert len(classify(path, models).prediction.segments) == 10


def test_the_verdict_is_the_same_each_time(models: Models, long_song: Path) -> None:
    one, two = (classify(long_song, models).prediction for _ in range(2))
    assert one == two


def test_loudness_changes_little(models: Models, tmp_path: Path) -> None:
    song = make_song(30)
    loud = classify(write_wav(tmp_path / "loud.wav", song), models).prediction
    soft = classify(write_wav(tmp_path / "soft.wav", song * np.float32(0.3)), models).prediction
    np.testing.assert_allclose(loud.probabilities, soft.probabilities, atol=0.1)


def test_progress_is_reported_and_a_stop_is_heeded(models: Models, long_song: Path) -> None:
    stop, reported = CancelToken(), []

    def progress(step: Step, share: float | None) -> None:
        reported.append(step)
        if step is Step.DECODING and share is not None:
            stop.set()

    assert code_of(long_song, models, cancel_token=stop, on_progress=progress) is ErrorCode.CANCELLED
    assert set(reported) == {Step.DECODING}


def test_times_are_reported_for_each_step(models: Models, long_song: Path) -> None:
    elapsed = classify(long_song, models).elapsed
    parts = (elapsed.decode, elapsed.features, elapsed.classify)
    assert all(part > 0 for part in parts)
    assert sum(parts) <= elapsed.total + 1e-6
    assert elapsed.fetch == 0


@pytest.mark.parametrize("start", [-0.1, 12.0, 1e9, float("nan"), float("inf"), float("-inf")])
def test_a_start_outside_of_the_song_is_too_short(models: Models, song: Path, start: float) -> None:
    assert code_of(song, models, ClassifyOptions(start=start)) is ErrorCode.TOO_SHORT


def test_only_the_start_of_the_part_asked_for_is_named_in_the_error(models: Models, song: Path) -> None:
    with pytest.raises(GenreGenieError) as raised:
        classify(song, models, ClassifyOptions(start=11.0))
    assert "after second 11." in error_sentence(raised.value)


def test_a_model_is_loaded_once(models: Models) -> None:
    assert models.genre() is models.genre("plain")


def test_models_differ(models: Models) -> None:
    recording = log_mel([make_song(30)])
    names = {
        classify_spectrogram(recording, ClassifyOptions(model=name), models=models).prediction.model
        for name in ("plain", "augmented")
    }
    assert {model.name for model in names} == {"plain", "augmented"}
    assert len({model.sha256 for model in names}) == 2


class TestTracksAndCuts:
    def tracks(self, path: Path, *filters: str) -> Path:
        """A film's sound in as many tracks as there are filters on a made song."""
        wav = write_wav(path.with_suffix(".wav"), make_song(6))
        maps = [word for i, _ in enumerate(filters) for word in ("-map", f"[{i}]")]
        split = ";".join(f"[0:a]{name}[{i}]" for i, name in enumerate(filters))
        return encode(path, "-i", wav, "-filter_complex", split, *maps, "-c:a", "flac")

    def test_the_first_track_that_is_not_silent_is_classified(
        self, each_ffmpeg: str, models: Models, tmp_path: Path
    ) -> None:
        path = self.tracks(tmp_path / "film.mka", "volume=0", "volume=0.0001", "anull", "volume=0.5")
        prediction = classify(path, models).prediction
        assert (prediction.track, prediction.tracks) == (3, 4)
        assert prediction.genre == classify(path.with_suffix(".wav"), models).prediction.genre

    def test_where_all_are_silent_the_song_is(self, each_ffmpeg: str, models: Models, tmp_path: Path) -> None:
        assert code_of(self.tracks(tmp_path / "mute.mka", "volume=0", "volume=0"), models) is ErrorCode.SILENT

    def test_tracks_that_cannot_be_decoded_do_not_hide_that_the_first_is_silent(
        self, each_ffmpeg: str, models: Models, tmp_path: Path
    ) -> None:
        path = self.tracks(tmp_path / "mute.mka", "volume=0", "anull")
        start, end = path.read_bytes().rsplit(b"A_FLAC", 1)
        path.write_bytes(start + b"A_NONE" + end)
        assert code_of(path, models) is ErrorCode.SILENT

    def test_what_comes_before_a_cut_is_classified_if_it_is_a_segment(
        self, each_ffmpeg: str, models: Models, tmp_path: Path
    ) -> None:
        path = encode(tmp_path / "song.flac", "-i", write_wav(tmp_path / "song.wav", make_song(12)))
        data = path.read_bytes()
        assert not classify(path, models).prediction.cut_off
        path.write_bytes(data[: len(data) // 2])
        prediction = classify(path, models).prediction
        assert prediction.cut_off
        assert prediction.duration == pytest.approx(6, abs=1)
        path.write_bytes(data[: len(data) // 8])
        assert code_of(path, models) is ErrorCode.DAMAGED
