"""Data augmentation, as graph functions on batches of spectrograms in dB.

Crops and time stretching move along the columns, pitch shifting along the mel bands; then come a random equaliser, a
random floor and bandwidth, masks over bands and frames (SpecAugment, Park et al. 2019, arXiv:1904.08779) and mixup
(Zhang et al. 2018, arXiv:1710.09412).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.constants import DB_FLOOR, FMAX, FMIN, N_MELS, SECTION_FRAMES, SEGMENT_FRAMES

_SHIFTS_PER_SEMITONE: Final = 10
_EQUALISER_POINTS: Final = 6
_STORED_TO_DB: Final = -DB_FLOOR / 255


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly crops are augmented.

    Attributes:
        stretch: largest factor by which a crop is played faster or slower.
        semitones: largest pitch shift, up or down.
        equaliser_db: largest gain or loss of a band.
        floors_db: range of the floor, in dB below a crop's loudest bin.
        dynamics: largest factor by which a crop's distances from its mean, in dB, are widened or narrowed.
        narrow: share of crops that lose their upper bands, as through a telephone or at a low bit rate.
        bands: largest number of bands in each of two masks.
        frames: largest number of frames in a mask.
        mixup: parameter of the Beta distribution from which the share of a second crop is drawn; 0 turns mixup off.
        mixed: share of crops that are mixed.
    """

    stretch: float = 1.35
    semitones: float = 4.0
    equaliser_db: float = 9.0
    floors_db: tuple[float, float] = (55.0, 80.0)
    dynamics: float = 1.0
    narrow: float = 0.1
    bands: int = 28
    frames: int = 14
    mixup: float = 0.5
    mixed: float = 1.0


def shift_table(semitones: float) -> NDArray[np.float32]:
    """Compute which position on the mel axis each band comes from when the pitch is shifted.

    Returns:
        Positions on the mel axis, float32 `(n_shifts, N_MELS)`, from `semitones` down to as many up.
    """
    import librosa

    centres = librosa.mel_frequencies(N_MELS + 2, fmin=FMIN, fmax=FMAX)[1:-1]
    mels = librosa.hz_to_mel(centres)
    count = 2 * round(semitones * _SHIFTS_PER_SEMITONE) + 1
    factors = 2 ** (np.linspace(-semitones, semitones, count) / 12)
    sources = librosa.hz_to_mel(centres[np.newaxis] / factors[:, np.newaxis])
    step = mels[1] - mels[0]
    positions: NDArray[np.float32] = np.clip((sources - mels[0]) / step, 0, N_MELS - 1).astype(np.float32)
    return positions


def _equaliser_curves() -> NDArray[np.float32]:
    """Make raised cosines over the bands that sum to 1, float32 `(_EQUALISER_POINTS, N_MELS)`."""
    points = np.linspace(0, N_MELS - 1, _EQUALISER_POINTS)
    distance = np.abs(np.arange(N_MELS)[np.newaxis] - points[:, np.newaxis]) / (points[1] - points[0])
    return np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * distance), 0).astype(np.float32)


