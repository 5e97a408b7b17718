"""Training a student network on two teachers' outputs (`data.teacher`) and on labels.

Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531) of logits and of an embedding, on augmented crops: the
teacher's output for the clean crop is the target for the augmented one. Every step is drawn from the seed and its own
number alone, so that an interrupted training ends with the same weights as one that was not.
"""

import csv
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.constants import GENRES, N_MELS, SECTION_FRAMES, SEGMENT_FRAMES
from training.data.augment import AugmentConfig, WindowAugmenter
from training.data.gtzan import Gtzan
from training.data.splits import Subset
from training.data.teacher import CROP_COLUMNS, MARGIN, Targets, Teacher
from training.fit import HISTORY
from training.networks import student_network

FloatArray = NDArray[np.float32]

FINAL_WEIGHTS: Final = "final.weights.h5"
CHECKPOINT: Final = "checkpoint.npz"
CHECKPOINT_STEPS: Final = 250
"""Steps between two checkpoints, at which the network is measured too."""

LOSSES: Final = ("genre", "classes", "embedding", "tags")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DistillConfig:
    """How a student is trained.

    Attributes:
        steps: number of steps.
        batch_size: crops per step.
        songs: how many of them are of real songs; the others are of GTZAN.
        learning_rate: peak of AdamW's; it rises for a twentieth of the steps and falls as a cosine.
        weight_decay: of the kernels.
        ema_momentum: of the exponential moving average of the weights, which is what is kept.
        genre: weight of the cross-entropy of the ten genres.
        label: share of the label in the target of GTZAN's crops; the rest is the teacher's cross-fitted guess.
        classes: weight of the squared error of the first teacher's standardised logits.
        genre_classes: how much more a class counts that means one of the ten genres.
        embedding: weight of the squared error of the embedding, relative to its variance.
        tags: weight of the squared error of the second teacher's standardised logits.
        augment: how strongly crops are augmented.
        widths: of the network, as for `student_network`.
    """

    steps: int = 3_000
    batch_size: int = 64
    songs: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.03
    ema_momentum: float = 0.995
    genre: float = 0.4
    label: float = 0.75
    classes: float = 0.6
    genre_classes: float = 3.0
    embedding: float = 1.5
    tags: float = 0.3
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            stretch=1.2,
            semitones=3.0,
            equaliser_db=7.0,
            floors_db=(48.0, 80.0),
            dynamics=1.25,
            bands=20,
            frames=10,
            mixup=0.5,
            mixed=0.5,
        )
    )
    widths: tuple[int, ...] = (192, 192, 192, 256)


LABELS_ONLY: Final[dict[str, Any]] = {
    "songs": 0,
    "label": 1.0,
    "genre": 1.0,
    "classes": 0.0,
    "embedding": 0.0,
    "tags": 0.0,
}
"""What differs in a `DistillConfig` where the labels are the only targets, for comparison."""


@dataclass(frozen=True, eq=False)
class DistillData:
    """What a student is trained on.

    Attributes:
        frames: uint8 `(n_frames, N_MELS)`: the frames of all recordings.
        windows: of each crop, as `WindowAugmenter` takes them, int64 `(n, 3)`.
        targets: all targets of a crop in one row, see `HeadSizes`.
        song: song of each crop, numbered over both collections, `(n,)`.
        genre: of each song, probabilities by which it is drawn, `(songs, 10)`; a row of zeros is never drawn.
        gtzan: how many of the songs are GTZAN's tracks; they come first.
    """

    frames: NDArray[np.uint8]
    windows: NDArray[np.int64]
    targets: FloatArray
    song: NDArray[np.int64]
    genre: FloatArray
    gtzan: int


