"""Training: a recipe, a split and a seed become a network."""

import csv
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from core.constants import DB_FLOOR, GENRES
from training import networks
from training.data.augment import AugmentConfig, Augmenter
from training.data.gtzan import Gtzan
from training.data.splits import Split, Subset, with_stretched

MONITORED: Final = "val_accuracy"
HISTORY: Final = "history.csv"
FINAL: Final = "final.weights.h5"


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Attributes:
        network: makes it.
        epochs: at most so many.
        patience: epochs without a better validation accuracy after which training ends with the best epoch's
            weights; None trains all epochs and keeps the last weights.
        batch_size: segments a step.
        stretched: whether the training tracks' time-stretched copies are added, as the study did.
        strength: of the augmentation of random crops, on the fly; None learns from the segments as they are.
        learning_rate: of Adam, or the peak of the cosine schedule where crops are augmented.
        averaging: momentum of the running mean of the weights, which is what is kept where crops are augmented.
    """

    network: Callable[[], keras.Model]
    epochs: int
    patience: int | None
    batch_size: int
    stretched: bool = False
    strength: AugmentConfig | None = None
    learning_rate: float = 1e-3
    averaging: float = 0.995


_GENIE: Final = TrainConfig(
    networks.genie_network, epochs=48, patience=None, batch_size=32, strength=AugmentConfig(), learning_rate=2e-3
)

RECIPES: Final[dict[str, tuple[TrainConfig, ...]]] = {
    "plain": (TrainConfig(networks.study_cnn, epochs=8, patience=3, batch_size=32, learning_rate=2e-4),),
    "augmented": (
        TrainConfig(networks.study_cnn, epochs=3, patience=2, batch_size=32, stretched=True, learning_rate=2e-4),
    ),
    "genie": (_GENIE, replace(_GENIE, strength=AugmentConfig(dynamics=1.5, style=0.8))),
}
"""A network for each recipe; where there are several, their answers are averaged (`networks.averaged`)."""

FINETUNE: Final = tuple(replace(recipe, epochs=8, learning_rate=1e-3) for recipe in RECIPES["genie"])
"""How the shipped genie goes on from the held-out one's weights, with all tracks that are no known faults."""


def strategy() -> tf.distribute.Strategy:
    """Spread training over several machines (`TF_CONFIG`) or several GPUs where there are any."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def fit(
    recipe: TrainConfig,
    data: Gtzan,
    split: Split,
    folder: Path,
    verbose: int = 2,
    watchers: Sequence[keras.callbacks.Callback] = (),
    start: Path | None = None,
) -> keras.Model:
    """Train a network, or go on where an interrupted training stopped.

    Args:
        recipe: how.
        data: the tracks.
        split: what is learned from and chosen on; its seed is the training's.
        folder: checkpoints, `history.csv` and the best weights; kept between calls.
        verbose: 0 prints nothing, 1 a progress bar, 2 a line an epoch.
        watchers: told of each epoch.
        start: weights to begin with; None begins at random.

    Returns:
        The network with the weights that validation chose, or the last ones.
    """
    keras.utils.set_random_seed(split.seed)
    folder.mkdir(parents=True, exist_ok=True)
    train = training_batches(recipe, data, split)
    valid = _segment_batches(split.valid, data, recipe.batch_size) if len(split.valid) else None
    with scope():
        model = recipe.network()
        if start:
            model.load_weights(start)
        _compile(model, recipe, steps=recipe.epochs * int(train.cardinality()))
    history = folder / HISTORY
    best = BestWeights(folder, history, recipe.patience) if recipe.patience is not None else None
    callbacks = [*watchers, keras.callbacks.CSVLogger(history, append=True)]
    if best:
        callbacks.append(best)
    if recipe.strength:
        # Validation hears the mean weights, which are the ones that are kept.
        callbacks.append(keras.callbacks.SwapEMAWeights())
    callbacks.append(keras.callbacks.BackupAndRestore(folder / "checkpoint", delete_checkpoint=False))
    if best is None or not best.finished:
        model.fit(train, validation_data=valid, epochs=recipe.epochs, callbacks=callbacks, verbose=verbose)
    if best:
        model.load_weights(best.path)
    model.save_weights(folder / FINAL)
    return model


def fit_all(
    recipes: Sequence[TrainConfig], data: Gtzan, split: Split, folder: Path, start: Path | None = None
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train the network of each recipe, one after the other, with a seed of its own.

    Args:
        recipes: of the networks.
        data: the tracks.
        split: as for `fit`.
        folder: as for `fit`; several networks have a folder each in it (`member_folders`).
        start: folder of an earlier `fit_all` of such networks, from whose last weights these go on.

    Returns:
        Their average, and what `read_history` gives for each, with the number of the network as `network`.
    """
    members, history = [], []
    places = member_folders(recipes, folder)
    starts = [None] * len(recipes) if start is None else [place / FINAL for place in member_folders(recipes, start)]
    for number, (recipe, place, first) in enumerate(zip(recipes, places, starts, strict=True)):
        members.append(fit(recipe, data, replace(split, seed=split.seed + number), place, start=first))
        history += [{"network": float(number), **row} for row in read_history(place / HISTORY)]
    return networks.averaged(members), history


