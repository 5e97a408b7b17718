"""Which models there are, and what the card beside each says of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
)
from core.errors import ConfigurationError

MODELS_DIR: Final = Path(__file__).parents[2] / "models"
PREFERRED: Final = ("genie", "augmented", "plain")
"""The model to use where none is named: the first of these that there is."""

MUSIC_MODEL: Final = "music"

CARD_KEYS: Final = frozenset(
    ("name", "version", "sha256", "genres", "front_end", "temperature", "data", "split", "seed", "metrics")
)


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
