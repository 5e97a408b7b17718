"""Files that visitors send: bounded as they arrive, held for one hearing, gone after it."""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import clean_text, too_large
from core.fetch.tempfiles import TemporaryFiles
from web.settings import WebSettings

SENDING_TIMEOUT_S: Final = 900.0
"""Longest that a file may take to arrive: 50 MB at half a megabit a second."""

SILENT_TIMEOUT_S: Final = 30.0
"""Longest that nothing may arrive of it."""

UNCLAIMED_S: Final = 60.0
"""How long a file waits to be asked about; the page asks at once."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has arrived, under its visitor's own name for it."""

    path: Path
    name: str | None
    visitor: str


class Uploads:
    """Holds what visitors send until it is heard.

    Args:
        files: where it lies.
        settings: limits.
    """

    def __init__(self, files: TemporaryFiles, settings: WebSettings) -> None:
        self._files = files
        self._settings = settings
        self._held: dict[str, tuple[Upload, contextlib.ExitStack]] = {}
        self._by_visitor: Counter[str] = Counter()

    def __len__(self) -> int:
        """Files that wait to be asked about."""
        return len(self._held)

    async def receive(self, visitor: str, name: str | None, size: int, chunks: AsyncIterator[bytes]) -> str:
        """Take a file in.

        Args:
            visitor: who sends it.
            name: as they call it.
            size: announced bytes; more must not come.
            chunks: the file.

        Returns:
            What to ask for it by.

        Raises:
            GenreGenieError: `too-large`; `busy`: this visitor has sent enough, or the disk is short; `timeout`.
        """
        if size > self._settings.max_file_bytes:
            raise too_large(self._settings)
        if self._by_visitor[visitor] >= self._settings.web_max_jobs_per_visitor:
            raise GenreGenieError(ErrorCode.BUSY)
        with contextlib.ExitStack() as stack:
            self._by_visitor[visitor] += 1
            stack.callback(self._forget, visitor)
            path = stack.enter_context(self._files.job(size)) / "upload"
            try:
                async with asyncio.timeout(SENDING_TIMEOUT_S):
                    await _write(path, size, chunks)
            except TimeoutError:
                raise GenreGenieError(ErrorCode.TIMEOUT) from None
            except OSError:
                raise GenreGenieError(ErrorCode.BUSY) from None  # the disk is full
            key = secrets.token_urlsafe(16)
            timer = asyncio.get_running_loop().call_later(UNCLAIMED_S, self._drop, key)
            stack.callback(timer.cancel)
            self._held[key] = Upload(path, clean_text(name), visitor), stack.pop_all()
        return key

    @contextlib.contextmanager
    def taken(self, key: str, visitor: str) -> Iterator[Upload]:
        """Give a file to the one hearing that it was sent for, and delete it at the end.

        Raises:
            GenreGenieError: `not-found`: there is none, or no longer, or it is another visitor's.
        """
        upload, stack = self._held.get(key, (None, None))
        if upload is None or stack is None or upload.visitor != visitor:
            raise GenreGenieError(ErrorCode.NOT_FOUND)
        del self._held[key]
        with stack:
            yield upload

    def close(self) -> None:
        """Delete what waits."""
        for key in list(self._held):
            self._drop(key)

    def _drop(self, key: str) -> None:
        _, stack = self._held.pop(key, (None, None))
        if stack is not None:
            stack.close()

    def _forget(self, visitor: str) -> None:
        self._by_visitor[visitor] -= 1
        if not self._by_visitor[visitor]:
            del self._by_visitor[visitor]


async def _write(path: Path, size: int, chunks: AsyncIterator[bytes]) -> None:
    """Write as it comes.

    Raises:
        TimeoutError: nothing came for a while.
        GenreGenieError: `unavailable`: it is not as long as announced.
    """
    received = 0
    file = await asyncio.to_thread(path.open, "wb")
    with file:
        while True:
            async with asyncio.timeout(SILENT_TIMEOUT_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            received += len(chunk)
            if received > size:
                break
            file.write(chunk)
    if received != size:
        raise GenreGenieError(ErrorCode.UNAVAILABLE)
