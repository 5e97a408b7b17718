"""How a pool and its workers talk: a line of JSON, then the bytes that it announces.

JSON and not pickle: a worker deals with files of strangers, and what it sends is read as data, never as code. Both
sides check every field before they use it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeVar

from core.audio.decode import DecodeLimits
from core.audio.spectrogram import QuantizedMel
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, ClassifyResult, Step
from core.verdict import Elapsed, Prediction

MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of the longest message, payloads not counted: six hours of segments fit."""

MAX_PAYLOAD: Final = 128 * 1024 * 1024

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class ClassifyFile:
    """Command: classify a file."""

    path: str
    limits: DecodeLimits
    options: ClassifyOptions


@dataclass(frozen=True, slots=True)
class ClassifySpectrogram:
    """Command: classify a song whose spectrogram was kept."""

    spectrogram: bytes
    options: ClassifyOptions


@dataclass(frozen=True, slots=True)
class Illustrate:
    """Command: draw and explain a prediction that was made before, of a song whose spectrogram was kept."""

    spectrogram: bytes
    prediction: Prediction
    locale: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Command: give the job up with an error of this code."""

    code: ErrorCode


@dataclass(frozen=True, slots=True)
class Ready:
    """Event: the worker is warm."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Event: the worker cannot serve, since its model cannot be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Event: where the job stands."""

    step: Step
    share: float | None


@dataclass(frozen=True, slots=True)
class Classified:
    """Event: the job's result."""

    result: ClassifyResult


@dataclass(frozen=True, slots=True)
class Refused:
    """Event: the song has no verdict."""

    error: GenreGenieError


