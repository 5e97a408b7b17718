"""Source → Verdict: fetch, workers, progress, and a cache that is handed in. What every face calls."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.audio.spectrogram import QuantizedMel
from core.constants import FRONT_END_VERSION
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.inference.classifier import model_file, music_file, read_card
from core.inference.pipeline import ClassifyOptions, ClassifyResult, ProgressCallback, Step
from core.settings import MIB, Settings
from core.verdict import Verdict
from core.workers.pool import WorkerPool

if TYPE_CHECKING:  # who hears local files only does not wait for the network's libraries
    from core.fetch.proxy import FetchProxy
    from core.fetch.result import Fetched
    from core.fetch.tempfiles import TemporaryFiles


@dataclass(frozen=True, slots=True)
class PathSource:
    """A local file; `name` is what the verdict calls it."""

    path: Path
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AttachmentSource:
    """A file that Discord holds; `size` is what Discord says it has, bytes."""

    url: str
    filename: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class LinkSource:
    """A link to a song, or to a page with one."""

    url: str


@dataclass(frozen=True, slots=True)
class SpectrogramSource:
    """A song that was heard before and whose spectrogram was kept: another part of it, or all, needs no download."""

    mel: QuantizedMel
    name: str
    sha256: str


Source = PathSource | AttachmentSource | LinkSource | SpectrogramSource


@dataclass(frozen=True, slots=True)
class Request:
    """A source and how to listen to it.

    The fields after `source` are those of `core.inference.pipeline.ClassifyOptions`; `max_duration_s` is the asker's
    own bound on the length of the song, seconds, beside the host's.
    """

    source: Source
    model: str | None = None
    whole: bool = False
    start: float | None = None
    picture: bool = False
    keep_mel: bool = False
    locale: str = "en"
    max_duration_s: float | None = None

    @property
    def options(self) -> ClassifyOptions:
        """How to listen."""
        return ClassifyOptions(self.model, self.whole, self.start, self.picture, self.keep_mel, self.locale)

    @property
    def part(self) -> str:
        """The part of the song asked for: `main`, `whole` or `start:62.0`."""
        if self.whole:
            return "whole"
        return "main" if self.start is None else f"start:{float(self.start)}"


@dataclass(frozen=True, slots=True)
class IdentifyResult:
    """The answer to a request.

    Attributes:
        verdict: as heard, under the asker's own name for the song.
        sha256: of the file's bytes.
        picture: PNG, where wished for.
        mel: the song's spectrogram, where wished for.
        cached: whether it was known already.
    """

    verdict: Verdict
    sha256: str
    picture: bytes | None = None
    mel: QuantizedMel | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What makes two requests the same: the bytes, the model, the front end, the part asked for."""

    sha256: str
    model_sha256: str
    front_end: str
    part: str


class Cache(Protocol):
    """Where answers are kept. The store decides how long, and which of an answer's parts."""

    async def get(self, key: CacheKey) -> IdentifyResult | None:
        """Answer kept under a key, or None."""

    async def put(self, key: CacheKey, heard: IdentifyResult) -> None:
        """Keep an answer."""


