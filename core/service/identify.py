"""Request → Verdict: what every face calls. Here on this machine; `core.queue` asks others over the same protocol."""

import asyncio
import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from core.audio.spectrogram import QuantizedMel
from core.constants import FRONT_END_VERSION
from core.inference.model_card import model_file, music_file, read_card
from core.inference.pipeline import ClassifyOptions, ClassifyResult, ProgressCallback, Step, ignore_progress
from core.service.admission import Ticket
from core.service.sources import OpenSong, Source, SpectrogramSource
from core.settings import Settings
from core.verdict import Elapsed, Prediction, Verdict
from core.workers.pool import WorkerPool

if TYPE_CHECKING:  # who classifies local files only does not wait for the network's libraries
    from core.service.fetcher import Fetcher


@dataclass(frozen=True, slots=True)
class Request:
    """A source, and how to classify it."""

    source: Source
    options: ClassifyOptions = field(default_factory=ClassifyOptions)


@dataclass(frozen=True, slots=True)
class IdentifyResult:
    """The answer to a request.

    Attributes:
        verdict: under the asker's own name for the song.
        sha256: of the file's bytes.
        picture: PNG, where asked for.
        spectrogram: of the song, where asked for.
        cached: whether the prediction was known already.
    """

    verdict: Verdict
    sha256: str
    picture: bytes | None = None
    spectrogram: QuantizedMel | None = None
    cached: bool = False

    @property
    def prediction(self) -> Prediction:
        """What the model says."""
        return self.verdict.prediction


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What makes two requests the same: the bytes, the model, the front end, the part asked for."""

    sha256: str
    model_sha256: str
    front_end: str
    part: str


@dataclass(frozen=True, slots=True)
class CachedResult:
    """What is kept of an answer: nothing in it is the asker's own, so no picture either, which has a language."""

    prediction: Prediction
    spectrogram: QuantizedMel | None = None


class Cache(Protocol):
    """Where results are kept. The store decides how long, and which of their parts."""

    async def get(self, key: CacheKey) -> CachedResult | None:
        """Look up the result kept under a key; None if there is none."""

    async def put(self, key: CacheKey, result: CachedResult) -> None:
        """Keep a result."""


class Identifier(Protocol):
    """Answers requests: on this machine, or on others."""

    async def identify(
        self, request: Request, *, on_progress: ProgressCallback = ignore_progress, ticket: Ticket | None = None
    ) -> IdentifyResult:
        """Answer a request; cancelling the caller cancels the work.

        Args:
            request: what to classify, and how.
            on_progress: called at each step.
            ticket: the request's place in this process's own queue, whose turn has come. It names the group that the
                request counts for, and what else there is to wait for is waited for, and shown, through it.

        Raises:
            GenreGenieError: there is no verdict.
            ConfigurationError: the model asked for cannot be used.
        """

    async def illustrate(
        self, prediction: Prediction, song: SpectrogramSource, locale: str, *, ticket: Ticket | None = None
    ) -> ClassifyResult:
        """Draw a prediction that was made before and explain it, where this was the model that made it.

        Args:
            prediction: of the song.
            song: as it was kept.
            locale: language of the picture's labels.
            ticket: as for `identify`, its turn for a worker included.

        Raises:
            GenreGenieError: `busy`, `timeout`, `internal`; `not-found`: the song is not kept any more.
        """


class LocalIdentifier:
    """Answers requests on this machine, with what it is handed; it owns none of it.

    Args:
        settings: limits.
        pool: the workers.
        fetcher: fetches attachments and links; None refuses them as `unsupported-link`.
        cache: results that are known already.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pool: WorkerPool,
        fetcher: "Fetcher | None" = None,
        cache: Cache | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._fetcher = fetcher
        self._cache = cache
        self._digests = ModelDigests(settings.model)

    async def identify(
        self, request: Request, *, on_progress: ProgressCallback = ignore_progress, ticket: Ticket | None = None
    ) -> IdentifyResult:
        """Answer a request; the ticket waits for a worker once the song is fetched, unless its result is known."""
        began = time.perf_counter()
        async with request.source.open(self._fetcher, on_progress) as song:
            result = await self._cached_or_classified(song, request.options, on_progress, ticket)
        elapsed = replace(result.verdict.elapsed, fetch=song.fetch_s, total=time.perf_counter() - began)
        on_progress(Step.DONE, 1.0)
        return replace(result, verdict=replace(result.verdict, elapsed=elapsed))

    async def illustrate(
        self, prediction: Prediction, song: SpectrogramSource, locale: str, *, ticket: Ticket | None = None
    ) -> ClassifyResult:
        """Draw and explain a prediction that was made before; raises as `WorkerPool.illustrate` does."""
        if ticket is not None:
            await ticket.classifying()
        return await self._pool.illustrate(prediction, song.spectrogram, locale)

    async def _cached_or_classified(
        self,
        song: OpenSong,
        options: ClassifyOptions,
        on_progress: ProgressCallback,
        ticket: Ticket | None,
    ) -> IdentifyResult:
        sha256 = await song.sha256(self._settings.max_file_bytes)
        if self._cache is None:
            if ticket is not None:
                await ticket.classifying()
            return _identified(song, sha256, await song.classify(self._pool, options, on_progress))
        key = CacheKey(sha256, await self._digests.of(options.model), FRONT_END_VERSION, options.part)
        known = await self._cache.get(key)
        if known is not None and _has_all(known, options):
            verdict = Verdict(known.prediction, song.info, Elapsed())
            return IdentifyResult(verdict, sha256, None, known.spectrogram, cached=True)
        if ticket is not None:
            await ticket.classifying()
        result = await song.classify(self._pool, options, on_progress)
        await self._cache.put(key, CachedResult(result.prediction, result.spectrogram))
        return _identified(song, sha256, result)


class ModelDigests:
    """Digests of the models that make an answer, each computed once.

    Args:
        default: the model where a request names none.
    """

    def __init__(self, default: str | None) -> None:
        self._default = default
        self._known: dict[str | None, str] = {}

    async def of(self, name: str | None) -> str:
        """Digest of the models that a request for this one is answered with.

        Raises:
            ConfigurationError: there is no such model.
        """
        name = name or self._default
        if name not in self._known:
            self._known[name] = await asyncio.to_thread(models_digest, name)
        return self._known[name]


def _has_all(known: CachedResult, options: ClassifyOptions) -> bool:
    """Whether a kept result has everything that is asked for."""
    return not options.picture and (known.prediction.why is not None or not options.why)


def _identified(song: OpenSong, sha256: str, result: ClassifyResult) -> IdentifyResult:
    verdict = Verdict(result.prediction, song.info, result.elapsed)
    return IdentifyResult(verdict, sha256, result.picture, result.spectrogram)


def models_digest(name: str | None) -> str:
    """Digest of the models that make an answer: the genre model, and the one that tells music where it cannot."""
    card, music = read_card(model_file(name)), music_file()
    digests = [card.sha256]
    if card.threshold is None and music is not None:
        digests.append(read_card(music).sha256)
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
