import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.audio.spectrogram import log_mel
from core.constants import DB_FLOOR, N_MELS, SAMPLE_RATE, SECTION_FRAMES, SEGMENT_FRAMES, segment_frame
from tests.support.audio import make_song, write_wav
from tests.support.data import DATA, gtzan_tracks
from training.data import gtzan
from training.data.features import log_mel_from_file
from training.data.gtzan import DataError
from training.data.splits import STRETCH_RATES

ARCHIVE = DATA / "gtzan" / "mel.npz"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gtzan, "CACHE_DIR", tmp_path / "cache")
    return tmp_path / "cache"


def test_a_folder_of_audio_becomes_spectrograms_and_names_what_it_leaves_out(gtzan_folder: Path, cache: Path) -> None:
    data = gtzan.load(gtzan_folder)
    assert data.names == tuple(f"{genre}.0000{n}" for genre in ("classical", "metal") for n in range(3))
    assert data.labels.tolist() == [1, 1, 1, 6, 6, 6]
    assert data.mel.shape == (6, N_MELS, SECTION_FRAMES)
    assert data.mel.max(axis=(1, 2)).tolist() == [255] * 6
    assert set(data.left_out) == {"jazz.00054", "jazz.00001", "jazz.00002"}
    assert "12.0 s" in data.left_out["jazz.00001"]


def test_spectrograms_are_computed_once(gtzan_folder: Path, cache: Path) -> None:
    first = gtzan.load(gtzan_folder)
    (stored,) = cache.iterdir()
    stored_at = stored.stat().st_mtime_ns
    second = gtzan.load(gtzan_folder)
    assert stored.stat().st_mtime_ns == stored_at
    np.testing.assert_array_equal(first.mel, second.mel)
    assert first.left_out == second.left_out


def test_a_changed_file_is_computed_again(tmp_path: Path, cache: Path) -> None:
    track = tmp_path / "pop.00000.wav"
    write_wav(track, make_song(30, seed=1))
    before = gtzan.load(tmp_path).mel
    write_wav(track, make_song(30.5, seed=2))
    assert not np.array_equal(gtzan.load(tmp_path).mel, before)


