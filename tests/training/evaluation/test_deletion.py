import json
from pathlib import Path

import numpy as np
import pytest

from core.audio.spectrogram import FloatArray, log_mel, segments_db
from core.constants import GENRES, HOP_LENGTH, N_MELS, SAMPLE_RATE, SEGMENT_FRAMES
from core.inference.classifier import Classifier
from core.inference.occlusion import BAND_CELLS, BANDS, FRAMES, TIME_CELLS, importance
from tests.support.audio import bass, hi_hat, hits
from tests.training.made_teacher import write_labelled
from training import export
from training.evaluation.deletion import bootstrap_mean, delete_cells, deletion_fall, evaluate_deletion


def write_band_model(folder: Path, first: int, last: int) -> Path:
    """A model that says rock as far as some rows of cells are loud."""
    import keras
    from keras import layers, ops

    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    level = ops.mean(db[:, first * BANDS : last * BANDS], axis=(1, 2)) / 10 + 4
    logits = ops.stack([level if genre == "rock" else ops.zeros_like(level) for genre in GENRES], axis=-1)
    model = keras.Model(db, layers.Softmax(name="genre")(logits))
    fields = export.CardFields("bands", "1", {}, "filtered", 0, {})
    return export.write_model(folder, fields, export.convert(model, "float32"))


@pytest.fixture(scope="module")
def band_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears the second and third row of cells."""
    return write_band_model(tmp_path_factory.mktemp("bands"), 1, 3)


@pytest.mark.parametrize(("sound", "rows"), [(hi_hat(), (6, 8)), (bass(), (0, 1))], ids=["hi-hat", "bass"])
def test_in_a_mix_the_cells_of_the_sound_that_decides_stand_out(
    sound: FloatArray, rows: tuple[int, int], tmp_path: Path
) -> None:
    mix = 0.3 * np.random.default_rng(1).standard_normal(30 * SAMPLE_RATE).astype(np.float32)
    played = hits(sound, per_second=2)
    played[: played.size // 2] = 0
    recording = log_mel([0.1 * mix + played])
    silent, sounding = segments_db(recording, [second * SAMPLE_RATE // HOP_LENGTH for second in (6, 24)])
    classifier = Classifier(write_band_model(tmp_path, *rows))
    before, after = classifier.probabilities(np.stack([silent, sounding]))[:, GENRES.index("rock")]
    assert after > before, "the model hears the sound"
    for segments in (silent, sounding):
        falls = importance(segments[np.newaxis], "rock", classifier)[0]
        assert (falls[rows[0] : rows[1]] > 0.01).all()
        assert np.abs(np.delete(falls, np.s_[rows[0] : rows[1]], axis=0)).max() < 0.01


def test_only_the_given_cells_are_silenced() -> None:
    segments = np.random.default_rng(0).uniform(-60, 0, (2, N_MELS, SEGMENT_FRAMES)).astype(np.float32)
    cells = np.zeros((2, BAND_CELLS, TIME_CELLS), bool)
    cells[1, 2, 3] = True
    deleted = delete_cells(segments, cells)
    np.testing.assert_array_equal(deleted[0], segments[0])
    rows, columns = slice(2 * BANDS, 3 * BANDS), slice(3 * FRAMES, 4 * FRAMES)
    assert (deleted[1, rows, columns] == segments[1].min()).all()
    assert (deleted[1] != segments[1]).sum() <= BANDS * FRAMES


def test_what_is_marked_matters_more_than_what_is_drawn_at_random(band_model: Path) -> None:
    segments = np.random.default_rng(0).uniform(-60, 0, (3, N_MELS, SEGMENT_FRAMES)).astype(np.float32)
    fall = deletion_fall(segments, "rock", Classifier(band_model), seed=0)
    assert fall.marked > 2 * fall.random > 0


def test_songs_are_measured_with_an_interval(band_model: Path, tmp_path: Path) -> None:
    write_labelled(tmp_path / "labelled.npz", ("jazz", "rock", "metal"))
    measured = evaluate_deletion(str(band_model), tmp_path / "labelled.npz", tmp_path)
    assert measured["songs"] == 3
    assert measured["difference"]["low"] <= measured["difference"]["value"] <= measured["difference"]["high"]
    assert measured["difference"]["value"] == pytest.approx(
        measured["marked"]["value"] - measured["random"]["value"], abs=2e-4
    )
    assert json.loads((tmp_path / "deletion-bands.json").read_text()) == measured


def test_an_interval_holds_the_mean_and_narrows_with_more_songs() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 400)
    many, few = bootstrap_mean(values), bootstrap_mean(values[:20])
    assert many.low < 0.3 < many.high
    assert many.high - many.low < (few.high - few.low) / 2