@dataclass(frozen=True, slots=True)
class ModelUnusable:
    """Event: the model that the job asks for cannot be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """Event: the job failed for a reason of ours."""

    trace: str


Work = ClassifyFile | ClassifySpectrogram | Illustrate
Command = Work | Cancel
Event = Ready | Unusable | Progress | Classified | Refused | ModelUnusable | Crashed


def encode(message: Command | Event) -> bytes:
    """Put a message into the form that is sent."""
    payloads: list[bytes] = []
    match message:
        case ClassifyFile():
            content: dict[str, Any] = asdict(message)
        case ClassifySpectrogram():
            content, payloads = {"options": asdict(message.options)}, [message.spectrogram]
        case Illustrate():
            content = {"prediction": message.prediction.to_dict(), "locale": message.locale}
            payloads = [message.spectrogram]
        case Classified(result):
            content = {"prediction": result.prediction.to_dict(), "elapsed": asdict(result.elapsed)}
            payloads = [result.picture or b"", result.spectrogram.to_bytes() if result.spectrogram else b""]
        case Refused(error):
            content = {"code": error.code.value, "params": error.params}
        case _:
            content = asdict(message)
    line = {"type": type(message).__name__, "payloads": [len(payload) for payload in payloads], **content}
    return b"".join((json.dumps(line).encode(), b"\n", *payloads))


def decode_line(line: bytes) -> tuple[dict[str, Any], list[int]]:
    """Read a message's line.

    Returns:
        Its fields, and the lengths of the payloads that follow it.

    Raises:
        ValueError: it is none.
    """
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("not a message")
    lengths = message.pop("payloads", None)
    if not isinstance(lengths, list) or not all(isinstance(n, int) and 0 <= n <= MAX_PAYLOAD for n in lengths):
        raise ValueError("payloads out of range")
    return message, lengths


def read_command(message: Mapping[str, Any], payloads: Sequence[bytes]) -> Command:
    """Read what a pool sent.

    Raises:
        ValueError: it is no command.
    """
    return _read(_COMMANDS, message, payloads)


def read_event(message: Mapping[str, Any], payloads: Sequence[bytes]) -> Event:
    """Read what a worker sent.

    Raises:
        ValueError: it is no event.
    """
    return _read(_EVENTS, message, payloads)


def _read(
    readers: Mapping[str, Callable[[Mapping[str, Any], Sequence[bytes]], Message]],
    message: Mapping[str, Any],
    payloads: Sequence[bytes],
) -> Message:
    reader = readers.get(message["type"])
    if reader is None:
        raise ValueError(f"unknown message {message['type']!r}")
    try:
        return reader(message, payloads)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{message['type']} without its fields: {error!r}") from None


def read_options(data: Mapping[str, Any]) -> ClassifyOptions:
    """Read options.

    Raises:
        ValueError: their values have other types.
        TypeError: there are others.
    """
    options = ClassifyOptions(**data)
    for name in ("whole", "picture", "why", "keep_spectrogram"):
        if not isinstance(getattr(options, name), bool):
            raise ValueError(f"{name} is not true or false")
    for name in ("start", "max_duration_s"):
        if not isinstance(getattr(options, name), float | int | None):
            raise ValueError(f"{name} is not a number")
    if not isinstance(options.model, str | None) or not isinstance(options.locale, str):
        raise ValueError("model or locale is not a text")
    return options


def _limits(data: Mapping[str, Any]) -> DecodeLimits:
    limits = DecodeLimits(**data)
    if not all(isinstance(getattr(limits, field.name), int | float) for field in fields(limits)):
        raise ValueError("limits are not numbers")
    return limits


def _share(value: object) -> float | None:
    if value is None or (isinstance(value, int | float) and 0 <= value <= 1):
        return value
    raise ValueError("not a share")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def read_elapsed(data: Mapping[str, Any]) -> Elapsed:
    """Read the times of the steps; raises as `read_options` does."""
    elapsed = Elapsed(**data)
    if not all(isinstance(getattr(elapsed, field.name), int | float) for field in fields(elapsed)):
        raise ValueError("times are not numbers")
    return elapsed


def read_error(code: object, params: Mapping[str, Any]) -> GenreGenieError:
    """Read an error.

    Raises:
        ValueError: it is none.
    """
    if not all(isinstance(value, str | int | float) for value in params.values()):
        raise ValueError("parameters are not texts and numbers")
    return GenreGenieError(ErrorCode(_text(code)), **params)


def _result(message: Mapping[str, Any], payloads: Sequence[bytes]) -> ClassifyResult:
    picture, spectrogram = payloads
    return ClassifyResult(
        Prediction.from_dict(message["prediction"]),
        read_elapsed(message["elapsed"]),
        picture or None,
        QuantizedMel.from_bytes(spectrogram) if spectrogram else None,
    )


_COMMANDS: Final[dict[str, Callable[[Mapping[str, Any], Sequence[bytes]], Command]]] = {
    "ClassifyFile": lambda m, _: ClassifyFile(_text(m["path"]), _limits(m["limits"]), read_options(m["options"])),
    "ClassifySpectrogram": lambda m, payloads: ClassifySpectrogram(payloads[0], read_options(m["options"])),
    "Illustrate": lambda m, payloads: Illustrate(
        payloads[0], Prediction.from_dict(m["prediction"]), _text(m["locale"])
    ),
    "Cancel": lambda m, _: Cancel(ErrorCode(m["code"])),
}

_EVENTS: Final[dict[str, Callable[[Mapping[str, Any], Sequence[bytes]], Event]]] = {
    "Ready": lambda m, _: Ready(),
    "Unusable": lambda m, _: Unusable(_text(m["reason"])),
    "Progress": lambda m, _: Progress(Step(m["step"]), _share(m["share"])),
    "Classified": lambda m, payloads: Classified(_result(m, payloads)),
    "Refused": lambda m, _: Refused(read_error(m["code"], m["params"])),
    "ModelUnusable": lambda m, _: ModelUnusable(_text(m["reason"])),
    "Crashed": lambda m, _: Crashed(_text(m["trace"])),
}
