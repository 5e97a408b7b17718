"""A file → a prediction: decode, spectrogram, section, segments, classifier, tally. Synchronous, without state."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from core.audio.cancel import CancelToken
from core.audio.decode import DecodeLimits, FfmpegDecoder, StreamInfo
from core.audio.front_end import FrontEnd
from core.audio.section import main_section
from core.audio.spectrogram import (
    FloatArray,
    LogMel,
    QuantizedMel,
    mel_band_edge,
    segments_db,
    spread_segments_db,
)
from core.constants import (
    SAMPLE_RATE,
    SECTION_SECONDS,
    SECTION_SEGMENTS,
    SEGMENT_FRAMES,
    SEGMENT_SECONDS,
    frame_to_seconds,
    seconds_to_frame,
)
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.inference import occlusion
from core.inference.classifier import Classifier, Outputs
from core.inference.model_card import model_file, music_file
from core.inference.outside import find_outside, shown_tags
from core.verdict import Elapsed, Explanation, Prediction, Section, Segment, tally

PROGRESS_SECONDS: Final = 0.1
"""Progress is reported no more often than this."""

SPREAD_SEGMENTS: Final = 30
"""Segments over the whole recording that are asked before something is said to be no music."""


class Step(StrEnum):
    """Where a request stands."""

    QUEUED = "queued"
    FETCHING = "fetching"
    DECODING = "decoding"
    LISTENING = "listening"
    DONE = "done"


ProgressCallback = Callable[[Step, float | None], None]
"""Called at each step with the share of it that is done, 0 to 1, or None where that cannot be known."""


def ignore_progress(step: Step, share: float | None) -> None:
    """Take progress where nobody watches."""


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How to classify a song.

    Attributes:
        model: as for `--model`; None takes the best there is.
        whole: vote over all of the song instead of its main section.
        start: take the thirty seconds from this second on.
        picture: draw the votes above the spectrogram.
        why: find which bands and times spoke for the genre.
        keep_spectrogram: return the song's spectrogram, to classify it again without its audio.
        locale: language of the picture's labels.
        max_duration_s: the asker's own bound on the length of the song, seconds, beside the host's.
    """

    model: str | None = None
    whole: bool = False
    start: float | None = None
    picture: bool = False
    why: bool = False
    keep_spectrogram: bool = False
    locale: str = "en"
    max_duration_s: float | None = None

    @property
    def part(self) -> str:
        """The part of the song asked for: `main`, `whole` or `start:62.0`."""
        if self.whole:
            return "whole"
        return "main" if self.start is None else f"start:{float(self.start)}"


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """What classifying a song gives: the prediction, its cost and, where asked for, a PNG and the spectrogram."""

    prediction: Prediction
    elapsed: Elapsed
    picture: bytes | None = None
    spectrogram: QuantizedMel | None = None


class Models:
    """The models of one process, each loaded when it is first needed.

    Args:
        default: as for `--model`.
        most_others: how many models stay loaded beside those that `keep` has named; None is all.
    """

    def __init__(self, default: str | None = None, *, most_others: int | None = None) -> None:
        self._default = default
        self._most_others = most_others
        self._loaded: dict[Path, Classifier] = {}
        self._kept: frozenset[Path] = frozenset()

    def keep(self) -> None:
        """Keep the models that are loaded now for as long as the process lives."""
        self._kept = frozenset(self._loaded)

    def release(self, most: int = 0) -> bool:
        """Give models back, the one loaded first before the others, until `most` are left beside those that are kept.

        Returns:
            Whether there was one to give back.
        """
        others = [path for path in self._loaded if path not in self._kept]
        given_back = others[: max(0, len(others) - most)]
        for path in given_back:
            del self._loaded[path]
        return bool(given_back)

    def genre(self, name: str | None = None) -> Classifier:
        """Genre model by name; None is the default one.

        Raises:
            ConfigurationError: there is no such model, or it cannot be used.
        """
        return self._load(model_file(name or self._default))

    def music(self, classifier: Classifier) -> Classifier | None:
        """Give the model that tells music from other sound, if there is one: the genre model itself where it can."""
        if classifier.card.threshold is not None:
            return classifier
        return self._load(self._music_file) if self._music_file is not None else None

    @cached_property
    def _music_file(self) -> Path | None:
        """Looked for once: where no model tells music only, all cards are read for it."""
        return music_file()

    def _load(self, path: Path) -> Classifier:
        if path not in self._loaded:
            if self._most_others is not None:
                self.release(max(0, self._most_others - 1))
            self._loaded[path] = Classifier(path)
        return self._loaded[path]


