"""Segments → probabilities, with a LiteRT model and the card that describes it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.audio.spectrogram import FloatArray
from core.constants import (
    DB_FLOOR,
    FMAX,
    FMIN,
    FRONT_END_VERSION,
    GENRES,
    HOP_LENGTH,
    N_FFT,
    N_MELS,
    SAMPLE_RATE,
    SEGMENT_FRAMES,
)
from core.errors import ConfigurationError
from core.verdict import ModelName

MODELS_DIR: Final = Path(__file__).parents[2] / "models"
PREFERRED: Final = ("genie", "augmented", "plain")
"""The model to use where none is named: the first of these that there is."""

MUSIC_MODEL: Final = "music"

CARD_KEYS: Final = frozenset(
    ("name", "version", "sha256", "genres", "front_end", "temperature", "data", "split", "seed", "metrics")
)

BATCH: Final = 10
"""Segments per run of the interpreter: one section; more would cost memory and save no time."""


def front_end() -> dict[str, Any]:
    """Parameters of the spectrogram, as model cards carry them."""
    return {
        "version": FRONT_END_VERSION,
        "sample_rate": SAMPLE_RATE,
        "n_fft": N_FFT,
        "hop_length": HOP_LENGTH,
        "n_mels": N_MELS,
        "fmin": FMIN,
        "fmax": FMAX,
        "db_floor": DB_FLOOR,
    }


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model, read from the JSON file beside it.

    Attributes:
        temperature: softens (above 1) or sharpens the probabilities so that they are calibrated.
        threshold: for the model that tells music: below it the answer is `not-music`.
        described: the whole card.
    """

    name: str
    version: str
    sha256: str
    temperature: float
    threshold: float | None
    described: dict[str, Any]


def model_file(name: str | None = None) -> Path:
    """File of a model: a path under `models/` without suffix, a file, or None for the best there is.

    Raises:
        ConfigurationError: there is no such model.
    """
    if name is None:
        for preferred in PREFERRED:
            path = MODELS_DIR / f"{preferred}.tflite"
            if path.is_file():
                return path
        raise ConfigurationError("models/ holds no model: make one with `genregenie train`")
    own = MODELS_DIR / f"{name}.tflite"
    if own.is_file() and own.resolve().is_relative_to(MODELS_DIR.resolve()):
        return own
    given = Path(name)
    if given.suffix == ".tflite" and given.is_file():
        return given
    raise ConfigurationError(f"there is no model {name!r}: {', '.join(shipped_models()) or 'models/ is empty'}")


def music_file() -> Path | None:
    """File of the model that tells music from other sound, if there is one."""
    path = MODELS_DIR / f"{MUSIC_MODEL}.tflite"
    return path if path.is_file() else None


def shipped_models() -> list[str]:
    """Names of the genre models directly under `models/`, the preferred first."""
    names = {path.stem for path in MODELS_DIR.glob("*.tflite")} - {MUSIC_MODEL}
    return sorted(names, key=lambda name: (PREFERRED.index(name) if name in PREFERRED else 99, name))


def read_card(path: Path) -> ModelCard:
    """Read and check the card beside a model's file.

    Raises:
        ConfigurationError: the card is missing or lacks a key, or the model is not the one that it describes.
    """
    card_file = path.with_suffix(".json")
    try:
        described = json.loads(card_file.read_text("utf-8"))
        missing = CARD_KEYS - described.keys()
        if missing:
            raise ConfigurationError(f"{card_file.name} lacks {', '.join(sorted(missing))}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        card = ModelCard(
            name=str(described["name"]),
            version=str(described["version"]),
            sha256=str(described["sha256"]),
            temperature=float(described["temperature"]),
            threshold=None if described.get("threshold") is None else float(described["threshold"]),
            described=described,
        )
    except OSError as error:
        raise ConfigurationError(f"{card_file.name} or {path.name} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError):
        raise ConfigurationError(f"{card_file.name} is not a model card") from None
    if card.sha256 != digest:
        raise ConfigurationError(f"{path.name} is not the model that {card_file.name} describes (sha256 differs)")
    if described["front_end"] != front_end():
        raise ConfigurationError(f"{card_file.name} is for another front end than this program's")
    if card.threshold is None and described["genres"] != list(GENRES):
        raise ConfigurationError(f"{card_file.name} does not name the ten genres in their order")
    if not 0 < card.temperature < 100:
        raise ConfigurationError(f"{card_file.name} has a temperature out of range")
    return card


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
    def name(self) -> ModelName:
        """Name, version and digest, for verdicts and cache keys."""
        return ModelName(self.card.name, self.card.version, self.card.sha256)

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
