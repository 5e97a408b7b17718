import csv
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

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


class InterruptionError(Exception):
    pass


def interrupted(loaded: LoadedData, folder: Path, epoch: int, recipe: TrainConfig) -> None:
    """Train until an epoch begins."""

    def interrupt(begun: int, logs: object) -> None:
        if begun == epoch:
            raise InterruptionError

    stopper = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(InterruptionError):
        fit.fit(recipe, loaded, folder, seed=5, verbose=0, callbacks=[stopper])


def test_an_interrupted_training_ends_as_one_that_was_not(loaded: LoadedData, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=3, learning_rate=1e-3)
    whole = fit.fit(recipe, loaded, tmp_path / "whole", seed=5, verbose=0)
    interrupted(loaded, tmp_path / "parts", 1, recipe)
    assert epochs(tmp_path / "parts") == [0]
    resumed = fit.fit(recipe, loaded, tmp_path / "parts", seed=5, verbose=0)
    assert epochs(tmp_path / "parts") == [0, 1, 2]
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_no_epoch_has_the_order_or_the_dropout_of_another(loaded: LoadedData) -> None:
    order = fit.EpochOrder(60, 32, 5)
    order.set_model(small())
    orders, states = [], []
    for epoch in (0, 1, 0):
        order.on_epoch_begin(epoch)
        orders.append(np.concatenate(list(order.batches())).tolist())
        dropouts = [layer for layer in order.model.layers if isinstance(layer, keras.layers.Dropout)]
        states.append([keras.ops.convert_to_numpy(layer.seed_generator.state).tolist() for layer in dropouts])
    assert sorted(orders[0]) == list(range(60))
    assert orders[0] == orders[2] != orders[1]
    assert [counter for _, counter in states[1]] == [2, 2]  # batches of the first epoch
    assert states[0] == states[2]


def test_a_checkpoint_that_was_cut_off_gives_way_to_the_one_before(loaded: LoadedData, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=3)
    interrupted(loaded, tmp_path, 2, recipe)
    latest = tmp_path / "checkpoint" / "latest.weights.h5"
    latest.write_bytes(latest.read_bytes()[:1_000])
    fit.fit(recipe, loaded, tmp_path, seed=5, verbose=0)
    assert epochs(tmp_path) == [0, 1, 1, 2]
    assert [row["epoch"] for row in fit.read_history(tmp_path / "history.csv")] == [0, 1, 2]


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


def batches(recipe: TrainConfig, loaded: LoadedData, segments: int) -> tf.data.Dataset:
    return fit.training_batches(recipe, loaded, fit.EpochOrder(segments, recipe.batch_size, 5))


def test_stretched_copies_are_added_to_training(loaded: LoadedData, tmp_path: Path) -> None:
    seen = []
    watcher = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    for recipe, segments in ((RECIPE, 60), (replace(RECIPE, stretched=True), 6 * 29)):
        seen.clear()
        fit.fit(replace(recipe, epochs=1), loaded, tmp_path / str(segments), seed=5, verbose=0, callbacks=[watcher])
        assert len(seen) == -(-segments // RECIPE.batch_size)
        assert sum(len(db) for db, _ in batches(recipe, loaded, segments)) == segments


def test_batches_are_decibels_below_the_loudest_bin(loaded: LoadedData) -> None:
    db, genres = next(iter(batches(RECIPE, loaded, 60)))
    assert db.numpy().min() >= -80
    assert -5 < db.numpy().max() <= 1e-4
    assert set(genres.numpy().argmax(axis=1).tolist()) == {1, 6}
