"""What a process and its proxy's process say to each other: one JSON object a line."""

import json
from typing import Any, Final

MAX_LINE: Final = 64 * 1024

OPEN, SYNC, CLOSE = "open", "sync", "close"
"""To the proxy: a lease begins, its refusals are asked for, it ends."""

READY, OPENED, SYNCED, CLOSED, LOG = "ready", "opened", "synced", "closed", "log"
"""From the proxy. The three in the middle answer the three above; all carry the counters."""


def encode(kind: str, **fields: object) -> bytes:
    """Write one message."""
    return json.dumps({"kind": kind, **fields}).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read one message.

    Raises:
        ValueError: it is none.
    """
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise ValueError("not a message")
    return message
