"""A trained network becomes a LiteRT file and its card."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from core import constants
from core.inference import classifier, model_card


def convert(model: keras.Model, precision: str) -> bytes:
    """Write a network as LiteRT: one input `[-1, N_MELS, SEGMENT_FRAMES]` float32, one output.

    Args:
        model: from dB to probabilities.
        precision: `int8` (dynamic range: weights as int8, activations quantised as they come), `float16`
            (weights only) or `float32`.

    Returns:
        The file's content.
    """
    signature = tf.TensorSpec((None, constants.N_MELS, constants.SEGMENT_FRAMES), tf.float32, name="db")
    # Traced by hand: Keras's own export keeps the training branch of a batch normalisation.
    forward = tf.function(lambda db: model(db, training=False)).get_concrete_function(signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(forward)], model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content


WORTH: Final = 0.005
"""Validation accuracy that int8 may cost; where it costs more, weights are float16."""


@dataclass(frozen=True)
class Card:
    """What is written beside a model's file.

    Attributes:
        name: of the model.
        version: of the model; changes with its weights.
        data: what it learned from.
        split: how that was divided.
        seed: of the split and of the training.
        metrics: by name of the split and its side, figures as `metrics.Figures.to_json` gives them.
        temperature: by which serving divides the logits.
        threshold: probability of music under which a recording is refused; only for the model that tells music.
        notes: what else a reader must know.
        precision: of the weights.
    """

    name: str
    version: str
    data: Mapping[str, Any]
    split: str
    seed: int
    metrics: Mapping[str, Any]
    temperature: float = 1.0
    threshold: float | None = None
    notes: str = ""
    precision: str = "int8"

    def to_json(self, content: bytes) -> dict[str, Any]:
        """Return the card of a model's file."""
        card: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "sha256": hashlib.sha256(content).hexdigest(),
            "genres": list(constants.GENRES),
            "front_end": model_card.front_end(),
            "temperature": round(self.temperature, 4),
            "data": dict(self.data),
            "split": self.split,
            "seed": self.seed,
            "precision": self.precision,
            "metrics": dict(self.metrics),
        }
        if self.threshold is not None:
            card["threshold"] = round(self.threshold, 4)
        if self.notes:
            card["notes"] = self.notes
        return card


def write(folder: Path, card: Card, content: bytes) -> Path:
    """Write `NAME.tflite` and `NAME.json` into a folder; the path of the first is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.tflite"
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(card.to_json(content), indent=1) + "\n")
    return path


def run(content: bytes, card: Card, segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Answers of a model's file in the hands of serving.

    Args:
        content: of the file.
        card: of the model; its temperature is applied.
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.

    Returns:
        Probabilities, float32 `(n, outputs)`.
    """
    with tempfile.TemporaryDirectory() as folder:
        return classifier.Classifier(write(Path(folder), card, content)).probabilities(segments)


def smallest(
    model: keras.Model, card: Card, segments: NDArray[np.float32], accuracy: Callable[[NDArray[np.float32]], float]
) -> tuple[bytes, str]:
    """Convert a network as small as its accuracy allows.

    Args:
        model: from dB to probabilities.
        card: of the model.
        segments: of validation, dB; where there are none, int8 is taken unseen.
        accuracy: of probabilities.

    Returns:
        The file's content and its precision, `int8` or `float16`.
    """
    content = convert(model, "int8")
    if not len(segments):
        return content, "int8"
    whole = accuracy(model.predict(segments, batch_size=64, verbose=0))
    if whole - accuracy(run(content, card, segments)) <= WORTH:
        return content, "int8"
    return convert(model, "float16"), "float16"