class Identifier:
    """Answers requests with what it is handed; it owns none of it.

    Args:
        settings: limits.
        pool: who listens.
        proxy: the way out, for attachments and links; None refuses them as `unsupported-link`.
        files: where fetched files lie while they are heard.
        cache: answers that are known already.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pool: WorkerPool,
        proxy: "FetchProxy | None" = None,
        files: "TemporaryFiles | None" = None,
        cache: Cache | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._proxy = proxy
        self._files = files
        self._cache = cache
        self._digests: dict[str | None, str] = {}

    async def identify(self, request: Request, *, progress: ProgressCallback | None = None) -> IdentifyResult:
        """Answer a request; cancelling the caller cancels the work.

        Raises:
            GenreGenieError: there is no verdict.
            ConfigurationError: the model asked for cannot be used.
        """
        began = time.perf_counter()
        tell = progress or (lambda step, share: None)
        if isinstance(request.source, SpectrogramSource):
            heard = await self._known_or_heard(request, request.source, tell)
            heard = _labelled(heard, request.source, request.source, 0.0)
        else:
            async with self._fetched(request.source, tell) as fetched:
                spent = time.perf_counter() - began
                heard = await self._known_or_heard(request, fetched, tell)
            heard = _labelled(heard, request.source, fetched, spent)
        total = time.perf_counter() - began
        elapsed = replace(heard.verdict.elapsed, total=total)
        tell(Step.DONE, 1.0)
        return replace(heard, verdict=replace(heard.verdict, elapsed=elapsed))

    @contextlib.asynccontextmanager
    async def _fetched(self, source: Source, tell: ProgressCallback) -> AsyncIterator["Fetched | PathSource"]:
        if isinstance(source, PathSource):
            yield source
            return
        if self._proxy is None or self._files is None:
            raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
        tell(Step.FETCHING, None)

        def received(there: int, announced: int | None) -> None:
            tell(Step.FETCHING, min(1.0, there / announced) if announced else None)

        limit = self._settings.max_file_bytes
        if isinstance(source, AttachmentSource):
            from core.fetch.discord_cdn import fetch_attachment

            with self._files.job(limit) as directory:
                yield await fetch_attachment(
                    source.url,
                    directory,
                    proxy=self._proxy,
                    settings=self._settings,
                    filename=source.filename,
                    size=source.size,
                    progress=received,
                )
        elif isinstance(source, LinkSource):
            from core.fetch.tempfiles import LINK_COPIES
            from core.fetch.ytdlp import fetch_link

            with self._files.job(LINK_COPIES * limit) as directory:
                yield await fetch_link(
                    source.url, directory, proxy=self._proxy, settings=self._settings, progress=received
                )

    async def _known_or_heard(
        self, request: Request, source: "Fetched | PathSource | SpectrogramSource", tell: ProgressCallback
    ) -> IdentifyResult:
        key = None
        digest = source.sha256 if isinstance(source, SpectrogramSource) else await _sha256(source.path, self._settings)
        if self._cache is not None:
            key = CacheKey(digest, await self._model_sha256(request.model), FRONT_END_VERSION, request.part)
            known = await self._cache.get(key)
            if known is not None and (known.picture is not None or not request.picture):
                return replace(known, cached=True)
        if isinstance(source, SpectrogramSource):
            hearing = await self._pool.classify_spectrogram(source.mel, source.name, request.options, progress=tell)
        else:
            name = request.source.name if isinstance(request.source, PathSource) else None
            hearing = await self._pool.classify_file(
                source.path,
                name or str(source.path),
                request.options,
                max_seconds=request.max_duration_s,
                progress=tell,
            )
        heard = _heard(hearing, digest)
        if self._cache is not None and key is not None:
            await self._cache.put(key, heard)
        return heard

    async def _model_sha256(self, name: str | None) -> str:
        name = name or self._settings.model
        if name not in self._digests:
            self._digests[name] = await asyncio.to_thread(_models_digest, name)
        return self._digests[name]


def _heard(hearing: ClassifyResult, digest: str) -> IdentifyResult:
    return IdentifyResult(hearing.verdict, digest, hearing.picture, hearing.mel)


def _labelled(
    heard: IdentifyResult, source: Source, fetched: "Fetched | PathSource | SpectrogramSource", spent: float
) -> IdentifyResult:
    """Put the asker's own names on an answer: none crosses from one request to another."""
    match source:
        case PathSource(path=path, name=name):
            called = name or str(path)
        case AttachmentSource(filename=filename):
            called = filename
        case LinkSource(url=url):
            called = url
        case SpectrogramSource(name=name):
            called = name
    verdict = replace(heard.verdict, source=called, title=None, uploader=None, note=None)
    if isinstance(fetched, PathSource | SpectrogramSource):
        spent = 0.0
    else:
        verdict = replace(verdict, title=fetched.title, uploader=fetched.uploader, note=fetched.note)
    return replace(heard, verdict=replace(verdict, elapsed=replace(verdict.elapsed, fetch=spent)))


def _models_digest(name: str | None) -> str:
    """Digest of the models that make an answer: the genre model, and the one that tells music if there is one."""
    files = [model_file(name), *filter(None, [music_file()])]
    digests = [read_card(file).sha256 for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


async def _sha256(path: Path, settings: Settings) -> str:
    """Digest of a file's bytes, computed beside the event loop; a file that decoding will refuse is not read.

    Raises:
        GenreGenieError: `not-found`, `not-audio` or `too-large`.
    """
    return await asyncio.to_thread(_digest, path, settings.max_file_bytes)


def _digest(path: Path, max_bytes: int) -> str:
    from core.audio.decode import opened

    with opened(path, max_bytes) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def open_fetching(stack: contextlib.AsyncExitStack, settings: Settings) -> "tuple[FetchProxy, TemporaryFiles]":
    """Open the way out and the place for what is fetched, until the stack is closed.

    Raises:
        ConfigurationError: the data directory cannot be written to.
    """
    from core.fetch.proxy import FetchProxy
    from core.fetch.tempfiles import LINK_COPIES, TemporaryFiles

    # One link at a time must always fit, however the two limits are set.
    quota = max(settings.max_tmp_mb * MIB, LINK_COPIES * settings.max_file_bytes)
    try:
        files = stack.enter_context(
            TemporaryFiles(
                settings.data_dir / "tmp",
                quota=quota,
                min_free=settings.min_free_mb * MIB,
            )
        )
    except OSError as error:
        raise ConfigurationError(f"GENREGENIE_DATA_DIR cannot be written to: {error.strerror}") from None
    proxy = await stack.enter_async_context(FetchProxy(allowed_hosts=settings.allowed_hosts, ca_file=settings.ca_file))
    return proxy, files