def test_unusable_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        gtzan.load(tmp_path / "nothing.npz")
    with pytest.raises(FileNotFoundError, match="no track"):
        gtzan.load(tmp_path)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match="neither"):
        gtzan.load(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", data=np.zeros(3))
    with pytest.raises(DataError, match="'mel' and 'track'"):
        gtzan.load(tmp_path / "other.npz")
    np.savez(tmp_path / "narrow.npz", mel=np.zeros((1, 64, 723), np.uint8), track=np.array(["pop.00000"]))
    with pytest.raises(DataError, match="128"):
        gtzan.load(tmp_path / "narrow.npz")
    mel = np.zeros((1, N_MELS, SECTION_FRAMES), np.uint8)
    np.savez(tmp_path / "other.npz", mel=mel, track=np.array(["electronic.00001"]))
    with pytest.raises(DataError, match=r"electronic\.00001 is not named after one of the ten"):
        gtzan.load(tmp_path / "other.npz")
    np.savez(tmp_path / "other.npz", mel=mel, track=np.array(["pop.00001"], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        gtzan.load(tmp_path / "other.npz")
    np.savez(tmp_path / "other.npz", mel=mel, track=np.array("pop.00001"))
    with pytest.raises(DataError, match="list of tracks"):
        gtzan.load(tmp_path / "other.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("mel", "text")
        archive.writestr("track", "text")
    with pytest.raises(DataError, match="archive of arrays"):
        gtzan.load(tmp_path / "other.npz")


def test_stored_levels_are_off_by_half_a_step_at_most() -> None:
    db = np.linspace(DB_FLOOR, 0, 4_001, dtype=np.float32)
    assert np.abs(gtzan.to_db(gtzan.to_uint8(db)) - db).max() <= 80 / 255 / 2 + 1e-5


def test_a_track_has_more_segments_the_slower_it_is_played() -> None:
    assert [gtzan.segment_count(rate) for rate in (0.85, 1.0, 1.15)] == [11, 10, 8]


def test_a_faster_segment_covers_more_of_the_track() -> None:
    ramp = np.broadcast_to(np.arange(SECTION_FRAMES) / 4, (N_MELS, SECTION_FRAMES)).astype(np.uint8)
    assert gtzan.cut(ramp, 0).shape == (N_MELS, SEGMENT_FRAMES)
    np.testing.assert_array_equal(gtzan.cut(ramp, 2), ramp[:, 145 : 145 + SEGMENT_FRAMES])
    for rate in (0.85, 1.15):
        expected = (72 + np.arange(SEGMENT_FRAMES)) * rate / 4
        assert np.abs(gtzan.cut(ramp, 1, rate) - expected).max() <= 1


@pytest.mark.usefixtures("real_gtzan")
def test_the_archive_lacks_the_damaged_track_and_says_so() -> None:
    data = gtzan.load(ARCHIVE)
    assert len(data) == 999
    assert list(data.left_out) == ["jazz.00054"]
    assert np.bincount(data.labels).tolist() == [100] * 5 + [99] + [100] * 4


def distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Mean distance in dB."""
    return float(np.abs(first - second).mean())


def assert_audio_is_as_in_the_archive(tracks: Sequence[Path]) -> None:
    import librosa

    archive = gtzan.load(ARCHIVE)
    with np.load(ARCHIVE) as stored:
        frames = stored["frame"]
    for path in tracks:
        old = gtzan.to_db(archive.mel[archive.index[path.stem]])
        samples, _ = librosa.load(path, sr=SAMPLE_RATE)
        power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE)
        # A track that is a little longer or shorter than the others was fitted into the archive's frames.
        if power.shape[1] == frames[-1] + 1:
            assert distance(librosa.power_to_db(power, ref=np.max)[:, frames], old) < 0.8, path.stem
        mel = gtzan.track_mel(path)
        assert not isinstance(mel, str), f"{path.stem}: {mel}"
        # Serving's frames lie up to 73 ms beside the archive's: the bands' means are the same, single bins are not,
        # and another loudest bin moves all by up to 1.1 dB.
        assert distance(gtzan.to_db(mel).mean(axis=1), old.mean(axis=1)) < 1.5, path.stem


@pytest.mark.usefixtures("real_gtzan")
def test_audio_gives_the_spectrograms_of_the_archive(tracks: list[Path]) -> None:
    assert_audio_is_as_in_the_archive(tracks[:3])


@pytest.mark.slow
@pytest.mark.usefixtures("real_gtzan")
def test_all_audio_gives_the_spectrograms_of_the_archive() -> None:
    assert_audio_is_as_in_the_archive(gtzan_tracks())


def assert_interpolation_is_close_to_the_phase_vocoder(tracks: Sequence[Path]) -> None:
    import librosa

    for path in tracks:
        samples, _ = librosa.load(path, sr=SAMPLE_RATE)
        mel = gtzan.to_uint8(log_mel([samples]).section_db(0))
        for rate in STRETCH_RATES:
            stretched = log_mel([librosa.effects.time_stretch(samples, rate=rate)]).section_db(0)
            for segment in (2, 5):
                start = segment_frame(segment)
                real = stretched[:, start : start + SEGMENT_FRAMES]
                close = distance(real, gtzan.to_db(gtzan.cut(mel, segment, rate)))
                far = distance(real, gtzan.to_db(gtzan.cut(mel, segment)))
                assert close < 5.0, (path.stem, rate, close)
                assert close < 0.8 * far, (path.stem, rate, close, far)


def test_interpolating_a_spectrogram_is_close_to_stretching_the_audio(tracks: list[Path]) -> None:
    assert_interpolation_is_close_to_the_phase_vocoder(tracks[:2])


@pytest.mark.slow
@pytest.mark.usefixtures("real_gtzan")
def test_interpolating_a_spectrogram_is_close_to_stretching_the_audio_for_all_tracks() -> None:
    assert_interpolation_is_close_to_the_phase_vocoder(gtzan_tracks())


def test_serving_and_training_compute_the_same_spectrogram(tracks: list[Path]) -> None:
    mel = gtzan.track_mel(tracks[0])
    assert not isinstance(mel, str)
    assert np.abs(gtzan.to_db(mel) - log_mel_from_file(tracks[0]).section_db(0)).max() <= 0.2
