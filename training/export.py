"""Export: a trained network becomes a LiteRT file with its card."""

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

MAX_INT8_LOSS: Final = 0.005
"""Validation accuracy that int8 may cost; if it costs more, weights are float16."""


def convert(model: keras.Model, precision: str) -> bytes:
    """Convert a network to LiteRT, with one input `[-1, N_MELS, SEGMENT_FRAMES]` float32 and one output.

    Args:
        model: from dB to probabilities.
        precision: `int8` (dynamic range: int8 weights, activations quantised at run time), `float16` (weights only)
            or `float32`.

    Returns:
        Content of the `.tflite` file.
    """
    signature = tf.TensorSpec((None, constants.N_MELS, constants.SEGMENT_FRAMES), tf.float32, name="db")
    # Keras's own export keeps the training branch of batch normalisation, so the graph is traced here.
    forward = tf.function(lambda db: model(db, training=False)).get_concrete_function(signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(forward)], model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content


@dataclass(frozen=True)
class CardFields:
    """What training knows of a model; its card adds the file's digest, the genres and the front end.

    Attributes:
        name: of the model.
        version: changes with the weights.
        data: what it was trained on.
        split: how the data was split.
        seed: of the split and of the training.
        metrics: split → subset → figures.
        temperature: by which serving divides the logits.
        threshold: probability of music below which a recording is refused; only for the music detector.
        notes: what else a reader needs to know.
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
        """Return the card for the content of a model's file."""
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


def write_model(folder: Path, fields: CardFields, content: bytes) -> Path:
    """Write `NAME.tflite` and its card `NAME.json` into a folder; return the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{fields.name}.tflite"
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(fields.to_json(content), indent=1) + "\n")
    return path


def run_as_served(content: bytes, fields: CardFields, segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a converted model by the code that serves it.

    Args:
        content: of the `.tflite` file.
        fields: of its card, whose temperature is applied.
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.

    Returns:
        Probabilities, float32 `(n, outputs)`.
    """
    with tempfile.TemporaryDirectory() as folder:
        return classifier.Classifier(write_model(Path(folder), fields, content)).probabilities(segments)


def convert_smallest(
    model: keras.Model,
    fields: CardFields,
    segments: NDArray[np.float32],
    accuracy: Callable[[NDArray[np.float32]], float],
) -> tuple[bytes, str]:
    """Convert a network to int8, or to float16 if int8 costs more than `MAX_INT8_LOSS` of accuracy.

    Args:
        model: from dB to probabilities.
        fields: of its card.
        segments: of validation, dB; without any, int8 is taken unchecked.
        accuracy: of probabilities `(n, outputs)`.

    Returns:
        Content of the `.tflite` file and its precision, `int8` or `float16`.
    """
    content = convert(model, "int8")
    if not len(segments):
        return content, "int8"
    unquantised = accuracy(model.predict(segments, batch_size=64, verbose=0))
    if unquantised - accuracy(run_as_served(content, fields, segments)) <= MAX_INT8_LOSS:
        return content, "int8"
    return convert(model, "float16"), "float16"
