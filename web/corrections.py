"""What visitors say that songs really are: JSON lines in the data folder, without a word about who said it."""

import asyncio
import json
import os
from pathlib import Path
from typing import Final

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.verdict import ModelInfo

FILE: Final = "page-corrections.jsonl"
NONE: Final = "none"
"""Stands for a genre that is none of the ten."""

CHOICES: Final = (*GENRES, NONE)
MAX_BYTES: Final = 4 * 1024 * 1024
"""About fifteen thousand corrections; then the page takes no more until the file is moved away."""

MAX_PER_ANSWER: Final = 3
"""How often a visitor may change their mind about one answer; the latest counts."""


class Corrections:
    """The file of corrections.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()

    async def add(self, answer: str, sha256: str, predicted: str, corrected: str, model: ModelInfo, at: float) -> None:
        """Append a correction.

        Args:
            answer: name of the answer that is corrected: of several lines with the same, the last one counts.
            sha256: of the song's bytes.
            predicted: the model's genre.
            corrected: the visitor's, or `NONE`.
            model: which one predicted.
            at: seconds since 1970.

        Raises:
            GenreGenieError: `busy`: the file is full, or cannot be written.
        """
        correction = {
            "answer": answer,
            "sha256": sha256,
            "predicted": predicted,
            "corrected": corrected,
            "model": str(model),
            "corrected_at": round(at),
        }
        async with self._lock:
            try:
                await asyncio.to_thread(_append, self._path, json.dumps(correction) + "\n")
            except OSError:
                raise GenreGenieError(ErrorCode.BUSY) from None


def _append(path: Path, line: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_size + len(line) > MAX_BYTES:
            raise OSError("the file is full")
        file.write(line)