def classify_file(
    path: Path,
    options: ClassifyOptions,
    *,
    models: Models,
    limits: DecodeLimits,
    cancel_token: CancelToken | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ClassifyResult:
    """Classify a file.

    Args:
        path: the file.
        options: how.
        models: loaded models.
        limits: bounds on the file.
        cancel_token: ends the work from another thread.
        on_progress: called while decoding and classifying.

    Raises:
        GenreGenieError: the file has no verdict.
        ConfigurationError: the model cannot be used.
    """
    began = time.perf_counter()
    cancel_token = cancel_token or CancelToken()
    decoder = FfmpegDecoder(path, limits, cancel_token)
    recording, info, feature_s = _record(decoder, cancel_token, on_progress)
    decode_s = time.perf_counter() - began - feature_s
    on_progress(Step.LISTENING, None)
    if info.cut_off and not recording.segment_starts(most=1):
        raise GenreGenieError(ErrorCode.DAMAGED)
    result = classify_spectrogram(recording, options, models=models)
    prediction = replace(result.prediction, cut_off=info.cut_off, track=info.track + 1, tracks=max(1, len(info.tracks)))
    elapsed = replace(
        result.elapsed,
        decode=decode_s,
        features=result.elapsed.features + feature_s,
        total=time.perf_counter() - began,
    )
    return replace(result, prediction=prediction, elapsed=elapsed)


def _record(
    decoder: FfmpegDecoder, cancel_token: CancelToken, on_progress: ProgressCallback
) -> tuple[LogMel, StreamInfo, float]:
    """Decode the first track that can be classified: one that is neither silent nor too short.

    Returns:
        The spectrogram, that of the first track where none can be classified; what is known of the file and the
        track; seconds that the spectrograms took.
    """
    feature_s = 0.0
    first: tuple[LogMel, StreamInfo] | None = None
    while True:
        front_end = FrontEnd()
        try:
            for block in _with_progress(decoder, on_progress):
                block_began = time.perf_counter()
                front_end.feed(block)
                feature_s += time.perf_counter() - block_began
        except GenreGenieError as error:
            if first is None or error.code not in (ErrorCode.NOT_AUDIO, ErrorCode.DAMAGED, ErrorCode.TOO_LONG):
                raise
        else:
            finishing = time.perf_counter()
            recording = front_end.finish()
            feature_s += time.perf_counter() - finishing
            cancel_token.check()
            if recording.segment_starts(most=1) and not recording.is_silent():
                return recording, decoder.stream_info, feature_s
            first = first or (recording, decoder.stream_info)
        if not decoder.next_track():
            return *first, feature_s


def _with_progress(decoder: FfmpegDecoder, on_progress: ProgressCallback) -> Iterator[FloatArray]:
    """Pass blocks on and report what share of the announced duration has come."""
    samples, last = 0, 0.0
    on_progress(Step.DECODING, None)
    for block in decoder:
        samples += len(block)
        duration = decoder.stream_info.duration
        if duration and time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            on_progress(Step.DECODING, min(1.0, samples / SAMPLE_RATE / duration))
        yield block


def classify_spectrogram(recording: LogMel, options: ClassifyOptions, *, models: Models) -> ClassifyResult:
    """Classify a song of which the spectrogram is known.

    Raises:
        GenreGenieError: `too-short`, `silent` or `not-music`.
        ConfigurationError: the model cannot be used.
    """
    began = time.perf_counter()
    first, starts = _segment_starts(recording, options)
    segments = segments_db(recording, starts)
    # A silent stretch has no loudest bin to refer to, and no vote.
    loud = [i for i, start in enumerate(starts) if not recording.is_silent(start, start + SEGMENT_FRAMES)]
    if not loud:
        raise GenreGenieError(ErrorCode.SILENT)
    segments = segments[loud]
    cut = time.perf_counter()
    classifier = models.genre(options.model)
    outputs = classifier.run(segments)
    music = _check_music(recording, segments, outputs, models.music(classifier), classifier)
    probabilities = outputs.genre
    if probabilities is None:
        raise ConfigurationError(f"{classifier.card.name} is no model of genres")
    offset = frame_to_seconds(first)
    voters = tuple(
        Segment(offset + i * SEGMENT_SECONDS, offset + (i + 1) * SEGMENT_SECONDS, tuple(map(float, row)))
        for i, row in zip(loud, probabilities, strict=True)
    )
    genre, votes, mean = tally(voters)
    end = recording.duration if options.whole else min(offset + SECTION_SECONDS, recording.duration)
    prediction = Prediction(
        duration=recording.duration,
        music=music,
        genre=genre,
        votes=votes,
        probabilities=mean,
        section=Section(offset, end),
        segments=voters,
        model=classifier.info,
        very_sure_from=classifier.card.very_sure_from,
    )
    prediction = _with_tags(prediction, outputs, classifier)
    if options.why:
        chosen = _surest_voters(prediction)
        prediction = replace(prediction, why=_explain(prediction, chosen, segments[chosen], classifier))
    classified = time.perf_counter()
    picture = None
    if options.picture:
        from core.inference.chart import draw

        picture = draw(prediction, recording, options.locale)
    return ClassifyResult(
        prediction,
        Elapsed(features=cut - began, classify=classified - cut, total=classified - began),
        picture,
        QuantizedMel.quantize(recording) if options.keep_spectrogram else None,
    )


def _segment_starts(recording: LogMel, options: ClassifyOptions) -> tuple[int, list[int]]:
    """First frame of the part to classify, and of each of its segments."""
    if not recording.segment_starts(most=1):
        raise GenreGenieError(ErrorCode.TOO_SHORT)
    if recording.is_silent():
        raise GenreGenieError(ErrorCode.SILENT)
    if options.whole:
        return 0, recording.segment_starts()
    if options.start is not None:
        if not 0 <= options.start < recording.duration:  # nor what is not a number
            raise GenreGenieError(ErrorCode.TOO_SHORT, start=f"{options.start:g}")
        first = seconds_to_frame(options.start)
        starts = recording.segment_starts(first, SECTION_SEGMENTS)
        if not starts:
            raise GenreGenieError(ErrorCode.TOO_SHORT, start=f"{options.start:g}")
        return first, starts
    first = main_section(recording)
    return first, recording.segment_starts(first, SECTION_SEGMENTS)


def _check_music(
    recording: LogMel, segments: FloatArray, outputs: Outputs, detector: Classifier | None, classifier: Classifier
) -> float | None:
    """Probability that it is music; None where no model can tell.

    One section can mislead: a drum solo, a spoken bridge. So it is refused only where segments spread over all of the
    recording are no music either.

    Raises:
        GenreGenieError: `not-music`: both are under the card's threshold.
    """
    if detector is None or detector.card.threshold is None:
        return None
    own = outputs.music if detector is classifier else detector.run(segments).music
    if own is None:
        return None
    music = float(own.mean())
    if music < detector.card.threshold:
        spread = spread_segments_db(recording, SPREAD_SEGMENTS)
        elsewhere = detector.run(spread).music
        if elsewhere is not None and elsewhere.size:
            music = max(music, float(elsewhere.mean()))
    if music < detector.card.threshold:
        raise GenreGenieError(ErrorCode.NOT_MUSIC)
    return music


def _with_tags(prediction: Prediction, outputs: Outputs, classifier: Classifier) -> Prediction:
    """Add what else the model says of the song: tags, a kind of music outside the ten, the embedding."""
    embedding: tuple[float, ...] = ()
    if outputs.embedding is not None:
        mean = outputs.embedding.mean(axis=0)
        embedding = tuple((mean / max(float(np.linalg.norm(mean)), 1e-9)).tolist())
    if outputs.tags is None:
        return replace(prediction, embedding=embedding)
    tags = outputs.tags.mean(axis=0)
    return replace(
        prediction,
        tags=shown_tags(classifier.card, tags),
        outside=find_outside(classifier.card, tags, prediction.confidence),
        embedding=embedding,
    )


def illustrate(prediction: Prediction, recording: LogMel, locale: str, *, models: Models) -> ClassifyResult:
    """Draw a prediction that was made before, and explain it where the model that made it is the one at hand.

    Nothing is classified again: whatever this process would say today, the picture shows the votes that were counted.

    Args:
        prediction: of the same song.
        recording: its spectrogram.
        locale: language of the picture's labels.
        models: loaded models.

    Returns:
        The prediction, with `why` where that could be found, and the picture.

    Raises:
        ConfigurationError: the model cannot be used.
    """
    from core.inference.chart import draw

    began = time.perf_counter()
    classifier = models.genre()
    if prediction.why is None and classifier.info == prediction.model:
        chosen = _surest_voters(prediction)
        segments = np.stack([_segment_again(prediction, recording, index) for index in chosen])
        prediction = replace(prediction, why=_explain(prediction, chosen, segments, classifier))
    explained = time.perf_counter()
    picture = draw(prediction, recording, locale)
    return ClassifyResult(prediction, Elapsed(classify=explained - began, total=time.perf_counter() - began), picture)


def _segment_again(prediction: Prediction, recording: LogMel, index: int) -> FloatArray:
    """Cut a segment out as it was when it voted: float32 `(N_MELS, SEGMENT_FRAMES)` dB."""
    first = seconds_to_frame(prediction.section.start)
    # Silent stretches have no vote, so a segment's number in the section is told by its time.
    number = round((prediction.segments[index].start - prediction.section.start) / SEGMENT_SECONDS)
    tens = number // SECTION_SEGMENTS * SECTION_SEGMENTS
    starts = recording.segment_starts(first, tens + SECTION_SEGMENTS)[tens:]
    segment: FloatArray = segments_db(recording, starts)[number - tens]
    return segment


def _surest_voters(prediction: Prediction) -> list[int]:
    """Give the indices of the segments that voted for the song's genre, in order: at most ten of them, the surest."""
    voters = [i for i, segment in enumerate(prediction.segments) if segment.genre == prediction.genre]
    return sorted(sorted(voters, key=lambda i: -prediction.segments[i].probability)[:SECTION_SEGMENTS])


def _explain(prediction: Prediction, chosen: list[int], segments: FloatArray, classifier: Classifier) -> Explanation:
    """Explain the segments chosen, of which `segments` are the spectrograms."""
    falls = occlusion.importance(segments, prediction.genre, classifier)
    rows = falls.transpose(1, 0, 2).reshape(falls.shape[1], -1)
    return Explanation(
        tuple(mel_band_edge((band + 1) * occlusion.BANDS) for band in range(occlusion.BAND_CELLS)),
        tuple(prediction.segments[i].start for i in chosen),
        tuple(tuple(map(float, row)) for row in rows),
    )
