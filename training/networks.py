"""The networks: from dB `(n, N_MELS, SEGMENT_FRAMES)` to probabilities, with all preprocessing inside the graph."""

from collections.abc import Sequence
from typing import Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from core.constants import DB_FLOOR, GENRES, N_MELS, SEGMENT_FRAMES

PICTURE_SHAPE: Final = (128, 130)
"""Size of the study's images: mel bands by the frames of 3 s at librosa's default hop of 512 samples."""

GENIE_FLOOR_DB: Final = -70.0
"""Relative to a segment's loudest bin; what is quieter is mostly an artefact of the codec or the recording."""

GENIE_SCALE_DB: Final = 16.0
"""Roughly the standard deviation of a segment's dB."""


def colour_table() -> NDArray[np.float32]:
    """Return the colour map of librosa's `specshow`, float32 `(256, 3)` from 0 to 1."""
    from matplotlib import colormaps

    return colormaps["magma"](np.arange(256))[:, :3].astype(np.float32)


def study_cnn() -> keras.Model:
    """Build the study's CNN, which works on a 128×130 RGB image of the spectrogram that its graph draws itself.

    Returns:
        A model from `(n, N_MELS, SEGMENT_FRAMES)` dB to `(n, 10)` probabilities; 4.3 M parameters.
    """
    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    x = layers.Reshape((N_MELS, SEGMENT_FRAMES, 1))(db)
    x = layers.Resizing(*PICTURE_SHAPE, interpolation="bilinear")(x)
    x = layers.Rescaling(255 / -DB_FLOOR, 255)(x)
    shade = ops.cast(ops.clip(x, 0, 255), "int32")
    x = ops.take(ops.convert_to_tensor(colour_table()), ops.squeeze(shade, -1), axis=0)
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    genre = layers.Dense(len(GENRES), activation="softmax", name="genre")(x)
    return keras.Model(db, genre, name="study_cnn")


def genie_network(filters: int = 16, widths: Sequence[int] = (192, 192, 192, 256)) -> keras.Model:
    """Build a network that extracts timbre first and then how it changes, after Pons et al. 2018 (arXiv:1711.02520).

    A convolution over bands and frames is pooled over bands, so that a shift by a few bands (another key, another
    voice) changes little; residual convolutions over time follow (He et al. 2016, arXiv:1512.03385), then mean, maximum
    and standard deviation over time.

    Args:
        filters: of the first convolution.
        widths: filters of the first convolution over time and of each residual block.

    Returns:
        A model from `(n, N_MELS, SEGMENT_FRAMES)` dB to `(n, 10)` probabilities; 1.0 M parameters.
    """
    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    x = layers.ReLU()(_convolution(_two_channels(db), filters, (7, 3), (2, 1)))
    x = layers.MaxPooling2D((4, 1))(x)
    x = layers.Reshape((SEGMENT_FRAMES, -1))(ops.transpose(x, (0, 2, 1, 3)))
    x = layers.ReLU()(_over_time(x, widths[0], 3))
    for block, width in enumerate(widths[1:]):
        if block:
            x = layers.MaxPooling1D(2, padding="same")(x)
        y = _over_time(layers.ReLU()(_over_time(x, width, 3)), width, 3)
        shortcut = x if x.shape[-1] == width else _over_time(x, width, 1)
        x = layers.ReLU()(y + shortcut)
    spread = ops.sqrt(ops.var(x, axis=1) + 1e-5)
    x = layers.Concatenate()([ops.mean(x, axis=1), ops.max(x, axis=1), spread])
    x = layers.Dropout(0.5)(x)
    genre = layers.Dense(len(GENRES), activation="softmax", name="genre")(x)
    return keras.Model(db, genre, name="genie")


def averaged(members: Sequence[keras.Model]) -> keras.Model:
    """Combine networks into one that gives the mean of their probabilities; a single network is returned as it is."""
    if len(members) == 1:
        return members[0]
    name = members[0].name
    for number, member in enumerate(members):
        member.name = f"{name}_{number}"
    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    genre = layers.Average(name="genre")([member(db) for member in members])
    return keras.Model(db, genre, name=name)


def music_network(widths: Sequence[int] = (12, 24, 48, 96)) -> keras.Model:
    """Build the music detector's network: a small residual network over bands and frames.

    Returns:
        A model from `(n, N_MELS, SEGMENT_FRAMES)` dB to `(n, 1)`, the probability of music; 0.2 M parameters.
    """
    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    x = _residual_features(_two_channels(db), widths)
    x = layers.Dropout(0.3)(x)
    music = layers.Dense(1, activation="sigmoid", name="music")(x)
    return keras.Model(db, music, name="music")


def _two_channels(db: keras.KerasTensor) -> keras.KerasTensor:
    """Stack the level relative to the segment's mean, and to each band's mean, which no equaliser changes."""
    loudest = ops.max(db, axis=(1, 2), keepdims=True)
    level = ops.maximum(db, loudest + GENIE_FLOOR_DB)
    level = (level - ops.mean(level, axis=(1, 2), keepdims=True)) / GENIE_SCALE_DB
    change = level - ops.mean(level, axis=2, keepdims=True)
    return ops.stack([level, change], axis=-1)


def _residual_features(x: keras.KerasTensor, widths: Sequence[int]) -> keras.KerasTensor:
    """Reduce `(n, N_MELS, SEGMENT_FRAMES, channels)` to `(n, 2 * widths[-1])`: mean and maximum over time."""
    x = _convolution(x, widths[0], 5, 2)
    x = layers.ReLU()(x)
    for filters in widths[1:]:
        shortcut = _convolution(layers.AveragePooling2D(2, padding="same")(x), filters, 1, 1)
        y = layers.ReLU()(_convolution(x, filters, 3, 2))
        y = _convolution(y, filters, 3, 1)
        x = layers.ReLU()(y + shortcut)
    x = ops.mean(x, axis=1)
    return layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])


def _convolution(
    x: keras.KerasTensor, filters: int, size: int | tuple[int, int], stride: int | tuple[int, int]
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def _over_time(x: keras.KerasTensor, filters: int, size: int) -> keras.KerasTensor:
    x = layers.Conv1D(filters, size, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)