@dataclass(frozen=True)
class HeadSizes:
    """Sizes of a student's heads; without a teacher there is none but the genres'.

    In a row of targets they stand in the order of `widths`.
    """

    classes: int = 0
    embedding: int = 0
    tags: int = 0

    @classmethod
    def of(cls, teacher: Teacher | None) -> "HeadSizes":
        """Sizes of a teacher's outputs."""
        if teacher is None:
            return cls()
        scale = teacher.scale
        return cls(len(scale.classes), teacher.songs.targets.embedding.shape[1], len(scale.tags))

    @property
    def widths(self) -> list[int]:
        """Columns of `genre`, `classes`, `embedding`, `tags` and `tagged` in a row of targets."""
        return [len(GENRES), self.classes, self.embedding, self.tags, 1]


def _rows(genre: FloatArray, targets: Targets) -> FloatArray:
    """Put all targets of a crop into one row, so that mixup mixes them alike."""
    tagged = targets.tagged[:, np.newaxis].astype(np.float32)
    return np.concatenate([genre, targets.classes, targets.embedding, targets.tags, tagged], axis=1)


def gather(gtzan: Gtzan, train: Subset, teacher: Teacher | None, label: float) -> DistillData:
    """Gather the crops of GTZAN's training tracks, and all real songs.

    Args:
        gtzan: the tracks.
        train: the training subset; targets of other tracks are not used.
        teacher: targets of both; None takes labels only, and no songs.
        label: as in `DistillConfig`.
    """
    tracks = train.tracks
    if teacher is None:
        starts = np.arange(0, SECTION_FRAMES - SEGMENT_FRAMES + 1, CROP_COLUMNS)
        track, start = np.repeat(tracks, len(starts)), np.tile(starts, len(tracks))
        nothing = np.zeros((len(track), 0), np.float32)
        guess = np.zeros((len(track), len(GENRES)), np.float32)
        targets = Targets(guess, nothing, nothing, nothing, np.zeros(len(track), bool))
        label = 1.0
    else:
        chosen = np.flatnonzero(np.isin(teacher.crops.track, tracks))
        track, start, targets = teacher.crops.track[chosen], teacher.crops.start[chosen], teacher.crops.targets[chosen]
    one_hot = np.eye(len(GENRES), dtype=np.float32)[gtzan.labels]
    rows = _rows(label * one_hot[track] + (1 - label) * targets.genre, targets)
    windows = np.stack([track * SECTION_FRAMES, np.full(len(track), SECTION_FRAMES), 2 * start + SEGMENT_FRAMES - 1], 1)
    drawn = np.zeros((len(gtzan), len(GENRES)), np.float32)
    drawn[tracks] = one_hot[tracks]
    if teacher is None:
        return DistillData(gtzan.frames, windows.astype(np.int64), rows, track, drawn, len(gtzan))
    songs, length = teacher.songs, SEGMENT_FRAMES + 2 * MARGIN
    count = len(songs.song)
    first_rows = len(gtzan.frames) + np.arange(count) * length
    song_windows = np.stack([first_rows, np.full(count, length), np.full(count, length - 1)], 1)
    return DistillData(
        np.concatenate([gtzan.frames, np.ascontiguousarray(songs.mel.transpose(0, 2, 1)).reshape(-1, N_MELS)]),
        np.concatenate([windows, song_windows]).astype(np.int64),
        np.concatenate([rows, _rows(songs.targets.genre, songs.targets)]),
        np.concatenate([track, len(gtzan) + songs.song]),
        np.concatenate([drawn, songs.genre]),
        len(gtzan),
    )


def draw_crops(data: DistillData, config: DistillConfig, seed: int) -> NDArray[np.int64]:
    """Draw the crops of all steps, each genre as often as the others, by what is known of each song.

    Returns:
        Positions in `data.windows`, `(steps, batch_size)`.
    """
    generator = np.random.default_rng(seed)
    by_song = np.argsort(data.song, kind="stable")
    edges = np.searchsorted(data.song[by_song], np.arange(len(data.genre) + 1))
    counts = np.diff(edges)
    drawn = []
    for first, last, share in (
        (0, data.gtzan, config.batch_size - config.songs),
        (data.gtzan, len(data.genre), config.songs),
    ):
        if not share:
            continue
        genre = data.genre[first:last] * (counts[first:last, np.newaxis] > 0)
        chances = (genre / np.maximum(genre.sum(axis=0, keepdims=True), 1e-9)).sum(axis=1)
        songs = first + generator.choice(last - first, (config.steps, share), p=chances / chances.sum())
        drawn.append(by_song[edges[songs] + (generator.random(songs.shape) * counts[songs]).astype(np.int64)])
    return np.concatenate(drawn, axis=1)


