"""Samples → log-mel spectrogram: librosa's `melspectrogram` and `power_to_db`, streamed and without librosa."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.constants import (
    DB_FLOOR,
    FMAX,
    HOP_LENGTH,
    N_FFT,
    N_MELS,
    POWER_MIN,
    SAMPLE_RATE,
    SECTION_FRAMES,
    SECTION_SEGMENTS,
    SEGMENT_FRAMES,
    SEGMENT_SAMPLES,
    SEGMENT_TOLERANCE_SECONDS,
    SILENCE_DBFS,
    segment_frame,
)

FloatArray = NDArray[np.float32]

FILTERBANK_FILE: Final = Path(__file__).with_name("mel_filterbank.npz")

QUANTIZED_RANGE_DB: Final = 120.0
"""Dynamic range of a quantised spectrogram, dB: 80 for a section that is 40 dB quieter than the loudest one."""

_BLOCK_FRAMES: Final = 64
"""Frames per FFT call: half a megabyte of windowed samples, which fits into a core's own cache."""


@cache
def _filterbank() -> tuple[tuple[slice, FloatArray], ...]:
    """Load the Slaney mel filters in groups of neighbours, since each covers a few bins only.

    Returns:
        For each group its bins, and the filters there, float32 `(N_MELS / 8, n_bins)`.
    """
    with np.load(FILTERBANK_FILE) as archive:
        groups = np.split(archive["filters"], 8)
    covered = [np.flatnonzero(group.any(axis=0)) for group in groups]
    spans = [slice(int(bins[0]), int(bins[-1]) + 1) for bins in covered]
    return tuple((span, np.ascontiguousarray(group[:, span])) for span, group in zip(spans, groups, strict=True))


