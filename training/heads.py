"""What stands on a student's trunk when it is served: fitted after the trunk is trained.

Hard labels teach a trunk artists; a probe on frozen features (Alain & Bengio 2016, arXiv:1610.01644) leaves it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]  # SciPy ships no types

from core.constants import GENRES, N_MELS
from training.data.augment import Augmenter
from training.data.other_sounds import Recordings, with_background
from training.data.teacher import Teacher
from training.distillation import DistillConfig, DistillData, distill_batches
from training.networks import HEAD_SCALE, Dense, music_head, trunk
from training.not_music import AUGMENT, sampling_weights

FloatArray = NDArray[np.float32]

PROBE_STEPS: Final = 400
"""Batches of augmented crops on which the probe is fitted."""

MUSIC_CROPS: Final = 40_000
MUSIC_EPOCHS: Final = 12

SHOWN_TAGS: Final = (
    *("Singing", "Male singing", "Female singing", "Choir", "Rapping", "Synthetic singing", "A capella", "Chant"),
    *("Electric guitar", "Acoustic guitar", "Bass guitar", "Steel guitar, slide guitar", "Banjo", "Mandolin"),
    *("Ukulele", "Piano", "Electric piano", "Organ", "Hammond organ", "Synthesizer", "Harpsichord", "Harp"),
    *("Drum kit", "Drum machine", "Percussion", "Scratching (performance technique)", "Beatboxing"),
    *("Orchestra", "String section", "Violin, fiddle", "Cello", "Double bass", "Brass instrument", "Trumpet"),
    *("Trombone", "Flute", "Saxophone", "Clarinet", "Harmonica", "Accordion", "Vibraphone"),
    *("Electronic music", "House music", "Techno", "Trance music", "Dubstep", "Drum and bass", "Ambient music"),
    *("Folk music", "Music of Latin America", "Gospel music", "Christian music", "Music of Africa", "Afrobeat"),
    *("Middle Eastern music", "Music of Bollywood", "Soul music", "Rhythm and blues", "Funk", "Soundtrack music"),
)
"""The first teacher's classes that are worth showing: voices, instruments, and genres outside the ten."""


@dataclass(frozen=True, eq=False)
class ProbeData:
    """Features of crops and their targets.

    Attributes:
        hidden: of the trunk, `(n, hidden)`.
        genre: probabilities, `(n, 10)`.
        is_song: whether a crop is of a real song and not of GTZAN, `(n,)`.
    """

    hidden: FloatArray
    genre: FloatArray
    is_song: NDArray[np.bool_]


def probe_data(student: keras.Model, data: DistillData, config: DistillConfig, seed: int) -> ProbeData:
    """Compute the features of augmented crops, none of them mixed, each genre as often as the others."""
    unmixed = replace(config, steps=PROBE_STEPS, augment=replace(config.augment, mixup=0.0))
    forward = tf.function(lambda db: student(db, training=False)["hidden"])
    pairs = [(forward(db).numpy(), targets.numpy()) for db, targets in distill_batches(data, unmixed, seed)]
    is_song = np.tile(np.arange(config.batch_size) >= config.batch_size - config.songs, len(pairs))
    targets = np.concatenate([target for _, target in pairs])
    return ProbeData(np.concatenate([hidden for hidden, _ in pairs]), targets[:, : len(GENRES)], is_song)


