"""A file → a verdict: decode, spectrogram, section, segments, classifier, tally. Synchronous, without state."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from core.audio.decode import CancelToken, DecodeLimits, FfmpegDecoder
from core.audio.section import main_section
from core.audio.spectrogram import FloatArray, LogMel, MelStream, QuantizedMel, segments_db
from core.constants import (
    SECTION_SECONDS,
    SECTION_SEGMENTS,
    SEGMENT_FRAMES,
    SEGMENT_SECONDS,
    frame_to_seconds,
)
from core.constants import seconds_to_frame as to_frame
from core.errors import ErrorCode, GenreGenieError
from core.inference.classifier import Classifier, model_file, music_file
from core.verdict import Elapsed, Section, Segment, Verdict, tally

PROGRESS_SECONDS = 0.1
"""Progress is told no more often than this."""


class Step(StrEnum):
    """Where a request stands."""

    QUEUED = "queued"
    FETCHING = "fetching"
    DECODING = "decoding"
    LISTENING = "listening"
    DONE = "done"


ProgressCallback = Callable[[Step, float | None], None]
"""Told of each step with the share of it that is done, 0 to 1, or None where that cannot be known."""


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How to listen.

    Attributes:
        model: as for `--model`; None takes the best there is.
        whole: vote over all of the song instead of its main section.
        start: hear the thirty seconds from this second on.
        picture: draw the votes under the spectrogram.
        keep_mel: give the song's spectrogram back, to be heard again without its audio.
        locale: language of the picture's labels.
    """

    model: str | None = None
    whole: bool = False
    start: float | None = None
    picture: bool = False
    keep_mel: bool = False
    locale: str = "en"


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """What one listening gives: the verdict and, where wished for, a PNG and the song's spectrogram."""

    verdict: Verdict
    picture: bytes | None = None
    mel: QuantizedMel | None = None


class Models:
    """The models of one process, each loaded when it is first needed and kept."""

    def __init__(self, default: str | None = None) -> None:
        self._default = default
        self._loaded: dict[Path, Classifier] = {}

    def genre(self, name: str | None = None) -> Classifier:
        """Genre model by name; None is the default one.

        Raises:
            ConfigurationError: there is no such model, or it cannot be used.
        """
        return self._load(model_file(name or self._default))

    def music(self) -> Classifier | None:
        """Give the model that tells music from other sound, if there is one."""
        path = music_file()
        return self._load(path) if path is not None else None

    def _load(self, path: Path) -> Classifier:
        if path not in self._loaded:
            self._loaded[path] = Classifier(path)
        return self._loaded[path]


def classify_file(
    path: Path,
    name: str,
    options: ClassifyOptions,
    *,
    models: Models,
    limits: DecodeLimits,
    stop: CancelToken | None = None,
    progress: ProgressCallback | None = None,
) -> ClassifyResult:
    """Listen to a file.

    Args:
        path: the file.
        name: the verdict's `source`.
        options: how to listen.
        models: loaded models.
        limits: bounds on the file.
        stop: ends the work from another thread.
        progress: told of decoding and listening.

    Raises:
        GenreGenieError: the file has no verdict.
        ConfigurationError: the model cannot be used.
    """
    began = time.perf_counter()
    stop = stop or CancelToken()
    tell = progress or (lambda step, share: None)
    decoding = FfmpegDecoder(path, limits, stop)
    stream = MelStream()
    feeding = 0.0
    for block in _told(decoding, tell):
        fed = time.perf_counter()
        stream.feed(block)
        feeding += time.perf_counter() - fed
    decoded = time.perf_counter()
    recording = stream.finish()
    features = feeding + time.perf_counter() - decoded
    stop.check()
    tell(Step.LISTENING, None)
    hearing = classify_spectrogram(recording, name, options, models=models)
    elapsed = hearing.verdict.elapsed
    total = time.perf_counter() - began
    return replace(
        hearing,
        verdict=replace(
            hearing.verdict,
            elapsed=replace(
                elapsed,
                decode=decoded - began - feeding,
                features=elapsed.features + features,
                total=total,
            ),
        ),
    )


