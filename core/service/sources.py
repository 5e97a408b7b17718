"""Where a song comes from. Each kind of source opens itself: as a file on disk, or as a spectrogram that was kept."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.audio.decode import opened
from core.audio.spectrogram import QuantizedMel
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, ClassifyResult, ProgressCallback, Step
from core.verdict import SongInfo
from core.workers.pool import WorkerPool

if TYPE_CHECKING:  # who classifies local files only does not wait for the network's libraries
    from core.service.fetcher import Fetcher


class OpenSong(Protocol):
    """A song that is at hand, as long as its source is open."""

    @property
    def info(self) -> SongInfo:
        """What the song is called."""

    @property
    def fetch_s(self) -> float:
        """Seconds that fetching took."""

    async def sha256(self, max_bytes: int) -> str:
        """Digest of the file's bytes.

        Raises:
            GenreGenieError: `not-found`, `not-audio` or `too-large`.
        """

    async def classify(
        self, pool: WorkerPool, options: ClassifyOptions, on_progress: ProgressCallback
    ) -> ClassifyResult:
        """Classify it on a pool; raises as `WorkerPool.classify_file` does."""


class Source(Protocol):
    """Where a song comes from."""

    @property
    def name(self) -> str:
        """What the asker calls it."""

    def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AbstractAsyncContextManager[OpenSong]:
        """Make the song available until the context ends.

        Args:
            fetcher: fetches what is elsewhere; None refuses that as `unsupported-link`.
            on_progress: called while fetching.

        Raises:
            GenreGenieError: it cannot be had.
        """

    async def portable(self) -> "PortableSource | None":
        """Give what another machine can open in its place; None where only this one can.

        Raises:
            GenreGenieError: it cannot be had.
        """


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A song as a file on disk."""

    path: Path
    info: SongInfo
    fetch_s: float = 0.0

    async def sha256(self, max_bytes: int) -> str:
        """Digest of the file's bytes, computed beside the event loop; what decoding would refuse is not read."""
        return await asyncio.to_thread(_digest, self.path, max_bytes)

    async def classify(
        self, pool: WorkerPool, options: ClassifyOptions, on_progress: ProgressCallback
    ) -> ClassifyResult:
        """Classify the file."""
        return await pool.classify_file(self.path, options, on_progress=on_progress, spent_s=self.fetch_s)


@dataclass(frozen=True, slots=True)
class PathSource:
    """A local file, under another name where one is given."""

    path: Path
    given_name: str | None = None

    @property
    def name(self) -> str:
        """The name given, or the path."""
        return self.given_name or str(self.path)

    @contextlib.asynccontextmanager
    async def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Use the file where it is."""
        yield OpenFile(self.path, SongInfo(self.name))

    async def portable(self) -> None:
        """Give nothing: the file is here."""


@dataclass(frozen=True, slots=True)
class AttachmentSource:
    """A file that Discord holds; `size` is what Discord says it has, bytes."""

    url: str
    name: str
    size: int | None = None

    @contextlib.asynccontextmanager
    async def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Download the attachment."""
        began = time.perf_counter()
        async with _fetching(fetcher, on_progress).attachment(self.url, self.name, self.size, on_progress) as fetched:
            info = SongInfo(self.name, fetched.title, fetched.uploader, fetched.note)
            yield OpenFile(fetched.path, info, time.perf_counter() - began)

    async def portable(self) -> "AttachmentSource":
        """Give the source itself."""
        return self


@dataclass(frozen=True, slots=True)
class LinkSource:
    """A link to a song, or to a page with one."""

    url: str

    @property
    def name(self) -> str:
        """The link itself."""
        return self.url

    @contextlib.asynccontextmanager
    async def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Download what the link leads to."""
        began = time.perf_counter()
        async with _fetching(fetcher, on_progress).link(self.url, on_progress) as fetched:
            info = SongInfo(self.url, fetched.title, fetched.uploader, fetched.note)
            yield OpenFile(fetched.path, info, time.perf_counter() - began)

    async def portable(self) -> "LinkSource":
        """Give the source itself."""
        return self


@dataclass(frozen=True, slots=True)
class SpectrogramSource:
    """A song whose spectrogram was kept: another part of it, or all, needs no download."""

    spectrogram: QuantizedMel
    name: str
    digest: str

    @contextlib.asynccontextmanager
    async def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Use the spectrogram that is there."""
        yield _OpenSpectrogram(self, SongInfo(self.name))

    async def portable(self) -> "SpectrogramSource":
        """Give the source itself: its digest names what was kept."""
        return self


PortableSource = AttachmentSource | LinkSource | SpectrogramSource
"""What another machine can open: it has an address, or is kept where that machine can look it up by its digest."""


@dataclass(frozen=True, slots=True)
class _OpenSpectrogram:
    source: SpectrogramSource
    info: SongInfo
    fetch_s: float = 0.0

    async def sha256(self, max_bytes: int) -> str:
        return self.source.digest

    async def classify(
        self, pool: WorkerPool, options: ClassifyOptions, on_progress: ProgressCallback
    ) -> ClassifyResult:
        return await pool.classify_spectrogram(self.source.spectrogram, options, on_progress=on_progress)


def _fetching(fetcher: "Fetcher | None", on_progress: ProgressCallback) -> "Fetcher":
    if fetcher is None:
        raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
    on_progress(Step.FETCHING, None)
    return fetcher


def _digest(path: Path, max_bytes: int) -> str:
    with opened(path, max_bytes) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
