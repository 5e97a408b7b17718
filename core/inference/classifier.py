"""Segments → probabilities, by a LiteRT model."""

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


class Classifier:
    """A LiteRT model, loaded once and run on segments.

    Args:
        path: the `.tflite` file; its card lies beside it.

    Raises:
        ConfigurationError: the file does not match its card, or has other inputs and outputs than a model has.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.card = read_card(path)
        outputs = 1 if self.card.threshold is not None else len(GENRES)
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError):
            raise ConfigurationError(f"{path.name} is not a LiteRT model that can be run here") from None
        inputs, results = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if [_signature(detail) for detail in inputs] != [([-1, N_MELS, SEGMENT_FRAMES], "float32")] or [
            _signature(detail) for detail in results
        ] != [([-1, outputs], "float32")]:
            raise ConfigurationError(
                f"{path.name} must have one input [-1, {N_MELS}, {SEGMENT_FRAMES}] and one output [-1, {outputs}]"
            )
        self._input, self._output = inputs[0]["index"], results[0]["index"]
        self._outputs = outputs
        self._batch = 0

    @property
    def info(self) -> ModelInfo:
        """Name, version and digest, for predictions and cache keys."""
        return ModelInfo(self.card.name, self.card.version, self.card.sha256)

    def probabilities(self, segments: FloatArray) -> FloatArray:
        """Run the model.

        Args:
            segments: dB, float32 `(n, N_MELS, SEGMENT_FRAMES)` from `DB_FLOOR` to 0.

        Returns:
            float32 `(n, 10)`, rows summing to 1, after the card's temperature; `(n, 1)` for the music model.
        """
        out = np.empty((len(segments), self._outputs), np.float32)
        for first in range(0, len(segments), BATCH):
            batch = segments[first : first + BATCH]
            if len(batch) != self._batch:
                self._interpreter.resize_tensor_input(self._input, [len(batch), N_MELS, SEGMENT_FRAMES])
                self._interpreter.allocate_tensors()
                self._batch = len(batch)
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(batch))
            self._interpreter.invoke()
            out[first : first + len(batch)] = self._interpreter.get_tensor(self._output)
        return apply_temperature(out, self.card.temperature) if self._outputs > 1 else out


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