def member_folders(recipes: Sequence[TrainConfig], folder: Path) -> list[Path]:
    """Where each network of a run keeps its checkpoints."""
    return [folder] if len(recipes) == 1 else [folder / f"network-{number}" for number in range(len(recipes))]


def scope() -> AbstractContextManager[Any]:
    """Variables made in it live where `strategy` wants them."""
    context: AbstractContextManager[Any] = strategy().scope()
    return context


def training_batches(recipe: TrainConfig, data: Gtzan, split: Split) -> tf.data.Dataset:
    """Batches of dB and one-hot genres, in another order each epoch."""
    part = with_stretched(split.train) if recipe.stretched else split.train
    if recipe.strength is None:
        return _segment_batches(part, data, recipe.batch_size, shuffle_seed=split.seed)
    genres = np.eye(len(GENRES), dtype=np.float32)[part.labels(data)]
    batches = (
        tf.data.Dataset.from_tensor_slices((part.track, genres))
        .shuffle(len(part), seed=split.seed)
        .batch(recipe.batch_size, drop_remainder=len(part) > recipe.batch_size)
    )
    seeds = tf.data.Dataset.random(split.seed, rerandomize_each_iteration=True).batch(2)
    augmenter = Augmenter(data.frames, recipe.strength)
    return tf.data.Dataset.zip(batches, seeds).map(lambda batch, seed: augmenter(batch[0], batch[1], seed)).prefetch(4)


def _segment_batches(part: Subset, data: Gtzan, batch_size: int, shuffle_seed: int | None = None) -> tf.data.Dataset:
    genres = np.eye(len(GENRES), dtype=np.float32)[part.labels(data)]
    segments = tf.data.Dataset.from_tensor_slices((part.segments(data), genres))
    if shuffle_seed is not None:
        segments = segments.shuffle(len(part), seed=shuffle_seed)
    batches = segments.batch(batch_size).map(lambda mel, genre: (_dequantised(mel), genre))
    return batches.prefetch(4)


def _dequantised(mel: tf.Tensor) -> tf.Tensor:
    """Do in the graph what `gtzan.to_db` does."""
    return tf.cast(mel, tf.float32) * (-DB_FLOOR / 255) + DB_FLOOR


def _compile(model: keras.Model, recipe: TrainConfig, steps: int) -> None:
    if recipe.strength is None:
        optimizer = keras.optimizers.Adam(recipe.learning_rate)
        loss = keras.losses.CategoricalCrossentropy()
    else:
        warm_up = steps // 12
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=recipe.learning_rate, warmup_steps=warm_up
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.08, use_ema=True, ema_momentum=recipe.averaging)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(optimizer, loss, metrics=["accuracy"])


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Keeps the best epoch's weights and stops when no better one comes, also across an interruption.

    Args:
        folder: where the weights are kept.
        history: what `CSVLogger` writes, from which the epochs before an interruption are known.
        patience: epochs without a better one.
    """

    def __init__(self, folder: Path, history: Path, patience: int) -> None:
        super().__init__()
        self.path = folder / "best.weights.h5"
        self._patience = patience
        self._values = _past_values(history)

    @property
    def finished(self) -> bool:
        """Whether no better epoch has come for as long as patience lasts."""
        best = max(self._values, key=self._values.__getitem__, default=0)
        return max(self._values, default=0) - best >= self._patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Compare."""
        value = float((logs or {})[MONITORED])
        if value > max(self._values.values(), default=-np.inf):
            self.model.save_weights(self.path)
        self._values[epoch] = value
        if self.finished:
            self.model.stop_training = True


def _past_values(history: Path) -> dict[int, float]:
    return {int(row["epoch"]): row[MONITORED] for row in read_history(history)}


def read_history(history: Path) -> list[dict[str, float]]:
    """Read what `CSVLogger` wrote: a row an epoch, from `epoch`, `accuracy` and `loss` to those of validation."""
    if not history.is_file():
        return []
    with history.open(newline="") as lines:
        # CSVLogger writes NA where an epoch lacks a column.
        rows = list(csv.DictReader(lines))
        return [{key: float(value) for key, value in row.items() if value not in ("", "NA")} for row in rows]
