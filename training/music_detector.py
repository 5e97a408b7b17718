"""The music detector: a second, smaller model that tells music from other sounds."""

from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.constants import N_MELS
from training import networks
from training.data.augment import AugmentConfig, Augmenter
from training.data.other_sounds import Recordings, with_background
from training.fit import scope

AUGMENT: Final = AugmentConfig(
    stretch=1.2, semitones=2.0, equaliser_db=9.0, floors_db=(40.0, 80.0), narrow=0.5, bands=20, frames=8, mixup=0.0
)
EPOCHS: Final = 28
EPOCH_CROPS: Final = 6_000
BATCH: Final = 64
MAX_MUSIC_REFUSED: Final = 0.01
"""Share of the validation music that may be refused."""


def fit_music_detector(train: Recordings, seed: int, folder: Path, verbose: int = 2) -> keras.Model:
    """Train the detector, or resume an interrupted training.

    Half of each batch is music, and each class of other sounds is as frequent as the others.

    Args:
        train: the training recordings.
        seed: of the training.
        folder: checkpoints.
        verbose: 0 prints nothing, 1 a progress bar, 2 a line per epoch.
    """
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    mixed = with_background(train, seed)
    frames = np.ascontiguousarray(mixed.mel.transpose(0, 2, 1)).reshape(-1, N_MELS)
    augmenter = Augmenter(frames, AUGMENT)
    draws = np.random.default_rng(seed).choice(len(mixed), EPOCHS * EPOCH_CROPS, p=sampling_weights(mixed))
    targets = mixed.is_music[draws].astype(np.float32)[:, np.newaxis]
    batches = tf.data.Dataset.from_tensor_slices((draws, targets)).batch(BATCH, drop_remainder=True).repeat()
    seeds = tf.data.Dataset.random(seed).batch(2)
    crops = tf.data.Dataset.zip(batches, seeds).map(lambda b, s: augmenter(b[0], b[1], s)).prefetch(4)
    steps = EPOCH_CROPS // BATCH
    with scope():
        model = networks.music_network()
        schedule = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * steps)
        model.compile(
            keras.optimizers.AdamW(schedule, weight_decay=0.02),
            keras.losses.BinaryCrossentropy(label_smoothing=0.02),
            metrics=["accuracy"],
        )
    backup = keras.callbacks.BackupAndRestore(folder / "checkpoint", delete_checkpoint=False)
    model.fit(crops, epochs=EPOCHS, steps_per_epoch=steps, callbacks=[backup], verbose=verbose)
    return model


def sampling_weights(recordings: Recordings) -> NDArray[np.float64]:
    """Give the share of draws of each recording, `(n,)`: half is music, each class of other sounds alike."""
    classes = recordings.classes
    weights = np.zeros(len(recordings))
    others = np.unique(classes[~recordings.is_music])
    for name in others:
        # Speech is what is posted most.
        share = 0.2 if name == "speech" else 0.3 / max(len(others) - 1, 1)
        weights[classes == name] = share / (classes == name).sum()
    archive = np.array([label == "gtzan/archive" for label in recordings.labels])
    rest = recordings.is_music & ~archive
    weights[archive] = (0.35 if rest.any() else 0.5) / max(archive.sum(), 1)
    weights[rest] = 0.15 / max(rest.sum(), 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def recording_probabilities(probabilities: NDArray[np.float32], recording: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average the segments' probabilities of each recording, which is what serving compares with the threshold.

    Args:
        probabilities: of music, `(n_segments, 1)`.
        recording: position of each segment's recording, `(n_segments,)`.
    """
    return np.array([probabilities[recording == i, 0].mean() for i in np.unique(recording)], np.float64)


def choose_threshold(music: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Choose the threshold on validation.

    Where the two overlap, it is the highest that refuses at most `MAX_MUSIC_REFUSED` of the music; where they don't, it
    lies midway between them.

    Args:
        music: probabilities of the music.
        other: probabilities of the other sounds.
    """
    lowest_music = float(np.quantile(music, MAX_MUSIC_REFUSED, method="lower"))
    highest_other = float(np.quantile(other, 1 - MAX_MUSIC_REFUSED, method="higher"))
    return lowest_music if lowest_music <= highest_other else (lowest_music + highest_other) / 2


def refusals(recordings: Recordings, probabilities: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Count the recordings that are refused as not music: in total, by class, and by class and codec."""
    refused = probabilities < threshold
    by_label: dict[str, dict[str, int]] = {}
    by_class: dict[str, dict[str, int]] = {}
    for label, name, is_refused in zip(recordings.labels, recordings.classes, refused, strict=True):
        for row in (
            by_label.setdefault(label, {"recordings": 0, "refused": 0}),
            by_class.setdefault(str(name), {"recordings": 0, "refused": 0}),
        ):
            row["recordings"] += 1
            row["refused"] += int(is_refused)
    return {
        "music_refused": round(float(refused[recordings.is_music].mean()), 4),
        "other_refused": round(float(refused[~recordings.is_music].mean()), 4),
        "by_class": by_class,
        "by_codec": by_label,
    }
