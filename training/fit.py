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
    verbose: int = 2,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.Model:
    """Train a network, or resume an interrupted training.

    Args:
        recipe: how.
        loaded: the data and its split.
        folder: checkpoints, `history.csv` and the best weights; kept between calls.
        seed: of the training.
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
        optimizer = keras.optimizers.Adam(recipe.learning_rate)
        model.compile(optimizer, keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    history = folder / HISTORY
    best = BestWeights(folder, history, recipe.patience) if recipe.patience is not None else None
    active = [*callbacks, keras.callbacks.CSVLogger(history, append=True)]
    if best:
        active.append(best)
    active.append(keras.callbacks.BackupAndRestore(folder / "checkpoint", delete_checkpoint=False))
    if best is None or not best.finished:
        model.fit(train, validation_data=valid, epochs=recipe.epochs, callbacks=active, verbose=verbose)
    if best:
        model.load_weights(best.path)
    model.save_weights(folder / FINAL_WEIGHTS)
    return model


def scope() -> AbstractContextManager[Any]:
    """Context in which variables are created as `strategy` needs them."""
    context: AbstractContextManager[Any] = strategy().scope()
    return context


def training_batches(recipe: TrainConfig, loaded: LoadedData, seed: int) -> tf.data.Dataset:
    """Batches of dB and one-hot genres, shuffled anew each epoch."""
    train = with_stretched(loaded.split.train) if recipe.stretched else loaded.split.train
    return _segment_batches(train, loaded.gtzan, recipe.batch_size, shuffle_seed=seed)


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
