"""Training: a recipe, the data and a seed become a network."""

import csv
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from core.constants import DB_FLOOR, GENRES
from training import networks
from training.data.augment import Augmenter
from training.data.gtzan import Gtzan
from training.data.splits import LoadedData, Subset, with_stretched
from training.recipes import TrainConfig

MONITORED: Final = "val_accuracy"
HISTORY: Final = "history.csv"
FINAL_WEIGHTS: Final = "final.weights.h5"


def strategy() -> tf.distribute.Strategy:
    """Distribute training over several machines (`TF_CONFIG`) or GPUs, where there are any."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def fit(
    recipe: TrainConfig,
    loaded: LoadedData,
    folder: Path,
    *,
    seed: int,
    start: Path | None = None,
    verbose: int = 2,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.Model:
    """Train a network, or resume an interrupted training.

    Args:
        recipe: how.
        loaded: the data and its split.
        folder: checkpoints, `history.csv` and the best weights; kept between calls.
        seed: of the training.
        start: weights to begin with; None initialises at random.
        verbose: 0 prints nothing, 1 a progress bar, 2 a line per epoch.
        callbacks: further Keras callbacks.

    Returns:
        The network with the weights of the best epoch, or the last ones if the recipe has no patience.
    """
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    train = training_batches(recipe, loaded, seed)
    validation = loaded.split.valid
    valid = _segment_batches(validation, loaded.gtzan, recipe.batch_size) if len(validation) else None
    with scope():
        model = recipe.network()
        if start:
            model.load_weights(start)
        _compile(model, recipe, steps=recipe.epochs * int(train.cardinality()))
    history = folder / HISTORY
    best = BestWeights(folder, history, recipe.patience) if recipe.patience is not None else None
    active = [*callbacks, keras.callbacks.CSVLogger(history, append=True)]
    if best:
        active.append(best)
    if recipe.augment:
        # Validation uses the averaged weights, which are the ones that are kept.
        active.append(keras.callbacks.SwapEMAWeights())
    active.append(keras.callbacks.BackupAndRestore(folder / "checkpoint", delete_checkpoint=False))
    if best is None or not best.finished:
        model.fit(train, validation_data=valid, epochs=recipe.epochs, callbacks=active, verbose=verbose)
    if best:
        model.load_weights(best.path)
    model.save_weights(folder / FINAL_WEIGHTS)
    return model


def fit_all(
    recipes: Sequence[TrainConfig], loaded: LoadedData, folder: Path, *, seed: int, start: Path | None = None
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train the networks of several recipes one after the other, each with a seed of its own.

    Args:
        recipes: one per network.
        loaded: the data and its split.
        folder: as for `fit`; several networks have a folder each in it (`member_folders`).
        seed: of the first network; each further one's is greater by 1.
        start: folder of an earlier `fit_all` of the same networks, whose final weights these begin with.

    Returns:
        Their average, and the rows of `read_history` for each, with the number of the network as `network`.
    """
    members, history = [], []
    folders = member_folders(recipes, folder)
    starts = [None] * len(recipes) if start is None else [f / FINAL_WEIGHTS for f in member_folders(recipes, start)]
    for number, (recipe, member_folder, weights) in enumerate(zip(recipes, folders, starts, strict=True)):
        members.append(fit(recipe, loaded, member_folder, seed=seed + number, start=weights))
        history += [{"network": float(number), **row} for row in read_history(member_folder / HISTORY)]
    return networks.averaged(members), history


def member_folders(recipes: Sequence[TrainConfig], folder: Path) -> list[Path]:
    """Folder of each network's checkpoints in a run."""
    return [folder] if len(recipes) == 1 else [folder / f"network-{number}" for number in range(len(recipes))]


def scope() -> AbstractContextManager[Any]:
    """Context in which variables are created as `strategy` needs them."""
    context: AbstractContextManager[Any] = strategy().scope()
    return context


def training_batches(recipe: TrainConfig, loaded: LoadedData, seed: int) -> tf.data.Dataset:
    """Batches of dB and one-hot genres, shuffled anew each epoch."""
    gtzan = loaded.gtzan
    train = with_stretched(loaded.split.train) if recipe.stretched else loaded.split.train
    if recipe.augment is None:
        return _segment_batches(train, gtzan, recipe.batch_size, shuffle_seed=seed)
    genres = np.eye(len(GENRES), dtype=np.float32)[train.labels(gtzan)]
    batches = (
        tf.data.Dataset.from_tensor_slices((train.track, genres))
        .shuffle(len(train), seed=seed)
        .batch(recipe.batch_size, drop_remainder=len(train) > recipe.batch_size)
    )
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    augmenter = Augmenter(gtzan.frames, recipe.augment)
    return tf.data.Dataset.zip(batches, seeds).map(lambda batch, s: augmenter(batch[0], batch[1], s)).prefetch(4)


def _segment_batches(subset: Subset, gtzan: Gtzan, batch_size: int, shuffle_seed: int | None = None) -> tf.data.Dataset:
    genres = np.eye(len(GENRES), dtype=np.float32)[subset.labels(gtzan)]
    segments = tf.data.Dataset.from_tensor_slices((subset.segments(gtzan), genres))
    if shuffle_seed is not None:
        segments = segments.shuffle(len(subset), seed=shuffle_seed)
    batches = segments.batch(batch_size).map(lambda mel, genre: (_dequantised(mel), genre))
    return batches.prefetch(4)


def _dequantised(mel: tf.Tensor) -> tf.Tensor:
    """`gtzan.to_db` as a graph function."""
    return tf.cast(mel, tf.float32) * (-DB_FLOOR / 255) + DB_FLOOR


def _compile(model: keras.Model, recipe: TrainConfig, steps: int) -> None:
    if recipe.augment is None:
        optimizer = keras.optimizers.Adam(recipe.learning_rate)
        loss = keras.losses.CategoricalCrossentropy()
    else:
        warm_up = steps // 12
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=recipe.learning_rate, warmup_steps=warm_up
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.08, use_ema=True, ema_momentum=recipe.ema_momentum)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(optimizer, loss, metrics=["accuracy"])


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Keeps the best epoch's weights and stops when no better one follows, also across interruptions.

    Unlike Keras's `EarlyStopping` it knows the epochs before an interruption.

    Args:
        folder: where the weights are kept.
        history: file of `CSVLogger`.
        patience: epochs to wait for a better one.
    """

    def __init__(self, folder: Path, history: Path, patience: int) -> None:
        super().__init__()
        self.path = folder / "best.weights.h5"
        self._patience = patience
        self._values = _past_values(history)

    @property
    def finished(self) -> bool:
        """Whether the best epoch is `patience` epochs ago."""
        best = max(self._values, key=self._values.__getitem__, default=0)
        return max(self._values, default=0) - best >= self._patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the weights if the epoch is the best so far; stop if patience is exhausted."""
        value = float((logs or {})[MONITORED])
        if value > max(self._values.values(), default=-np.inf):
            self.model.save_weights(self.path)
        self._values[epoch] = value
        if self.finished:
            self.model.stop_training = True


def _past_values(history: Path) -> dict[int, float]:
    return {int(row["epoch"]): row[MONITORED] for row in read_history(history)}


def read_history(history: Path) -> list[dict[str, float]]:
    """Read the file of `CSVLogger`: a row per epoch with `epoch`, `accuracy`, `loss` and those of validation."""
    if not history.is_file():
        return []
    with history.open(newline="") as lines:
        # CSVLogger writes NA where an epoch lacks a column.
        rows = list(csv.DictReader(lines))
        return [{key: float(value) for key, value in row.items() if value not in ("", "NA")} for row in rows]
