"""Uploads: bounded as they arrive, kept for one request, deleted after it."""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.audio.suffixes import media_suffix
from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import clean_text, too_large
from core.fetch.tempfiles import TemporaryFiles
from web.settings import WebSettings

UPLOAD_TIMEOUT_S: Final = 900.0
"""Longest that an upload may take: 50 MB at about half a megabit a second."""

STALL_TIMEOUT_S: Final = 30.0
"""Longest pause between two chunks of an upload."""

UNCLAIMED_S: Final = 60.0
"""How long an upload waits to be claimed; the page claims it at once."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has arrived, with the name that its visitor gave it."""

    path: Path
    name: str | None
    visitor: str


class Uploads:
    """Keeps what visitors upload until it is claimed.

    Args:
        files: where uploads are stored.
        settings: limits.
    """

    def __init__(self, files: TemporaryFiles, settings: WebSettings) -> None:
        self._files = files
        self._settings = settings
        self._waiting: dict[str, tuple[Upload, contextlib.ExitStack]] = {}
        self._by_visitor: Counter[str] = Counter()

    def __len__(self) -> int:
        """Count the uploads that are not claimed yet."""
        return len(self._waiting)

    async def receive(self, visitor: str, name: str | None, size: int, chunks: AsyncIterator[bytes]) -> str:
        """Store an upload.

        Args:
            visitor: who sends it.
            name: the file's name on their side.
            size: the announced length in bytes.
            chunks: the content.

        Returns:
            The key that claims it.

        Raises:
            GenreGenieError: `too-large`; `busy`: this visitor has too many uploads waiting, or the disk is full;
                `timeout`; `unavailable`: it is not as long as announced.
        """
        if size > self._settings.max_file_bytes:
            raise too_large(self._settings)
        if self._by_visitor[visitor] >= self._settings.web_max_jobs_per_visitor:
            raise GenreGenieError(ErrorCode.BUSY)
        with contextlib.ExitStack() as stack:
            self._by_visitor[visitor] += 1
            stack.callback(self._release, visitor)
            path = stack.enter_context(self._files.job(size)) / f"upload{media_suffix(name)}"
            try:
                async with asyncio.timeout(UPLOAD_TIMEOUT_S):
                    await _write(path, size, chunks)
            except TimeoutError:
                raise GenreGenieError(ErrorCode.TIMEOUT) from None
            except OSError:
                raise GenreGenieError(ErrorCode.BUSY) from None  # the disk is full
            key = secrets.token_urlsafe(16)
            timer = asyncio.get_running_loop().call_later(UNCLAIMED_S, self.discard, key)
            stack.callback(timer.cancel)
            self._waiting[key] = Upload(path, clean_text(name), visitor), stack.pop_all()
        return key

    def find(self, key: str, visitor: str) -> Upload:
        """Look at an upload that is not claimed yet.

        Raises:
            GenreGenieError: `not-found`: the key is unknown, expired, or another visitor's.
        """
        upload, _ = self._waiting.get(key, (None, None))
        if upload is None or upload.visitor != visitor:
            raise GenreGenieError(ErrorCode.NOT_FOUND)
        return upload

    @contextlib.contextmanager
    def claim(self, key: str, visitor: str) -> Iterator[Upload]:
        """Hand an upload to its request, and delete it when the context ends.

        Raises:
            GenreGenieError: as `find` does.
        """
        upload = self.find(key, visitor)
        _, stack = self._waiting.pop(key)
        with stack:
            yield upload

    def discard(self, key: str) -> None:
        """Delete an upload, if it is not claimed yet."""
        _, stack = self._waiting.pop(key, (None, None))
        if stack is not None:
            stack.close()

    def close(self) -> None:
        """Delete the uploads that are not claimed."""
        for key in list(self._waiting):
            self.discard(key)

    def _release(self, visitor: str) -> None:
        self._by_visitor[visitor] -= 1
        if not self._by_visitor[visitor]:
            del self._by_visitor[visitor]


async def _write(path: Path, size: int, chunks: AsyncIterator[bytes]) -> None:
    """Write chunks to disk as they arrive.

    Raises:
        TimeoutError: nothing arrived for `STALL_TIMEOUT_S`.
        GenreGenieError: `unavailable`: the content is not as long as announced.
    """
    received = 0
    file = await asyncio.to_thread(path.open, "wb")
    with file:
        while True:
            async with asyncio.timeout(STALL_TIMEOUT_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            received += len(chunk)
            if received > size:
                break
            file.write(chunk)
    if received != size:
        raise GenreGenieError(ErrorCode.UNAVAILABLE)
