import csv
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from training import fit, networks
from training.data import gtzan
from training.data.gtzan import Gtzan, to_db
from training.data.splits import LoadedData, SplitName, Subset, SubsetName, make_split, subset_of
from training.recipes import TrainConfig


def small() -> keras.Model:
    return networks.study_cnn((2, 4, 8), 8)


RECIPE = TrainConfig(small, epochs=2, patience=None, batch_size=32, learning_rate=3e-3)


@pytest.fixture
def loaded(made_gtzan: Gtzan) -> LoadedData:
    """Two genres with three tracks for training, one for validation and one for testing."""
    tracks = {"train": [10, 11, 12, 60, 61, 62], "valid": [13, 63], "test": [14, 64]}
    subsets: dict[str, Subset] = {name: subset_of(positions) for name, positions in tracks.items()}
    return LoadedData(made_gtzan, replace(make_split(SplitName.TRACK, made_gtzan), **subsets))


def epochs(folder: Path) -> list[int]:
    with (folder / "history.csv").open(newline="") as lines:
        return [int(row["epoch"]) for row in csv.DictReader(lines)]


def test_an_interrupted_training_resumes(loaded: LoadedData, tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def interrupt(epoch: int, logs: object) -> None:
        if epoch == 1:
            raise InterruptionError

    stopper = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(InterruptionError):
        fit.fit(replace(RECIPE, epochs=3), loaded, tmp_path, seed=5, verbose=0, callbacks=[stopper])
    assert epochs(tmp_path) == [0]
    fit.fit(replace(RECIPE, epochs=3), loaded, tmp_path, seed=5, verbose=0)
    assert epochs(tmp_path) == [0, 1, 2]


def test_a_finished_training_is_not_repeated(loaded: LoadedData, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    first = fit.fit(recipe, loaded, tmp_path, seed=5, verbose=0)
    again = fit.fit(recipe, loaded, tmp_path, seed=5, verbose=0)
    assert epochs(tmp_path) == [0]
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_epoch_with_the_best_validation_is_kept_and_training_stops(loaded: LoadedData, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1,0.99,1\n1,0.5,1,0.2,1\n")
    kept = small()
    kept.save_weights(tmp_path / "best.weights.h5")
    model = fit.fit(replace(RECIPE, epochs=9, patience=1), loaded, tmp_path, seed=5, verbose=0)
    assert epochs(tmp_path) == [0, 1]
    for one, other in zip(model.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_short_training_separates_classical_music_from_metal(real_gtzan: Path, tmp_path: Path) -> None:
    data = gtzan.load(real_gtzan / "mel.npz")
    whole = make_split(SplitName.FILTERED, data)
    subsets = {str(name): _two_genres(data, whole.subset(name)) for name in SubsetName}
    recipe = TrainConfig(lambda: networks.study_cnn((8, 16, 32), 32), 8, None, 32, learning_rate=1e-3)
    model = fit.fit(recipe, LoadedData(data, replace(whole, **subsets)), tmp_path, seed=0, verbose=0)
    test = subsets["test"]
    probabilities = model.predict(to_db(test.segments(data)), verbose=0)
    assert (probabilities.argmax(axis=1) == test.labels(data)).mean() > 0.85


def _two_genres(data: Gtzan, subset: Subset) -> Subset:
    return subset_of([track for track in subset.tracks if data.labels[track] in (1, 6)])


def test_a_history_without_validation_is_read(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,accuracy,loss,val_loss\n0,0.5,1.5,2\n1,0.6,1.4,NA\n")
    first, second = fit.read_history(tmp_path / "history.csv")
    assert first == {"epoch": 0, "accuracy": 0.5, "loss": 1.5, "val_loss": 2}
    assert second == {"epoch": 1, "accuracy": 0.6, "loss": 1.4}


def test_stretched_copies_are_added_to_training(loaded: LoadedData) -> None:
    plain = fit.training_batches(RECIPE, loaded, 5)
    stretched = fit.training_batches(replace(RECIPE, stretched=True), loaded, 5)
    assert sum(len(db) for db, _ in plain) == 60
    assert sum(len(db) for db, _ in stretched) == 6 * 29


def test_batches_are_decibels_below_the_loudest_bin(loaded: LoadedData) -> None:
    db, genres = next(iter(fit.training_batches(RECIPE, loaded, 5)))
    assert db.numpy().min() >= -80
    assert -5 < db.numpy().max() <= 1e-4
    assert set(genres.numpy().argmax(axis=1).tolist()) == {1, 6}
