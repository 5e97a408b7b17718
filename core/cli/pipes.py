"""Songs that come through a pipe: standard input, FIFOs, process substitution, devices.

Workers open regular files only, and a descriptor of this process is none of theirs: what is no regular file is copied
into a private temporary one first, within the same limits as any other song.
"""

import asyncio
import contextlib
import os
import re
import stat
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ProgressCallback, Step
from core.service.sources import OpenFile, OpenSong
from core.settings import MIB, Settings
from core.verdict import SongInfo

if TYPE_CHECKING:  # who classifies local files only does not wait for the network's libraries
    from core.service.fetcher import Fetcher

_CHUNK_BYTES: Final = 1 << 16
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")


def inherited_descriptor(given: str) -> int | None:
    """Return the descriptor that `-`, `/dev/stdin` or `/dev/fd/63` stands for; None for any other path."""
    if given in ("-", "/dev/stdin"):
        return 0
    match = _DESCRIPTOR.fullmatch(given)
    return int(match[1]) if match else None


def must_be_copied(given: str) -> bool:
    """Return whether there is something that no worker can open: a descriptor of this process, a pipe or a device."""
    if inherited_descriptor(given) is not None:
        return True
    try:
        mode = os.stat(given).st_mode
    except (OSError, ValueError):  # opening it will say so
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@dataclass(frozen=True, slots=True)
class PipeSource:
    """A song that can be read only once, from its beginning, and may never end.

    Attributes:
        name: the pipe, as it was given.
        settings: `max_file_mb` and `job_timeout_s` bound the copy.
    """

    name: str
    settings: Settings

    @contextlib.asynccontextmanager
    async def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Copy what comes into a private file that is gone when the context ends.

        Raises:
            GenreGenieError: `not-found`; `too-large`; `timeout`, also where nobody writes; `busy`, the disk is full.
        """
        began = time.perf_counter()
        on_progress(Step.FETCHING, None)
        with contextlib.ExitStack() as stack:
            try:
                directory = tempfile.TemporaryDirectory(prefix="genregenie-", ignore_cleanup_errors=True)
                path = Path(stack.enter_context(directory), "song")
                target = path.open("xb")  # noqa: ASYNC230 - a new, empty file
            except OSError as error:
                raise _disk_full(error) from None
            await self._copy_to(target)
            yield OpenFile(path, SongInfo(self.name), time.perf_counter() - began)

    async def _copy_to(self, target: BinaryIO) -> None:
        # A thread of its own, which the end of the process does not wait for: nothing wakes it from opening a FIFO
        # that nobody writes to, or from reading a pipe that nothing comes through.
        copied: Future[None] = Future()
        copied.set_running_or_notify_cancel()
        abandoned = threading.Event()
        threading.Thread(target=self._run, args=(target, copied, abandoned), daemon=True, name="pipe").start()
        try:
            async with asyncio.timeout(self.settings.job_timeout_s):
                await asyncio.wrap_future(copied)
        except TimeoutError:
            raise GenreGenieError(ErrorCode.TIMEOUT) from None
        finally:
            abandoned.set()

    def _run(self, target: BinaryIO, copied: "Future[None]", abandoned: threading.Event) -> None:
        try:
            self._copy(target, abandoned)
        except Exception as error:
            copied.set_exception(error)
        else:
            copied.set_result(None)

    def _copy(self, target: BinaryIO, abandoned: threading.Event) -> None:
        try:
            with target, open(self._open(), "rb", buffering=0) as source:
                left = self.settings.max_file_bytes
                while not abandoned.is_set():
                    data = _read(source)
                    if data is None:  # whoever shares the pipe has made it non-blocking
                        time.sleep(0.01)
                        continue
                    left -= len(data)
                    if left < 0:
                        raise GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=self.settings.max_file_bytes // MIB)
                    if not data:
                        return
                    if not abandoned.is_set():
                        target.write(data)
        except OSError as error:
            raise _disk_full(error) from None

    def _open(self) -> int:
        descriptor = inherited_descriptor(self.name)
        try:
            if descriptor is None:
                return os.open(self.name, os.O_RDONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0))
            # What we have opened ourselves is not inheritable, and nobody can mean it.
            if os.get_inheritable(descriptor):
                return os.dup(descriptor)
        except OSError:
            pass
        raise GenreGenieError(ErrorCode.NOT_FOUND)

    async def portable(self) -> None:
        """Give nothing: the pipe is here."""


def _read(source: BinaryIO) -> bytes | None:
    try:
        return source.read(_CHUNK_BYTES)
    except OSError:  # a directory, or a device without anything in it
        raise GenreGenieError(ErrorCode.NOT_FOUND) from None


def _disk_full(error: OSError) -> GenreGenieError:
    """Say on standard error what is wrong with the disk, and return the error that stands for it."""
    reason = error.strerror or "there is no such folder"
    print(f"genregenie: temporary files cannot be written: {reason}", file=sys.stderr)
    return GenreGenieError(ErrorCode.BUSY)
