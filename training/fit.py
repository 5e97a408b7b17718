"""Training: a recipe, the data and a seed become a network."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.constants import DB_FLOOR, GENRES
from training.data.gtzan import Gtzan
from training.data.splits import LoadedData, Subset, with_stretched
from training.recipes import TrainConfig

MONITORED: Final = "val_accuracy"
HISTORY: Final = "history.csv"


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
        folder: checkpoints, `history.csv` and the best weights; kept between calls, so that an interrupted training
            continues as if it had not been.
        seed: of the training.
        verbose: 0 prints nothing, 1 a progress bar, 2 a line per epoch.
        callbacks: further Keras callbacks.

    Returns:
        The network with the weights of the best epoch, or the last ones if the recipe has no patience.
    """
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    order = EpochOrder(len(_training_subset(recipe, loaded)), recipe.batch_size, seed)
    train = training_batches(recipe, loaded, order)
    validation = loaded.split.valid
    valid = _validation_batches(validation, loaded.gtzan, recipe.batch_size) if len(validation) else None
    with scope():
        model = recipe.network()
        optimizer = keras.optimizers.Adam(recipe.learning_rate)
        model.compile(optimizer, keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    history = folder / HISTORY
    best = BestWeights(folder, history, recipe.patience) if recipe.patience is not None else None
    # In this order, so that an interruption between two of them loses nothing: the epoch is repeated, alike.
    active = [
        *callbacks,
        order,
        *([best] if best else []),
        keras.callbacks.CSVLogger(history, append=True),
        keras.callbacks.BackupAndRestore(folder / "checkpoint", double_checkpoint=True, delete_checkpoint=False),
    ]
    if best is None or not best.finished:
        model.fit(train, validation_data=valid, epochs=recipe.epochs, callbacks=active, verbose=verbose)
    if best:
        model.load_weights(best.path)
    return model


def scope() -> AbstractContextManager[Any]:
    """Context in which variables are created as `strategy` needs them."""
    context: AbstractContextManager[Any] = strategy().scope()
    return context


class EpochOrder(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Makes an epoch's order and dropout depend on the seed and the epoch alone.

    A training that was interrupted thereby continues as it would have without; with the state of a generator, which no
    checkpoint holds, each resumption would begin with the first epoch's order and masks again.

    Args:
        segments: number of them.
        batch_size: of the batches.
        seed: of the training.
    """

    def __init__(self, segments: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self._segments, self._batch_size, self._seed = segments, batch_size, seed
        self._epoch = 0

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self._segments // self._batch_size)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the epoch; each dropout's counter goes up by one with each batch."""
        self._epoch = epoch
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                state = layer.seed_generator.state
                state.assign([int(keras.ops.convert_to_numpy(state)[0]), epoch * len(self)])

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """Yield the positions of each batch's segments."""
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._segments)
        for first in range(0, self._segments, self._batch_size):
            yield order[first : first + self._batch_size]


def training_batches(recipe: TrainConfig, loaded: LoadedData, order: EpochOrder) -> tf.data.Dataset:
    """Batches of dB and one-hot genres, shuffled anew each epoch."""
    mel, genres = _segments(_training_subset(recipe, loaded), loaded.gtzan)
    positions = tf.data.Dataset.from_generator(order.batches, output_signature=tf.TensorSpec((None,), tf.int64))
    batches = positions.apply(tf.data.experimental.assert_cardinality(len(order)))
    return _with_fixed_threads(
        batches.map(lambda chosen: (_dequantised(tf.gather(mel, chosen)), tf.gather(genres, chosen))).prefetch(4)
    )


def _training_subset(recipe: TrainConfig, loaded: LoadedData) -> Subset:
    return with_stretched(loaded.split.train) if recipe.stretched else loaded.split.train


def _validation_batches(subset: Subset, gtzan: Gtzan, batch_size: int) -> tf.data.Dataset:
    segments = tf.data.Dataset.from_tensor_slices(_segments(subset, gtzan)).batch(batch_size)
    return _with_fixed_threads(segments.map(lambda mel, genres: (_dequantised(mel), genres)).prefetch(4))


def _with_fixed_threads(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch tf.data's autotuning off: its thread sleeps for up to ten seconds, and each epoch's end waits for it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _segments(subset: Subset, gtzan: Gtzan) -> tuple[tf.Tensor, tf.Tensor]:
    """Spectrograms, uint8 `(n, N_MELS, SEGMENT_FRAMES)`, and one-hot genres of a subset."""
    genres = np.eye(len(GENRES), dtype=np.float32)[subset.labels(gtzan)]
    with tf.device("CPU"):  # they may not fit a GPU
        return tf.constant(subset.segments(gtzan)), tf.constant(genres)


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
        self._values = monitored_values(read_history(history))

    @property
    def finished(self) -> bool:
        """Whether the best epoch is `patience` epochs ago."""
        return epochs_since_best(self._values) >= self._patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the weights if the epoch is the best so far; stop if patience is exhausted."""
        value = float((logs or {})[MONITORED])
        if value > max(self._values.values(), default=-np.inf):
            part = self.path.with_name(f"part.{self.path.name}")
            self.model.save_weights(part)
            part.replace(self.path)
        self._values[epoch] = value
        if self.finished:
            self.model.stop_training = True


def epochs_since_best(values: Mapping[int, float]) -> int:
    """Count the epochs after the best one, of the monitored value of each epoch."""
    return max(values, default=0) - max(values, key=values.__getitem__, default=0)


def monitored_values(history: Sequence[Mapping[str, float]]) -> dict[int, float]:
    """Pick the monitored value of each epoch of a history."""
    return {int(row["epoch"]): row[MONITORED] for row in history}


def read_history(history: Path) -> list[dict[str, float]]:
    """Read a training's history: a row per epoch (`CSVLogger`'s), or per checkpoint of a distillation.

    Of an epoch that was repeated after an interruption the last row counts.
    """
    if not history.is_file():
        return []
    with history.open(newline="") as lines:
        # CSVLogger writes NA where an epoch lacks a column.
        rows = {row.get("epoch", row.get("step")): row for row in csv.DictReader(lines)}
        return [{key: float(value) for key, value in row.items() if value not in ("", "NA")} for row in rows.values()]
