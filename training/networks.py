"""The networks: from dB `(n, N_MELS, SEGMENT_FRAMES)` to probabilities, with all preprocessing inside the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
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

HEAD_SCALE: Final = 0.125
"""Scale of a student's heads' input: Adam moves every weight alike, and 512 of them at once are a leap at 1."""


def colour_table() -> NDArray[np.float32]:
    """Return the colour map of librosa's `specshow`, float32 `(256, 3)` from 0 to 1."""
    from matplotlib import colormaps

    return colormaps["magma"](np.arange(256))[:, :3].astype(np.float32)


def study_cnn(
    filters: Sequence[int] = (32, 64, 128), hidden: int = 128, *, mixed_precision: bool = False
) -> keras.Model:
    """Build the study's CNN, which works on a 128×130 RGB image of the spectrogram that its graph draws itself.

    Args:
        filters: of the convolutions.
        hidden: size of the dense layer.
        mixed_precision: compute in bfloat16 from the first convolution to the last hidden layer, as in Micikevicius et
            al. 2018 (arXiv:1710.03740). The weights are float32 all the same, and so are the image and the
            probabilities, which are more exact than bfloat16's eight bits.

    Returns:
        A model from `(n, N_MELS, SEGMENT_FRAMES)` dB to `(n, 10)` probabilities; 4.3 M parameters.
    """
    dtype = "mixed_bfloat16" if mixed_precision else "float32"
    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    x = layers.Reshape((N_MELS, SEGMENT_FRAMES, 1))(db)
    x = layers.Resizing(*PICTURE_SHAPE, interpolation="bilinear")(x)
    x = layers.Rescaling(255 / -DB_FLOOR, 255)(x)
    shade = ops.cast(ops.clip(x, 0, 255), "int32")
    x = ops.take(ops.convert_to_tensor(colour_table()), ops.squeeze(shade, -1), axis=0)
    for count in filters:
        x = layers.Conv2D(count, 3, padding="same", kernel_initializer="he_normal", dtype=dtype)(x)
        # ReLU and the maximum commute; after pooling it has a quarter of the work, which is an eighth of a step.
        x = layers.ReLU(dtype=dtype)(layers.MaxPooling2D(2, dtype=dtype)(x))
        x = layers.BatchNormalization(dtype=dtype)(x)
    x = layers.Dropout(0.3, dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    x = layers.Dense(hidden, activation="relu", dtype=dtype)(x)
    x = layers.Dropout(0.5, dtype=dtype)(x)
    genre = layers.Dense(len(GENRES), activation="softmax", name="genre")(x)
    return keras.Model(db, genre, name="study_cnn")


def student_network(
    classes: int,
    tags: int,
    embedding: int = 128,
    filters: int = 16,
    widths: Sequence[int] = (192, 192, 192, 256),
    hidden: int = 512,
) -> keras.Model:
    """Build a network that extracts timbre first and then how it changes, after Pons et al. 2018 (arXiv:1711.02520).

    A convolution over bands and frames is pooled over bands, so that a shift by a few bands (another key, another
    voice) changes little; residual convolutions over time follow (He et al. 2016, arXiv:1512.03385), then mean, maximum
    and standard deviation over time, a dense layer, and one head for the genres and for each output of the teachers.

    Args:
        classes: number of the first teacher's classes; 0 leaves the head out, here and below.
        tags: number of the second teacher's tags.
        embedding: size of the first teacher's embedding.
        filters: of the first convolution.
        widths: filters of the first convolution over time and of each residual block.
        hidden: size of the dense layer, on which all heads stand.

    Returns:
        A model from `(n, N_MELS, SEGMENT_FRAMES)` dB to a dictionary: `hidden` `(n, hidden)`, `genre` `(n, 10)`
        logits, `classes` and `tags` (standardised logits) and `embedding`; 1.5 M parameters.
    """
    db = keras.Input((N_MELS, SEGMENT_FRAMES), name="db")
    x = layers.Dropout(0.2)(_timbre_features(db, filters, widths))
    x = layers.Dense(hidden, use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.ReLU(name="hidden")(layers.BatchNormalization(momentum=0.9)(x))
    small = x * HEAD_SCALE
    genre = layers.Dense(len(GENRES), name="genre")(layers.Dropout(0.5)(small))
    sizes = {"classes": classes, "embedding": embedding, "tags": tags}
    heads = {name: layers.Dense(size, name=name)(small) for name, size in sizes.items() if size}
    return keras.Model(db, {"hidden": x, "genre": genre, **heads}, name="student")


def trunk(student: keras.Model) -> keras.Model:
    """Cut out a student's trunk: from dB to `pooled` `(n, 3 * widths[-1])` and `hidden` `(n, hidden)`."""
    features = {name: student.get_layer(name).output for name in ("pooled", "hidden")}
    return keras.Model(student.input, features, name="trunk")


@dataclass(frozen=True, eq=False)
class Dense:
    """Weights of a dense layer: `kernel` `(inputs, outputs)` and `bias` `(outputs,)`."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Heads:
    """What stands on a student's trunk when it is served.

    Attributes:
        genre: the genres' logits.
        music: network from the trunk's features, `pooled` and `hidden` side by side, to the probability of music; None
            leaves the output out, here and below.
        tags: the tags' logits.
        embedding: of the first teacher.
    """

    genre: Dense
    music: keras.Model | None = None
    tags: Dense | None = None
    embedding: Dense | None = None


def served_network(student: keras.Model, heads: Heads) -> keras.Model:
    """Put heads on a student's trunk.

    Returns:
        A model from `(n, N_MELS, SEGMENT_FRAMES)` dB to a dictionary in this order: `genre` `(n, 10)` probabilities,
        `music` `(n, 1)`, the probability that it is music, `tags` `(n, tags)` probabilities and `embedding`.
    """
    features = trunk(student)
    hidden, pooled = features.output["hidden"], features.output["pooled"]

    def dense(name: str, weights: Dense, activation: str) -> keras.KerasTensor:
        layer = layers.Dense(len(weights.bias), activation=activation, name=name)
        output = layer(hidden)
        layer.set_weights([weights.kernel, weights.bias])
        return output

    outputs = {"genre": dense("genre", heads.genre, "softmax")}
    if heads.music is not None:
        outputs["music"] = heads.music(layers.Concatenate()([pooled, hidden]))
    if heads.tags is not None:
        outputs["tags"] = dense("tags", heads.tags, "sigmoid")
    if heads.embedding is not None:
        outputs["embedding"] = dense("embedding", heads.embedding, "linear")
    return keras.Model(features.input, outputs, name="genie")


def music_head(size: int, hidden: int = 64) -> keras.Model:
    """Build the head that tells music from other sounds by a trunk's features, `(n, size)` to `(n, 1)`."""
    features = keras.Input((size,), name="features")
    x = layers.BatchNormalization(momentum=0.9)(features)
    x = layers.Dropout(0.2)(layers.Dense(hidden, activation="relu")(layers.Dropout(0.2)(x)))
    return keras.Model(features, layers.Dense(1, activation="sigmoid", name="music")(x), name="music_head")


def _two_channels(db: keras.KerasTensor) -> keras.KerasTensor:
    """Stack the level relative to the segment's mean, and to each band's mean, which no equaliser changes."""
    loudest = ops.max(db, axis=(1, 2), keepdims=True)
    level = ops.maximum(db, loudest + GENIE_FLOOR_DB)
    level = (level - ops.mean(level, axis=(1, 2), keepdims=True)) / GENIE_SCALE_DB
    change = level - ops.mean(level, axis=2, keepdims=True)
    return ops.stack([level, change], axis=-1)


def _timbre_features(db: keras.KerasTensor, filters: int, widths: Sequence[int]) -> keras.KerasTensor:
    """Reduce dB to `(n, 3 * widths[-1])`: mean, maximum and standard deviation over time."""
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
    return layers.Concatenate(name="pooled")([ops.mean(x, axis=1), ops.max(x, axis=1), spread])


def _convolution(
    x: keras.KerasTensor, filters: int, size: int | tuple[int, int], stride: int | tuple[int, int]
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def _over_time(x: keras.KerasTensor, filters: int, size: int) -> keras.KerasTensor:
    x = layers.Conv1D(filters, size, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)
