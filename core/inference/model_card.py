"""Which models there are, and what the card beside each says of it."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    TRAINED_FRONT_ENDS,
)
from core.errors import ConfigurationError
from core.verdict import CERTAINTIES

MODELS_DIR: Final = Path(__file__).parents[2] / "models"
PREFERRED: Final = ("genie", "augmented", "plain")
"""The model to use where none is named: the first of these that there is."""

MUSIC_MODEL: Final = "music"

NEVER_SURE: Final = 2.0
"""More than any confidence."""

CARD_KEYS: Final = frozenset(
    ("name", "version", "sha256", "genres", "front_end", "temperature", "data", "split", "seed", "metrics")
)


def front_end(version: str = FRONT_END_VERSION) -> dict[str, Any]:
    """Parameters of the spectrogram, as model cards carry them."""
    return {
        "version": version,
        "sample_rate": SAMPLE_RATE,
        "n_fft": N_FFT,
        "hop_length": HOP_LENGTH,
        "n_mels": N_MELS,
        "fmin": FMIN,
        "fmax": FMAX,
        "db_floor": DB_FLOOR,
    }


@dataclass(frozen=True, slots=True)
class OutsideRule:
    """When a song is said to be of a kind outside the ten genres.

    It is where the log-odds of the likeliest kind exceed those of `least` by `weight` times the log-odds of the genre
    voted for: the surer the genre, the surer the kind has to be.

    Attributes:
        kinds: name of a kind → the tags that mean it.
        least: probability, see above.
        weight: see above.
    """

    kinds: Mapping[str, tuple[str, ...]]
    least: float
    weight: float


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model, read from the JSON file beside it.

    Attributes:
        temperature: softens (above 1) or sharpens the probabilities so that they are calibrated.
        threshold: probability of music below which the answer is `not-music`; None where the model cannot tell.
        outputs: names of the model's outputs, in the order of the file: `genre`, `music`, `tags`, `embedding`.
        tags: names of the columns of `tags`.
        tag_thresholds: tag → mean probability over a song from which it is shown; others never are.
        outside: when a song is outside the ten genres; None where the model cannot tell.
        very_sure_from: confidence from which nine in ten real songs are classified correctly; above 1 where none is.
        described: the whole card.
    """

    name: str
    version: str
    sha256: str
    temperature: float
    threshold: float | None
    described: dict[str, Any]
    outputs: tuple[str, ...] = ("genre",)
    tags: tuple[str, ...] = ()
    tag_thresholds: Mapping[str, float] = field(default_factory=dict)
    outside: OutsideRule | None = None
    very_sure_from: float = CERTAINTIES["high"]

    @property
    def classifies(self) -> bool:
        """Whether it is a model of genres, and not one that tells music only."""
        return "genre" in self.outputs


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
    """File of the model that tells music from other sound for models that cannot, if there is one.

    That is a model of its own, or else the first of the shipped genre models that has an output for it.
    """
    own = MODELS_DIR / f"{MUSIC_MODEL}.tflite"
    if own.is_file():
        return own
    for name in shipped_models():
        path = MODELS_DIR / f"{name}.tflite"
        with contextlib.suppress(OSError, ValueError):
            if "music" in json.loads(path.with_suffix(".json").read_text("utf-8")).get("outputs", ()):
                return path
    return None


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
            outputs=_outputs(described),
            tags=tuple(map(str, described.get("tags", ()))),
            tag_thresholds={str(tag): float(value) for tag, value in described.get("tag_thresholds", {}).items()},
            outside=_outside(described),
            very_sure_from=_very_sure_from(described),
        )
    except OSError as error:
        raise ConfigurationError(f"{card_file.name} or {path.name} cannot be read: {error.strerror}") from None
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ConfigurationError(f"{card_file.name} is not a model card") from None
    if card.sha256 != digest:
        raise ConfigurationError(f"{path.name} is not the model that {card_file.name} describes (sha256 differs)")
    if described["front_end"] not in map(front_end, TRAINED_FRONT_ENDS):
        raise ConfigurationError(f"{card_file.name} is for another front end than this program's")
    if card.classifies and described["genres"] != list(GENRES):
        raise ConfigurationError(f"{card_file.name} does not name the ten genres in their order")
    if not 0 < card.temperature < 100:
        raise ConfigurationError(f"{card_file.name} has a temperature out of range")
    return card


def _outputs(described: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the outputs; a card of before there were several names none."""
    if "outputs" in described:
        outputs = tuple(map(str, described["outputs"]))
        if not outputs or set(outputs) - {"genre", "music", "tags", "embedding"} or len(set(outputs)) < len(outputs):
            raise ValueError("unknown outputs")
        return outputs
    return ("genre",) if described.get("threshold") is None else ("music",)


def _very_sure_from(described: Mapping[str, Any]) -> float:
    """Read the confidence; a card of before it was measured has none, one that says null has no such confidence."""
    value = described.get("very_sure_from", CERTAINTIES["high"])
    return NEVER_SURE if value is None else float(value)


def _outside(described: Mapping[str, Any]) -> OutsideRule | None:
    rule = described.get("outside")
    if rule is None:
        return None
    kinds = {str(kind): tuple(map(str, tags)) for kind, tags in rule["kinds"].items()}
    if not set().union(*kinds.values()) <= set(described["tags"]):
        raise ValueError("a kind of music by a tag that there is not")
    return OutsideRule(kinds, float(rule["least"]), float(rule["weight"]))