class Augmenter:
    """Makes augmented crops of tracks.

    Args:
        frames: uint8 `(n_tracks * SECTION_FRAMES, N_MELS)`, as `Gtzan.frames`.
        config: how strongly they are augmented.
    """

    def __init__(self, frames: NDArray[np.uint8], config: AugmentConfig) -> None:
        self._frames = tf.constant(frames)
        self._shifts = tf.constant(shift_table(config.semitones))
        self._curves = tf.constant(_equaliser_curves())
        self._config = config

    def __call__(self, tracks: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Augmented crops of a batch of tracks.

        Args:
            tracks: int64 `(n,)`, positions of the tracks.
            targets: float32 `(n, outputs)`.
            seed: int64 `(2,)`: the same seed gives the same crops.

        Returns:
            dB `(n, N_MELS, SEGMENT_FRAMES)` and the targets, mixed as the crops are.
        """
        seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 7))
        db = self._crop(tracks, seeds[0])
        db = self._shift(db, seeds[1])
        db = self._equalise(db, seeds[2])
        db = self._compress(db, seeds[6])
        db = self._degrade(db, seeds[3])
        db = self._mask(db, seeds[4])
        return self._mix(db, targets, seeds[5])

    def _crop(self, tracks: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Three seconds from a random place in each track, faster or slower, with linear interpolation."""
        config, n = self._config, tf.shape(tracks)[0]
        draws = tf.random.stateless_uniform((2, n, 1), seed)
        rate = tf.exp((2 * draws[0] - 1) * np.float32(np.log(config.stretch)))
        start = draws[1] * (SECTION_FRAMES - 1 - rate * (SEGMENT_FRAMES - 1))
        position = start + rate * tf.range(SEGMENT_FRAMES, dtype=tf.float32)
        return self._columns(position, tracks[:, tf.newaxis] * SECTION_FRAMES, SECTION_FRAMES - 1)

    def _columns(self, position: tf.Tensor, first_row: tf.Tensor, last_frame: tf.Tensor | int) -> tf.Tensor:
        """Interpolate linearly between the frames of recordings.

        Args:
            position: float32 `(n, SEGMENT_FRAMES)`, counted from each recording's first frame.
            first_row: int64 `(n, 1)`, row of each recording's first frame in the frames.
            last_frame: position of each recording's last frame.

        Returns:
            dB `(n, N_MELS, SEGMENT_FRAMES)`.
        """
        left = tf.floor(position)
        weight = (position - left)[..., tf.newaxis]
        first = tf.cast(left, tf.int64) + first_row
        last = first_row + last_frame
        before = tf.cast(tf.gather(self._frames, first), tf.float32)
        after = tf.cast(tf.gather(self._frames, tf.minimum(first + 1, last)), tf.float32)
        mixed = before + (after - before) * weight
        return tf.transpose(mixed, (0, 2, 1)) * _STORED_TO_DB + DB_FLOOR

    def _shift(self, db: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        n = tf.shape(db)[0]
        which = tf.random.stateless_uniform((n,), seed, 0, self._shifts.shape[0], tf.int32)
        position = tf.gather(self._shifts, which)
        left = tf.cast(tf.floor(position), tf.int32)
        right = tf.minimum(left + 1, N_MELS - 1)
        weight = (position - tf.floor(position))[..., tf.newaxis]
        before = tf.gather(db, left, batch_dims=1)
        return before + (tf.gather(db, right, batch_dims=1) - before) * weight

    def _equalise(self, db: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        largest = self._config.equaliser_db
        gains = tf.random.stateless_uniform((tf.shape(db)[0], _EQUALISER_POINTS), seed, -largest, largest)
        return db + (gains @ self._curves)[..., tf.newaxis]

    def _compress(self, db: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Scale each crop about its mean, as mastering and instruments differ in dynamics."""
        largest = np.float32(np.log(self._config.dynamics))
        factor = tf.exp(tf.random.stateless_uniform((tf.shape(db)[0], 1, 1), seed, -largest, largest))
        mean = tf.reduce_mean(db, (1, 2), keepdims=True)
        return mean + factor * (db - mean)

    def _degrade(self, db: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Raise the floor by a random amount; some crops also lose everything above a random band."""
        config, n = self._config, tf.shape(db)[0]
        draws = tf.random.stateless_uniform((3, n, 1, 1), seed)
        low, high = config.floors_db
        floor = tf.reduce_max(db, (1, 2), keepdims=True) - (low + (high - low) * draws[0])
        # From band 64 (2.6 kHz: less than a telephone's) to the top.
        cutoff = tf.where(draws[1] < config.narrow, N_MELS / 2 * (1 + draws[2]), float(N_MELS))
        bands = tf.range(N_MELS, dtype=tf.float32)[tf.newaxis, :, tf.newaxis]
        return tf.where(bands < cutoff, tf.maximum(db, floor), floor)

    def _mask(self, db: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Replace two stripes of bands and one of frames by the crop's mean."""
        config, n = self._config, tf.shape(db)[0]
        draws = tf.random.stateless_uniform((6, n, 1, 1), seed)
        bands = tf.range(N_MELS, dtype=tf.float32)[tf.newaxis, :, tf.newaxis]
        frames = tf.range(SEGMENT_FRAMES, dtype=tf.float32)[tf.newaxis, tf.newaxis, :]
        hidden = _stripe(bands, N_MELS, config.bands, draws[0], draws[1])
        hidden |= _stripe(bands, N_MELS, config.bands, draws[2], draws[3])
        hidden |= _stripe(frames, SEGMENT_FRAMES, config.frames, draws[4], draws[5])
        return tf.where(hidden, tf.reduce_mean(db, (1, 2), keepdims=True), db)

    def _mix(self, db: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if not self._config.mixup:
            return db, targets
        n = tf.shape(db)[0]
        seeds = tf.unstack(tf.random.split(seed, 3))
        share = _beta(n, self._config.mixup, seeds[0], seeds[1])
        partner = _shuffled(n, seeds[2])
        if self._config.mixed < 1:
            chosen = tf.random.stateless_uniform((n,), seeds[2] + 1) < self._config.mixed
            share = tf.where(chosen, share, 1.0)
        wide, flat = share[:, tf.newaxis, tf.newaxis], share[:, tf.newaxis]
        return (
            wide * db + (1 - wide) * tf.gather(db, partner),
            flat * targets + (1 - flat) * tf.gather(targets, partner),
        )


class WindowAugmenter(Augmenter):
    """Makes augmented crops of given places, so that a teacher's output for a place holds for the crop.

    Where `Augmenter` takes tracks, this takes windows, int64 `(n, 3)`: the first row in the frames that a crop may use,
    how many frames it may use, and twice the position of the crop's middle among them. (A middle may lie between two
    frames.)

    Args:
        frames: uint8 `(n_frames, N_MELS)`.
        config: how strongly crops are augmented.
        jitter: largest distance in columns between a crop and its place, as far as its window allows.
    """

    def __init__(self, frames: NDArray[np.uint8], config: AugmentConfig, jitter: float) -> None:
        super().__init__(frames, config)
        self._jitter = jitter

    def _crop(self, tracks: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform((2, tf.shape(tracks)[0], 1), seed)
        rate = tf.exp((2 * draws[0] - 1) * np.float32(np.log(self._config.stretch)))
        last = tracks[:, 1:2] - 1
        end = tf.cast(last, tf.float32)
        half = rate * ((SEGMENT_FRAMES - 1) / 2)
        middle = tf.cast(tracks[:, 2:3], tf.float32) / 2 + (2 * draws[1] - 1) * self._jitter
        middle = tf.clip_by_value(middle, tf.minimum(half, end / 2), tf.maximum(end - half, end / 2))
        position = middle + rate * (tf.range(SEGMENT_FRAMES, dtype=tf.float32) - (SEGMENT_FRAMES - 1) / 2)
        return self._columns(tf.clip_by_value(position, 0.0, end), tracks[:, 0:1], last)


def _beta(n: tf.Tensor, alpha: float, first_seed: tf.Tensor, second_seed: tf.Tensor) -> tf.Tensor:
    """Draw from a symmetric Beta distribution, `(n,)`: one gamma variate's share of the sum of two."""
    first, second = (tf.random.stateless_gamma((n,), seed, tf.fill((n,), alpha)) for seed in (first_seed, second_seed))
    return first / tf.maximum(first + second, 1e-12)


def _shuffled(n: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return a random permutation of `range(n)`: a partner in the batch for each crop."""
    return tf.argsort(tf.random.stateless_uniform((n,), seed))


def _stripe(positions: tf.Tensor, size: int, widest: int, draw_width: tf.Tensor, draw_start: tf.Tensor) -> tf.Tensor:
    """Mark the positions that a random stripe of at most `widest` covers."""
    width = tf.floor(draw_width * (widest + 1))
    start = tf.floor(draw_start * (size - width + 1))
    return (positions >= start) & (positions < start + width)