def fit_probe(data: ProbeData, songs: float, penalty: float) -> Dense:
    """Fit a multinomial logistic regression to probabilities.

    Args:
        data: features and targets.
        songs: share of real songs in the loss, 0 to 1.
        penalty: of the squared weights, for features with mean 0 and standard deviation 1.
    """
    mean, spread = data.hidden.mean(axis=0), data.hidden.std(axis=0) + 1e-3
    x = ((data.hidden - mean) / spread).astype(np.float32)
    is_song = data.is_song
    weight = np.where(is_song, songs / max(is_song.mean(), 1e-9), (1 - songs) / max((~is_song).mean(), 1e-9))
    keep = weight > 0
    x, y, weight = x[keep], data.genre[keep], (weight[keep] / weight[keep].sum()).astype(np.float32)
    size, count = x.shape[1], len(GENRES)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        kernel, bias = flat[: size * count].reshape(size, count).astype(np.float32), flat[size * count :]
        logits = x @ kernel + bias.astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        error = (np.exp(logprobs) * y.sum(axis=1, keepdims=True) - y) * weight[:, np.newaxis]
        value = float(-(weight * (y * logprobs).sum(axis=1)).sum() + penalty / 2 * (kernel**2).sum())
        slope = np.concatenate([(x.T @ error + penalty * kernel).ravel(), error.sum(axis=0)])
        return value, slope.astype(np.float64)

    found = minimize(loss, np.zeros((size + 1) * count), jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    kernel, bias = found[: size * count].reshape(size, count), found[size * count :]
    return Dense(
        (kernel / spread[:, np.newaxis]).astype(np.float32),
        (bias - (mean / spread) @ kernel).astype(np.float32),
    )


def trained_head(student: keras.Model, name: str) -> Dense:
    """Give a head that the trunk was trained with: `genre` (logits) or `embedding` (mean variance 1)."""
    kernel, bias = student.get_layer(name).get_weights()
    return Dense(kernel * HEAD_SCALE, bias)


def tag_head(student: keras.Model, teacher: Teacher) -> Dense:
    """Give the logits of the shown tags, on the scale of the first teacher's."""
    head = trained_head(student, "classes")
    rows = [teacher.scale.classes.index(name) for name in shown_tags(teacher)]
    mean, spread = teacher.scale.mean[rows], teacher.scale.spread[rows]
    return Dense(head.kernel[:, rows] * spread, head.bias[rows] * spread + mean)


def shown_tags(teacher: Teacher) -> tuple[str, ...]:
    """Name the teacher's classes that are worth showing."""
    return tuple(name for name in SHOWN_TAGS if name in teacher.scale.classes)


def mixed_heads(parts: Sequence[tuple[float, Dense]]) -> Dense:
    """Add logits up, each with its weight."""
    kernel = sum(share * dense.kernel for share, dense in parts)
    bias = sum(share * dense.bias for share, dense in parts)
    return Dense(np.asarray(kernel, np.float32), np.asarray(bias, np.float32))


def fit_music_head(student: keras.Model, train: Recordings, seed: int, crops: int = MUSIC_CROPS) -> keras.Model:
    """Train a head on the frozen trunk to tell music from other sounds, on crops.

    Args:
        student: the trunk.
        train: the training recordings.
        seed: of the training.
        crops: number of augmented crops.
    """
    keras.utils.set_random_seed(seed)
    recordings = with_background(train, seed)
    frames = np.ascontiguousarray(recordings.mel.transpose(0, 2, 1)).reshape(-1, N_MELS)
    augmenter = Augmenter(frames, AUGMENT)
    chosen = np.random.default_rng(seed).choice(len(recordings), crops, p=sampling_weights(recordings))
    targets = recordings.is_music[chosen].astype(np.float32)[:, np.newaxis]
    features = trunk(student)

    @tf.function  # type: ignore[untyped-decorator]
    def crop_features(rows: tf.Tensor, target: tf.Tensor, pair: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        db, mixed_target = augmenter(rows, target, pair)
        outputs = features(db, training=False)
        return tf.concat([outputs["pooled"], outputs["hidden"]], axis=1), mixed_target

    inputs, labels = [], []
    for step, first in enumerate(range(0, crops, 64)):
        rows = slice(first, first + 64)
        x, y = crop_features(tf.constant(chosen[rows]), tf.constant(targets[rows]), tf.constant([seed, step], tf.int64))
        inputs.append(x.numpy())
        labels.append(y.numpy())
    x, y = np.concatenate(inputs), np.concatenate(labels)
    head = music_head(x.shape[1])
    steps = MUSIC_EPOCHS * max(len(x) // 256, 1)
    head.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(2e-3, steps), weight_decay=0.02),
        keras.losses.BinaryCrossentropy(label_smoothing=0.02),
        jit_compile=False,
    )
    head.fit(x, y, batch_size=256, epochs=MUSIC_EPOCHS, verbose=0)
    return head