def class_weights(names: tuple[str, ...], genre_classes: Mapping[str, tuple[str, ...]], factor: float) -> FloatArray:
    """Weigh the classes, 1 in the mean: those that mean one of the ten genres count `factor` times as much.

    Args:
        names: of the classes.
        genre_classes: genre → its classes.
        factor: how much more.
    """
    meant = {name for several in genre_classes.values() for name in several}
    weights = np.array([factor if name in meant else 1.0 for name in names], np.float32)
    scaled: FloatArray = weights / weights.mean()
    return scaled


def distill_batches(data: DistillData, config: DistillConfig, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """Batches of dB and targets from a step on."""
    drawn = draw_crops(data, config, seed)
    augmenter = WindowAugmenter(data.frames, config.augment, jitter=CROP_COLUMNS / 2)
    windows, targets = tf.constant(data.windows), tf.constant(data.targets)

    def crops(step: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pair = tf.stack([tf.constant(seed, tf.int64), step])
        return augmenter(tf.gather(windows, rows), tf.gather(targets, rows), pair)

    steps = np.arange(first_step, config.steps, dtype=np.int64)
    return tf.data.Dataset.from_tensor_slices((steps, drawn[first_step:])).map(crops).prefetch(4)


MeasureCallback = Callable[[keras.Model], Mapping[str, float]]
"""Called at each checkpoint with the averaged network; its figures go into the history."""


class Distillation:
    """A student in training.

    Args:
        data: what it is trained on.
        config: how.
        teacher: whose outputs the targets are; None for labels only.
        seed: of everything.
        folder: checkpoint, history and final weights; kept between calls.
    """

    def __init__(
        self, data: DistillData, config: DistillConfig, teacher: Teacher | None, seed: int, folder: Path
    ) -> None:
        keras.utils.set_random_seed(seed)
        self._data, self._config, self._seed, self._folder = data, config, seed, folder
        self._sizes = HeadSizes.of(teacher)
        self._class_weights = tf.constant(
            class_weights(teacher.scale.classes, teacher.genre_classes, config.genre_classes) if teacher else (1.0,)
        )
        self._student = self._network()
        self._averaged = self._network()
        self._averaged.set_weights(self._student.get_weights())
        warm_up = max(config.steps // 20, 1)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(config.steps - warm_up, 1), warmup_target=config.learning_rate, warmup_steps=warm_up
        )
        self._optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(self._student.trainable_variables)
        self._train_step = tf.function(self._step)
        self._done = 0

    def _network(self) -> keras.Model:
        sizes, config = self._sizes, self._config
        return student_network(sizes.classes, sizes.tags, sizes.embedding, widths=config.widths)

    def start_from(self, weights: Path) -> None:
        """Begin with a network's averaged weights instead of at random."""
        self._student.load_weights(weights)
        self._averaged.load_weights(weights)

    def run(self, measure: MeasureCallback | None = None) -> keras.Model:
        """Train, or resume an interrupted training; a finished one is not repeated.

        Returns:
            The network with its averaged weights.
        """
        final = self._folder / FINAL_WEIGHTS
        if final.is_file():
            self._averaged.load_weights(final)
            return self._averaged
        self._folder.mkdir(parents=True, exist_ok=True)
        self._restore()
        began, losses = time.monotonic(), []
        for db, targets in distill_batches(self._data, self._config, self._seed, self._done):
            losses.append(self._train_step(db, targets))
            self._done += 1
            if self._done % CHECKPOINT_STEPS == 0 or self._done == self._config.steps:
                row = dict(zip(LOSSES, np.mean(losses, axis=0).tolist(), strict=True))
                row |= measure(self._averaged) if measure else {}
                row["seconds"] = time.monotonic() - began
                figures = " ".join(f"{name} {value:.4f}" for name, value in row.items())
                _log.info("%s step %d: %s", self._folder.name, self._done, figures)
                self._save(row)
                began, losses = time.monotonic(), []
        self._averaged.save_weights(final)
        return self._averaged

    def _step(self, db: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        config = self._config
        genre, classes, embedding, tags, tagged = tf.split(targets, self._sizes.widths, axis=1)
        errors = dict.fromkeys(LOSSES, tf.constant(0.0))
        with tf.GradientTape() as tape:
            outputs = self._student(db, training=True)
            errors["genre"] = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(genre, outputs["genre"]))
            if config.classes:
                errors["classes"] = tf.reduce_mean(self._class_weights * tf.square(outputs["classes"] - classes))
            if config.embedding:
                errors["embedding"] = tf.reduce_mean(tf.square(outputs["embedding"] - embedding))
            if config.tags:
                # A mixture with a crop that has no logits of the second teacher has no such target.
                has_tags = tf.cast(tagged > 0.999, tf.float32)
                error = tf.reduce_sum(has_tags * tf.square(outputs["tags"] - tags))
                errors["tags"] = error / (tf.maximum(tf.reduce_sum(has_tags), 1.0) * self._sizes.tags)
            losses = tf.stack([errors[name] for name in LOSSES])
            weights = tf.constant([config.genre, config.classes, config.embedding, config.tags])
            loss = tf.reduce_sum(losses * weights)
        variables = self._student.trainable_variables
        # A head without weight in the loss has no gradient; weight decay still applies to it.
        gradients = zip(tape.gradient(loss, variables), variables, strict=True)
        self._optimizer.apply([tf.zeros_like(v.value) if g is None else g for g, v in gradients], variables)
        share = 1 - config.ema_momentum
        for mean, latest in zip(self._averaged.variables, self._student.variables, strict=True):
            if mean.dtype == "float32":
                mean.assign_add(share * (latest - mean))
        return losses

    def _state(self) -> list[keras.Variable]:
        return [*self._student.variables, *self._averaged.variables, *self._optimizer.variables]

    def _save(self, row: Mapping[str, float]) -> None:
        part = self._folder / "checkpoint.part.npz"
        values = {str(i): keras.ops.convert_to_numpy(v) for i, v in enumerate(self._state())}
        np.savez(part, step=self._done, **values)
        part.replace(self._folder / CHECKPOINT)
        history = self._folder / HISTORY
        is_new = not history.is_file()
        with history.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, ("step", *row))
            if is_new:
                writer.writeheader()
            writer.writerow({"step": self._done, **{name: round(value, 5) for name, value in row.items()}})

    def _restore(self) -> None:
        checkpoint = self._folder / CHECKPOINT
        if not checkpoint.is_file():
            return
        with np.load(checkpoint) as archive:
            for i, variable in enumerate(self._state()):
                variable.assign(archive[str(i)])
            self._done = int(archive["step"])


def predict_outputs(student: keras.Model, segments: FloatArray, batch_size: int = 64) -> dict[str, FloatArray]:
    """Run a student on segments, dB `(n, N_MELS, SEGMENT_FRAMES)`; gives all its outputs by name."""
    outputs: dict[str, list[FloatArray]] = {}
    forward = tf.function(lambda db: student(db, training=False), reduce_retracing=True)
    for first in range(0, len(segments), batch_size):
        for name, output in forward(tf.constant(segments[first : first + batch_size])).items():
            outputs.setdefault(name, []).append(output.numpy())
    return {name: np.concatenate(parts) for name, parts in outputs.items()}
