"""How a worker and its pool talk: a line of JSON, then the bytes that it announces.

JSON and not pickle: a worker deals with files of strangers, and what it says is read as data, never as code.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from core.audio.spectrogram import QuantizedMel
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, ClassifyResult
from core.verdict import Elapsed, ModelName, Section, Segment, Verdict

MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of the longest message, payloads not counted: six hours of segments fit."""

MAX_PAYLOAD: Final = 128 * 1024 * 1024


def encode(message: Mapping[str, Any], *payloads: bytes) -> bytes:
    """Put a message and its payloads into the form that is sent."""
    line = json.dumps({**message, "payloads": [len(payload) for payload in payloads]}).encode()
    return b"".join((line, b"\n", *payloads))


def decode(line: bytes) -> tuple[dict[str, Any], list[int]]:
    """Read a message's line.

    Returns:
        The message and the lengths of the payloads that follow it.

    Raises:
        ValueError: it is none.
    """
    message = json.loads(line)
    if not isinstance(message, dict) or "event" not in message and "do" not in message:
        raise ValueError("not a message")
    lengths = message.pop("payloads", [])
    if not all(isinstance(n, int) and 0 <= n <= MAX_PAYLOAD for n in lengths):
        raise ValueError("payloads out of range")
    return message, lengths


def options_to_wire(options: ClassifyOptions) -> dict[str, Any]:
    """`ClassifyOptions` as JSON's types."""
    return asdict(options)


def options_from_wire(data: Mapping[str, Any]) -> ClassifyOptions:
    """Read what `options_to_wire` gave."""
    return ClassifyOptions(**data)


def result_to_wire(hearing: ClassifyResult) -> tuple[dict[str, Any], list[bytes]]:
    """`ClassifyResult` as a message and its payloads."""
    described = asdict(hearing.verdict)
    payloads = [hearing.picture or b"", hearing.mel.to_bytes() if hearing.mel else b""]
    return {"event": "heard", "verdict": described}, payloads


def result_from_wire(message: Mapping[str, Any], payloads: list[bytes]) -> ClassifyResult:
    """Read what `result_to_wire` gave."""
    picture, mel = payloads
    return ClassifyResult(
        verdict_from_dict(message["verdict"]), picture or None, QuantizedMel.from_bytes(mel) if mel else None
    )


def verdict_from_dict(data: Mapping[str, Any]) -> Verdict:
    """Rebuild a verdict from `dataclasses.asdict` of one, after JSON."""
    return Verdict(
        **{
            **data,
            "probabilities": tuple(data["probabilities"]),
            "section": Section(**data["section"]),
            "segments": tuple(
                Segment(segment["start"], segment["end"], tuple(segment["probabilities"]))
                for segment in data["segments"]
            ),
            "model": ModelName(**data["model"]),
            "elapsed": Elapsed(**data["elapsed"]),
        }
    )


def error_to_wire(error: GenreGenieError) -> dict[str, Any]:
    """Describe an error as a message."""
    return {"event": "error", "code": error.code.value, "params": error.params}


def error_from_wire(message: Mapping[str, Any]) -> GenreGenieError:
    """Read what `error_to_wire` gave."""
    return GenreGenieError(ErrorCode(message["code"]), **message.get("params", {}))