@cache
def _window() -> FloatArray:
    """Compute the periodic Hann window, float32 `(N_FFT,)`."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LogMel:
    """A recording's log-mel spectrogram, before its dB are made relative to a section's loudest bin.

    Attributes:
        db: `10 log10(power)`, float32 `(N_MELS, n_frames)`, frame `j` centred on sample `j * HOP_LENGTH`.
        peaks: largest magnitude of the samples around each frame's centre, float32 `(n_frames,)`, full scale 1. In a
            recording that is not within full scale, 1 is what 95% of the frames stay under.
        samples: number of samples in the recording.
    """

    db: FloatArray
    peaks: FloatArray
    samples: int

    @property
    def duration(self) -> float:
        """Duration, seconds."""
        return self.samples / SAMPLE_RATE

    @property
    def n_frames(self) -> int:
        """Number of frames: `1 + samples // HOP_LENGTH`."""
        return int(self.db.shape[1])

    def is_silent(self, first: int = 0, last: int | None = None) -> bool:
        """Return whether nothing from frame `first` up to `last` (exclusive) is louder than `SILENCE_DBFS`."""
        peaks = self.peaks[first:last]
        return peaks.size == 0 or float(peaks.max()) <= 10 ** (SILENCE_DBFS / 20)

    def segment_starts(self, first: int = 0, most: int | None = None) -> list[int]:
        """Return the first frame of each segment from frame `first` on whose 72 frames and 3 s exist.

        Args:
            first: frame at which segment 0 starts.
            most: how many segments to return at most; None is all that fit.
        """
        tolerance = round(SEGMENT_TOLERANCE_SECONDS * SAMPLE_RATE)
        starts: list[int] = []
        while most is None or len(starts) < most:
            start = first + segment_frame(len(starts))
            end_sample = first * HOP_LENGTH + (len(starts) + 1) * SEGMENT_SAMPLES
            if start + SEGMENT_FRAMES > self.n_frames or end_sample > self.samples + tolerance:
                break
            starts.append(start)
        return starts

    def section_db(self, first: int) -> FloatArray:
        """Return thirty seconds from frame `first` on, or what there is of them, in dB below their loudest bin.

        Returns:
            float32 `(N_MELS, at most SECTION_FRAMES)` from `DB_FLOOR` to 0.
        """
        section = self.db[:, first : first + SECTION_FRAMES]
        relative: FloatArray = np.maximum(section - section.max(), np.float32(DB_FLOOR))
        return relative


def segments_db(mel: LogMel, starts: list[int]) -> FloatArray:
    """Extract segments, each in dB below the loudest bin of its 30 s: the models' input.

    Every ten segments from the first on share one 30 s section and its loudest bin, also when a whole song is
    classified. (Rounding may put a tenth segment's last frame one beyond its section, so they are cut from the song.)

    Args:
        mel: the recording.
        starts: first frames, as from `LogMel.segment_starts`.

    Returns:
        float32 `(len(starts), N_MELS, SEGMENT_FRAMES)` from `DB_FLOOR` to 0.
    """
    cut = np.empty((len(starts), N_MELS, SEGMENT_FRAMES), np.float32)
    for tens in range(0, len(starts), SECTION_SEGMENTS):
        loudest = mel.db[:, starts[tens] : starts[tens] + SECTION_FRAMES].max()
        for index in range(tens, min(tens + SECTION_SEGMENTS, len(starts))):
            cut[index] = mel.db[:, starts[index] : starts[index] + SEGMENT_FRAMES] - loudest
    return np.clip(cut, DB_FLOOR, 0, out=cut)


def spread_segments_db(mel: LogMel, most: int) -> FloatArray:
    """Cut segments from all over a recording, each in dB below the loudest bin of the 30 s around it.

    Args:
        mel: the recording.
        most: how many; fewer where it is shorter. Silent ones are left out.

    Returns:
        float32 `(n, N_MELS, SEGMENT_FRAMES)` from `DB_FLOOR` to 0.
    """
    starts = mel.segment_starts()
    chosen = sorted({starts[round(i)] for i in np.linspace(0, len(starts) - 1, min(most, len(starts)))})
    cut = []
    for start in chosen:
        if not mel.is_silent(start, start + SEGMENT_FRAMES):
            first = max(0, min(start - (SECTION_FRAMES - SEGMENT_FRAMES) // 2, mel.n_frames - SECTION_FRAMES))
            cut.append(mel.section_db(first)[:, start - first : start - first + SEGMENT_FRAMES])
    return np.stack(cut) if cut else np.empty((0, N_MELS, SEGMENT_FRAMES), np.float32)


def mel_band_edge(band: int) -> float:
    """Lower edge of a mel band in Hz (Slaney's scale, as of the filterbank): 0 for band 0, `FMAX` for `N_MELS`."""
    return mel_to_hertz(hertz_to_mel(FMAX) * band / N_MELS)


def hertz_to_mel(hertz: float) -> float:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    if hertz < 1_000:
        return hertz * 3 / 200
    return 15 + 27 * math.log(hertz / 1_000) / math.log(6.4)


def mel_to_hertz(mel: float) -> float:
    """Turn Slaney's mels into hertz: the inverse of `hertz_to_mel`."""
    return mel * 200 / 3 if mel < 15 else 1_000 * 6.4 ** ((mel - 15) / 27)


class MelStream:
    """Computes log-mel frames from samples that arrive in blocks, in bounded memory for the samples.

    For one channel it equals `librosa.feature.melspectrogram(y, sr=22050, n_fft=2048, hop_length=914, n_mels=128,
    power=2.0)` of the whole (`center=True`, zeros beyond the ends) in `librosa.power_to_db(ref=1.0, top_db=None)`.

    For two channels it is that of their sum, but where they cancel. Channels that have nothing in common add up to half
    of their power, so a bin of the sum that holds less than half is raised to half. What differs in time, phase or
    polarity only is thus off by 3 dB at most, and other music is that of the sum.
    """

    def __init__(self) -> None:
        self._mid = np.zeros(N_FFT // 2, np.float32)
        self._side = np.zeros(N_FFT // 2, np.float32)
        self._blocks: list[FloatArray] = []
        self._peaks: list[FloatArray] = []
        self.samples = 0

    def feed(self, mid: FloatArray, side: FloatArray | None = None) -> None:
        """Add the next samples, each float32 `(n,)`, full scale 1.

        Args:
            mid: the only channel, or `(left + right) / sqrt(2)`.
            side: `(left - right) / sqrt(2)`.
        """
        self.samples += mid.size
        self._mid = np.concatenate((self._mid, mid))
        self._side = np.concatenate((self._side, np.zeros_like(mid) if side is None else side))
        needed = N_FFT + (_BLOCK_FRAMES - 1) * HOP_LENGTH
        while self._mid.size >= needed:
            self._transform(_BLOCK_FRAMES)

    def finish(self) -> LogMel:
        """Transform the remaining samples, zero-padded, and return the recording: without samples, one of no frames."""
        if self.samples:
            self._mid = np.pad(self._mid, (0, N_FFT // 2))
            self._side = np.pad(self._side, (0, N_FFT // 2))
            done = sum(block.shape[1] for block in self._blocks)
            self._transform(1 + self.samples // HOP_LENGTH - done)
        else:
            self._blocks.append(np.zeros((N_MELS, 0), np.float32))
            self._peaks.append(np.zeros(0, np.float32))
        db = np.concatenate(self._blocks, axis=1)
        peaks = below_full_scale(np.concatenate(self._peaks))
        self._blocks.clear()
        self._peaks.clear()
        return LogMel(db, peaks, self.samples)

    def _transform(self, n_frames: int) -> None:
        """Transform the next `n_frames` frames of the pending samples."""
        if n_frames <= 0:
            return
        mid = _frames(self._mid, n_frames)
        power, peaks = _mel_power(mid), _peaks(mid)
        if self._side.any():  # else the channels are equal
            side = _frames(self._side, n_frames)
            power = np.maximum(power, (power + _mel_power(side)) / 2)
            peaks = np.maximum(peaks, _peaks(side))
        self._blocks.append(np.log(np.maximum(power, np.float32(POWER_MIN))) * np.float32(10 / math.log(10)))
        self._peaks.append(peaks)
        self._mid = self._mid[n_frames * HOP_LENGTH :]
        self._side = self._side[n_frames * HOP_LENGTH :]


def _frames(samples: FloatArray, n_frames: int) -> FloatArray:
    """View the first `n_frames` frames of samples, float32 `(n_frames, N_FFT)`."""
    used = samples[: N_FFT + (n_frames - 1) * HOP_LENGTH]
    frames: FloatArray = np.lib.stride_tricks.sliding_window_view(used, N_FFT)[::HOP_LENGTH]
    return frames


def _peaks(frames: FloatArray) -> FloatArray:
    """Find the largest magnitude in the hop around each frame's centre: together the hops cover every sample."""
    peaks: FloatArray = np.abs(frames[:, (N_FFT - HOP_LENGTH) // 2 : (N_FFT + HOP_LENGTH) // 2]).max(axis=1)
    return peaks


def _mel_power(frames: FloatArray) -> FloatArray:
    """Compute the power in each mel band of frames `(n, N_FFT)`, float32 `(N_MELS, n)`."""
    spectrum = np.fft.rfft(frames * _window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.concatenate([filters @ power[:, bins].T for bins, filters in _filterbank()], dtype=np.float32)


def below_full_scale(peaks: FloatArray) -> FloatArray:
    """Scale the peaks of a recording that goes beyond full scale, as floats in the range of 16-bit integers do.

    A few frames may: codecs overshoot, and a glitch is not the recording's level.
    """
    if not peaks.size:
        return peaks
    scaled: FloatArray = peaks / np.float32(max(1.0, float(np.percentile(peaks, 95))))
    return scaled


def log_mel(blocks: Iterable[FloatArray]) -> LogMel:
    """Compute the log-mel spectrogram of one channel's samples as they are, in blocks, each float32 `(n,)`."""
    stream = MelStream()
    for block in blocks:
        stream.feed(block)
    return stream.finish()


@dataclass(frozen=True, slots=True)
class QuantizedMel:
    """A song's log-mel spectrogram in one byte a bin (0.2 MB a minute), to classify it again without its audio.

    Attributes:
        mel: uint8 `(N_MELS, n_frames)`: 255 is the loudest bin, 0 is `QUANTIZED_RANGE_DB` below it.
        peaks: uint8 `(n_frames,)`: peak magnitude in steps of 0.5 dB, 255 is full scale.
        reference: dB of the loudest bin.
        samples: number of samples in the recording.
    """

    mel: NDArray[np.uint8]
    peaks: NDArray[np.uint8]
    reference: float
    samples: int

    @classmethod
    def quantize(cls, recording: LogMel) -> "QuantizedMel":
        """Quantise a recording, with an error of at most 0.24 dB."""
        reference = float(recording.db.max()) if recording.db.size else 0.0
        scaled = (recording.db - reference) * np.float32(255 / QUANTIZED_RANGE_DB) + np.float32(255.5)
        peaks_db = 20 * np.log10(np.maximum(recording.peaks, np.float32(1e-7)))
        return cls(
            np.clip(scaled, 0, 255).astype(np.uint8),
            np.clip(255.5 + 2 * peaks_db, 0, 255).astype(np.uint8),
            reference,
            recording.samples,
        )

    def dequantize(self) -> LogMel:
        """Return the recording in dB."""
        db = self.mel.astype(np.float32)
        db *= np.float32(QUANTIZED_RANGE_DB / 255)
        db += np.float32(self.reference - QUANTIZED_RANGE_DB)
        peaks = np.power(10, (self.peaks.astype(np.float32) - 255) / 40).astype(np.float32)
        return LogMel(db, peaks, self.samples)

    @property
    def duration(self) -> float:
        """Duration, seconds."""
        return self.samples / SAMPLE_RATE

    def to_bytes(self) -> bytes:
        """Serialise: `samples` and `reference` as float64, then the peaks and the bins."""
        header = np.array([self.samples, self.reference], "<f8").tobytes()
        return header + self.peaks.tobytes() + self.mel.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "QuantizedMel":
        """Parse what `to_bytes` wrote.

        Raises:
            ValueError: the bytes do not have that form.
        """
        if len(data) < 16 or (len(data) - 16) % (N_MELS + 1):
            raise ValueError("not a stored spectrogram")
        samples, reference = np.frombuffer(data[:16], "<f8")
        n_frames = (len(data) - 16) // (N_MELS + 1)
        if not np.isfinite((samples, reference)).all() or samples < 0:
            raise ValueError("not a stored spectrogram")
        if n_frames != (1 + int(samples) // HOP_LENGTH if samples else 0):
            raise ValueError("not a stored spectrogram")
        peaks = np.frombuffer(data, np.uint8, n_frames, 16)
        mel = np.frombuffer(data, np.uint8, n_frames * N_MELS, 16 + n_frames).reshape(N_MELS, n_frames)
        return cls(mel, peaks, float(reference), int(samples))
