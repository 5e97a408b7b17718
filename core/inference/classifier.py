"""Segments → probabilities, by a LiteRT model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.audio.spectrogram import FloatArray
from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from core.errors import ConfigurationError
from core.inference.model_card import read_card
from core.verdict import ModelInfo

BATCH: Final = 10
"""Segments per run of the interpreter: one section; more would cost memory and save no time."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says of segments; an output that it does not have is None.

    Attributes:
        genre: probabilities in the order of `GENRES`, after the card's temperature, float32 `(n, 10)`, rows sum to 1.
        music: probability that it is music, float32 `(n,)`.
        tags: probability of each of the card's tags, float32 `(n, n_tags)`.
        embedding: float32 `(n, d)`; songs that sound alike lie close.
    """

    genre: FloatArray | None = None
    music: FloatArray | None = None
    tags: FloatArray | None = None
    embedding: FloatArray | None = None


class Classifier:
    """A LiteRT model, loaded once and run on segments.

    Args:
        path: the `.tflite` file; its card lies beside it.

    Raises:
        ConfigurationError: the file does not match its card, or has other inputs and outputs than the card says.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.card = read_card(path)
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError):
            raise ConfigurationError(f"{path.name} is not a LiteRT model that can be run here") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        widths = {"genre": len(GENRES), "music": 1, "tags": len(self.card.tags)}
        if [_signature(detail) for detail in inputs] != [([-1, N_MELS, SEGMENT_FRAMES], "float32")]:
            raise ConfigurationError(f"{path.name} must have one input [-1, {N_MELS}, {SEGMENT_FRAMES}]")
        if len(outputs) != len(self.card.outputs):
            raise ConfigurationError(f"{path.name} must have {len(self.card.outputs)} output(s), as its card says")
        for name, detail in zip(self.card.outputs, outputs, strict=True):
            shape, kind = _signature(detail)
            if len(shape) != 2 or shape[0] != -1 or kind != "float32" or shape[1] != widths.get(name, shape[1]):
                raise ConfigurationError(f"{path.name}: output {name} must be [-1, {widths.get(name, 'd')}] float32")
        self._input = inputs[0]["index"]
        self._outputs = {
            name: (int(detail["index"]), int(detail["shape_signature"][1]))
            for name, detail in zip(self.card.outputs, outputs, strict=True)
        }
        self._batch = 0

    @property
    def info(self) -> ModelInfo:
        """Name, version and digest, for predictions and cache keys."""
        return ModelInfo(self.card.name, self.card.version, self.card.sha256)

    def run(self, segments: FloatArray) -> Outputs:
        """Run the model.

        Args:
            segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)` from `DB_FLOOR` to 0.
        """
        found = {name: np.empty((len(segments), width), np.float32) for name, (_, width) in self._outputs.items()}
        for first in range(0, len(segments), BATCH):
            batch = segments[first : first + BATCH]
            if len(batch) != self._batch:
                self._interpreter.resize_tensor_input(self._input, [len(batch), N_MELS, SEGMENT_FRAMES])
                self._interpreter.allocate_tensors()
                self._batch = len(batch)
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(batch))
            self._interpreter.invoke()
            for name, (index, _) in self._outputs.items():
                found[name][first : first + len(batch)] = self._interpreter.get_tensor(index)
        if "genre" in found:
            found["genre"] = apply_temperature(found["genre"], self.card.temperature)
        if "music" in found:
            found["music"] = found["music"][:, 0]
        return Outputs(**found)

    def probabilities(self, segments: FloatArray) -> FloatArray:
        """Run the model for its main output only.

        Args:
            segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)` from `DB_FLOOR` to 0.

        Returns:
            The genres' probabilities, float32 `(n, 10)`; `(n, 1)` of music for the model that tells music only.
        """
        outputs = self.run(segments)
        if outputs.genre is not None:
            return outputs.genre
        if outputs.music is None:  # pragma: no cover - a card names one of the two
            raise ConfigurationError(f"{self.card.name} has neither genres nor music")
        return outputs.music[:, np.newaxis]


def _signature(detail: dict[str, Any]) -> tuple[list[int], str]:
    return [int(size) for size in detail["shape_signature"]], np.dtype(detail["dtype"]).name


def apply_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Apply a temperature to probabilities `(n, k)` (Guo et al. 2017, "On Calibration of Modern Neural Networks")."""
    if temperature == 1:
        return probabilities
    logits = np.log(np.maximum(probabilities, 1e-12)) / temperature
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered: FloatArray = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return tempered
