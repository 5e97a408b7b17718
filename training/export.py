"""Export: a trained network becomes a LiteRT file with its card."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from core import constants
from core.inference import classifier, model_card

MAX_INT8_LOSS: Final = 0.005
"""Validation accuracy that int8 may cost; if it costs more, weights are float16."""

_SIGNATURE: Final = "serving_default"


def convert(model: keras.Model, precision: str) -> bytes:
    """Convert a network to LiteRT, with one input `[-1, N_MELS, SEGMENT_FRAMES]` float32 and one or several outputs.

    Args:
        model: from dB to probabilities, or to a dictionary of outputs; they stand in the file in its order, and under
            its names in the signature `serving_default`.
        precision: `int8` (dynamic range: int8 weights, activations quantised at run time), `float16` (weights only)
            or `float32`.

    Returns:
        Content of the `.tflite` file.
    """
    spec = tf.TensorSpec((None, constants.N_MELS, constants.SEGMENT_FRAMES), tf.float32, name="db")
    names = list(model.output) if isinstance(model.output, dict) else [model.output_names[0]]

    def forward(db: tf.Tensor) -> list[tf.Tensor]:
        outputs = model(db, training=False)
        return [outputs[name] for name in names] if isinstance(outputs, dict) else [outputs]

    # Keras's own export keeps the training branch of batch normalisation, so the graph is traced here.
    frozen = convert_variables_to_constants_v2(tf.function(forward).get_concrete_function(spec))
    module = tf.Module()
    module.serve = tf.function(lambda db: dict(zip(names, frozen(db), strict=True)), input_signature=[spec])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: module.serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, [_SIGNATURE])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return _with_ordered_outputs(converter.convert(), names)


def _with_ordered_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """Put a file's outputs into an order; the converter sorts them by name."""
    file = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    (signature,) = file.signatureDefs
    tensors = {output.name.decode(): output.tensorIndex for output in signature.outputs}
    file.subgraphs[0].outputs = [tensors[name] for name in names]
    signature.outputs.sort(key=lambda output: names.index(output.name.decode()))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))


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
        threshold: probability of music below which a recording is refused; None for models that cannot tell.
        notes: what else a reader needs to know.
        precision: of the weights.
        outputs: names of the file's outputs in their order, where there are several.
        details: further keys of the card: tags, thresholds, how it was trained.
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
    outputs: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

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
        if self.outputs:
            card["outputs"] = list(self.outputs)
        if self.threshold is not None:
            card["threshold"] = round(self.threshold, 4)
        if self.notes:
            card["notes"] = self.notes
        return card | dict(self.details)


def write_model(folder: Path, fields: CardFields, content: bytes) -> Path:
    """Write `NAME.tflite` and its card `NAME.json` into a folder; return the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{fields.name}.tflite"
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(fields.to_json(content), indent=1) + "\n")
    return path


def run_as_served(content: bytes, fields: CardFields, segments: NDArray[np.float32]) -> classifier.Outputs:
    """Run a converted model by the code that serves it.

    Args:
        content: of the `.tflite` file.
        fields: of its card, whose temperature is applied.
        segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)`.
    """
    with tempfile.TemporaryDirectory() as folder:
        return classifier.Classifier(write_model(Path(folder), fields, content)).run(segments)


def genre_as_served(content: bytes, fields: CardFields, segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a converted model as `run_as_served` does, for the genres' probabilities, float32 `(n, 10)`."""
    genre = run_as_served(content, fields, segments).genre
    if genre is None:
        raise ValueError(f"{fields.name} is no model of genres")
    return genre


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
        accuracy: of the genres' probabilities `(n, 10)`.

    Returns:
        Content of the `.tflite` file and its precision, `int8` or `float16`.
    """
    content = convert(model, "int8")
    if not len(segments):
        return content, "int8"
    predicted = model.predict(segments, batch_size=64, verbose=0)
    unquantised = accuracy(predicted["genre"] if isinstance(predicted, dict) else predicted)
    if unquantised - accuracy(genre_as_served(content, fields, segments)) <= MAX_INT8_LOSS:
        return content, "int8"
    return convert(model, "float16"), "float16"
