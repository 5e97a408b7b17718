import csv
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.data import DATA, needs_gtzan
from training import fit, networks
from training.data import gtzan
from training.data.augment import AugmentConfig
from training.data.gtzan import Gtzan, to_db
from training.data.splits import Split, SplitName, Subset, make_split, subset_of


def small() -> keras.Model:
    return networks.genie_network(4, (8, 8))


RECIPE = fit.TrainConfig(small, epochs=2, patience=None, batch_size=32, learning_rate=3e-3)


@pytest.fixture
def split(made_gtzan: Gtzan) -> Split:
    """Two genres with three tracks to learn from and one to be chosen on."""
    chosen = {"train": [10, 11, 12, 60, 61, 62], "valid": [13, 63], "test": [14, 64]}
    sides: dict[str, Subset] = {side: subset_of(tracks) for side, tracks in chosen.items()}
    return replace(make_split(SplitName.TRACK, made_gtzan, 5), **sides)


def epochs(folder: Path) -> list[int]:
    with (folder / "history.csv").open(newline="") as lines:
        return [int(row["epoch"]) for row in csv.DictReader(lines)]


def test_training_goes_on_where_it_was_interrupted(made_gtzan: Gtzan, split: Split, tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def interrupt(epoch: int, logs: object) -> None:
        if epoch == 1:
            raise InterruptionError

    stopper = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(InterruptionError):
        fit.fit(replace(RECIPE, epochs=3), made_gtzan, split, tmp_path, verbose=0, watchers=[stopper])
    assert epochs(tmp_path) == [0]
    fit.fit(replace(RECIPE, epochs=3), made_gtzan, split, tmp_path, verbose=0)
    assert epochs(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize("strength", [None, AugmentConfig()])
def test_a_finished_training_is_not_repeated(
    made_gtzan: Gtzan, split: Split, tmp_path: Path, strength: AugmentConfig | None
) -> None:
    recipe = replace(RECIPE, epochs=1, strength=strength, averaging=0.5)
    first = fit.fit(recipe, made_gtzan, split, tmp_path, verbose=0)
    again = fit.fit(recipe, made_gtzan, split, tmp_path, verbose=0)
    assert epochs(tmp_path) == [0]
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_epoch_that_validation_prefers_is_kept_and_ends_the_training(
    made_gtzan: Gtzan, split: Split, tmp_path: Path
) -> None:
    (tmp_path / "history.csv").write_text("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1,0.99,1\n1,0.5,1,0.2,1\n")
    kept = small()
    kept.save_weights(tmp_path / "best.weights.h5")
    model = fit.fit(replace(RECIPE, epochs=9, patience=1), made_gtzan, split, tmp_path, verbose=0)
    assert epochs(tmp_path) == [0, 1]
    for one, other in zip(model.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@needs_gtzan
@pytest.mark.slow
def test_a_short_training_tells_classical_music_from_metal(tmp_path: Path) -> None:
    data = gtzan.load(DATA / "gtzan" / "mel.npz")
    whole = make_split(SplitName.FILTERED, data)
    sides = {side: _two_genres(data, getattr(whole, side)) for side in ("train", "valid", "test")}
    recipe = fit.TrainConfig(
        lambda: networks.genie_network(4, (16, 16, 32)),
        8,
        None,
        32,
        strength=AugmentConfig(),
        learning_rate=5e-3,
        averaging=0.9,
    )
    model = fit.fit(recipe, data, replace(whole, **sides), tmp_path, verbose=0)
    test = sides["test"]
    answers = model.predict(to_db(test.segments(data)), verbose=0)
    assert (answers.argmax(axis=1) == test.labels(data)).mean() > 0.85


def _two_genres(data: Gtzan, part: Subset) -> Subset:
    return subset_of([track for track in part.tracks if data.labels[track] in (1, 6)])


def test_a_history_without_validation_is_read(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,accuracy,loss,val_loss\n0,0.5,1.5,2\n1,0.6,1.4,NA\n")
    first, second = fit.read_history(tmp_path / "history.csv")
    assert first == {"epoch": 0, "accuracy": 0.5, "loss": 1.5, "val_loss": 2}
    assert second == {"epoch": 1, "accuracy": 0.6, "loss": 1.4}


def test_stretched_copies_are_learned_too(made_gtzan: Gtzan, split: Split) -> None:
    plain = fit.training_batches(RECIPE, made_gtzan, split)
    stretched = fit.training_batches(replace(RECIPE, stretched=True), made_gtzan, split)
    assert sum(len(db) for db, _ in plain) == 60
    assert sum(len(db) for db, _ in stretched) == 6 * 29


def test_batches_are_decibels_below_the_loudest_bin(made_gtzan: Gtzan, split: Split) -> None:
    db, genres = next(iter(fit.training_batches(RECIPE, made_gtzan, split)))
    assert db.numpy().min() >= -80
    assert -5 < db.numpy().max() <= 1e-4
    assert set(genres.numpy().argmax(axis=1).tolist()) == {1, 6}


def test_several_networks_are_trained_apart_and_answer_with_their_mean(
    made_gtzan: Gtzan, split: Split, tmp_path: Path
) -> None:
    recipes = (replace(RECIPE, epochs=1), replace(RECIPE, epochs=1, strength=AugmentConfig()))
    both, history = fit.fit_all(recipes, made_gtzan, split, tmp_path)
    assert [(row["network"], row["epoch"]) for row in history] == [(0, 0), (1, 0)]
    db = to_db(split.test.segments(made_gtzan))
    apart = []
    for folder in fit.member_folders(recipes, tmp_path):
        member = small()
        member.load_weights(folder / fit.FINAL)
        apart.append(member.predict(db, verbose=0))
    assert np.abs(apart[0] - apart[1]).max() > 0.01
    np.testing.assert_allclose(both.predict(db, verbose=0), (apart[0] + apart[1]) / 2, atol=1e-5)
    further, _ = fit.fit_all(recipes, made_gtzan, split, tmp_path / "further", start=tmp_path)
    assert np.abs(further.predict(db, verbose=0) - both.predict(db, verbose=0)).max() > 1e-4