def _told(decoding: FfmpegDecoder, tell: ProgressCallback) -> Iterator[FloatArray]:
    """Pass blocks on and tell what share of the announced duration has come."""
    from core.constants import SAMPLE_RATE

    samples, last = 0, 0.0
    tell(Step.DECODING, None)
    for block in decoding:
        samples += block.size
        duration = decoding.announced.duration
        if duration and time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            tell(Step.DECODING, min(1.0, samples / SAMPLE_RATE / duration))
        yield block


def classify_spectrogram(recording: LogMel, name: str, options: ClassifyOptions, *, models: Models) -> ClassifyResult:
    """Listen to a song of which the spectrogram is known.

    Raises:
        GenreGenieError: `too-short`, `silent` or `not-music`.
        ConfigurationError: the model cannot be used.
    """
    began = time.perf_counter()
    first, starts = _segment_starts(recording, options)
    segments = segments_db(recording, starts)
    # A silent stretch has no loudest bin to refer to, and no vote.
    loud = [i for i, start in enumerate(starts) if not recording.silent(start, start + SEGMENT_FRAMES)]
    if not loud:
        raise GenreGenieError(ErrorCode.SILENT)
    segments = segments[loud]
    cut = time.perf_counter()
    music = _music(segments, models)
    classifier = models.genre(options.model)
    probabilities = classifier.probabilities(segments)
    offset = frame_to_seconds(first)
    voters = tuple(
        Segment(offset + i * SEGMENT_SECONDS, offset + (i + 1) * SEGMENT_SECONDS, tuple(map(float, row)))
        for i, row in zip(loud, probabilities, strict=True)
    )
    genre, votes, mean = tally(voters)
    end = recording.duration if options.whole else min(offset + SECTION_SECONDS, recording.duration)
    classified = time.perf_counter()
    verdict = Verdict(
        source=name,
        title=None,
        duration=recording.duration,
        music=music,
        genre=genre,
        votes=votes,
        probabilities=mean,
        section=Section(offset, end),
        segments=voters,
        model=classifier.name,
        elapsed=Elapsed(features=cut - began, classify=classified - cut, total=classified - began),
    )
    picture = None
    if options.picture:
        from core.inference.chart import draw

        picture = draw(verdict, recording, options.locale)
    return ClassifyResult(verdict, picture, QuantizedMel.of(recording) if options.keep_mel else None)


def _segment_starts(recording: LogMel, options: ClassifyOptions) -> tuple[int, list[int]]:
    """First frame of the part to hear, and of each of its segments."""
    if not recording.segment_starts(most=1):
        raise GenreGenieError(ErrorCode.TOO_SHORT)
    if recording.silent():
        raise GenreGenieError(ErrorCode.SILENT)
    if options.whole:
        return 0, recording.segment_starts()
    if options.start is not None:
        if not 0 <= options.start < recording.duration:  # nor what is not a number
            raise GenreGenieError(ErrorCode.TOO_SHORT, start=f"{options.start:g}")
        first = to_frame(options.start)
        starts = recording.segment_starts(first, SECTION_SEGMENTS)
        if not starts:
            raise GenreGenieError(ErrorCode.TOO_SHORT, start=f"{options.start:g}")
        return first, starts
    first = main_section(recording)
    return first, recording.segment_starts(first, SECTION_SEGMENTS)


def _music(segments: FloatArray, models: Models) -> float | None:
    """Probability that it is music; raises `not-music` under the card's threshold."""
    model = models.music()
    if model is None:
        return None
    music = float(model.probabilities(segments).mean())
    if model.card.threshold is not None and music < model.card.threshold:
        raise GenreGenieError(ErrorCode.NOT_MUSIC)
    return music
