"""The second model, which tells music from all else.

Its material is stored like GTZAN's tracks, so that the same augmentation makes its crops: GTZAN's music, sound that is
not music, and made noise. What would give the answer away is the same on both sides: every recording that there is as
audio is also there through another codec or bandwidth (the sounds' and the music's alike), crops lose their upper
bands at random, and music is also heard with other sound behind it.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.progress import track as progress_bar

from core.audio.spectrogram import log_mel
from core.constants import (
    DB_FLOOR,
    FRONT_END_VERSION,
    N_MELS,
    SAMPLE_RATE,
    SECTION_FRAMES,
    SEGMENT_FRAMES,
    segment_frame,
)
from core.errors import GenreGenieError
from training import networks
from training.data.augment import AugmentConfig, Augmenter
from training.data.distort import DISTORTIONS, Distortion, distort
from training.data.features import hear, in_parallel
from training.data.gtzan import CACHE_DIR, Gtzan, audio_files, to_db, to_uint8
from training.data.splits import SplitName, make_split
from training.fit import scope

SIDES: Final = ("train", "valid", "test")
SHARES: Final = (0.6, 0.2, 0.2)

AS_IS: Final = "as-is"
CODECS: Final[dict[str, Distortion | None]] = {
    AS_IS: None,
    "speech-like": Distortion("16 kHz Vorbis", ".ogg", {"ar": 16_000, "acodec": "libvorbis"}),
    "mp3-32": DISTORTIONS["mp3-32"],
    "voice-message": DISTORTIONS["voice-message"],
    "phone-recording": DISTORTIONS["phone-recording"],
}
"""What recordings go through, music or not."""

STRENGTH: Final = AugmentConfig(
    stretch=1.2, semitones=2.0, equaliser_db=9.0, floors_db=(40.0, 80.0), narrow=0.5, bands=20, frames=8, mixup=0.0
)
EPOCHS: Final = 28
EPOCH_CROPS: Final = 6_000
BATCH: Final = 64
MOST_REFUSED: Final = 0.01
"""Share of music that may be refused on validation."""

MADE: Final = 100
"""Recordings of made noise, and of made music, that are learned from."""


@dataclass(frozen=True, eq=False)
class Sounds:
    """Recordings of one side.

    Attributes:
        mel: uint8 `(n, N_MELS, SECTION_FRAMES)` as of `Gtzan.mel`; what is shorter is repeated.
        music: whether each is music, `(n,)`.
        segments: how many segments each has before it repeats, `(n,)`.
        label: what each is, for the table: `gtzan`, `speech`, `rain` and so on, with its codec after a slash.
    """

    mel: NDArray[np.uint8]
    music: NDArray[np.bool_]
    segments: NDArray[np.int64]
    label: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.label)


def sound_files(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Divide the sound that is not music.

    Args:
        folder: with `speech/` and `sounds/<class>/`.

    Returns:
        Side → class → files. Neighbours in the order of names stay together: recordings of one source do.

    Raises:
        FileNotFoundError: there are none.
    """
    classes = [path for path in (folder / "speech", *sorted((folder / "sounds").glob("*"))) if path.is_dir()]
    sides: dict[str, dict[str, list[Path]]] = {side: {} for side in SIDES}
    for place in classes:
        files = sorted(path for path in place.iterdir() if path.is_file())
        borders = np.rint(np.cumsum(SHARES)[:-1] * len(files)).astype(int)
        for side, chosen in zip(SIDES, np.split(np.array(files, dtype=object), borders), strict=True):
            sides[side][place.name] = list(chosen)
    if not any(chain.from_iterable(sides["train"].values())):
        raise FileNotFoundError(f"{folder} holds neither speech/ nor sounds/")
    return sides


def heard(path: Path, codec: str) -> tuple[NDArray[np.uint8], int] | None:
    """Hear a recording through a codec.

    Returns:
        uint8 `(N_MELS, SECTION_FRAMES)`, repeated where it is shorter, and the number of its segments; None where it
        has none or is silent.
    """
    try:
        distortion = CODECS[codec]
        if distortion is None:
            mel = hear(path)
        else:
            with tempfile.TemporaryDirectory() as folder:
                mel = hear(distort(path, distortion, Path(folder)))
    except (GenreGenieError, RuntimeError):
        return None
    count = len(mel.segment_starts(most=10))
    if not count or mel.is_silent():
        return None
    return _repeated(mel.section_db(0)), count


def _repeated(section: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Fill thirty seconds: uint8 `(N_MELS, SECTION_FRAMES)` of dB `(N_MELS, any)`."""
    repeats = -(-SECTION_FRAMES // section.shape[1])
    return to_uint8(np.tile(section, (1, repeats))[:, :SECTION_FRAMES])


def load_sounds(data: Gtzan, folder: Path, lists: Path | None) -> dict[str, Sounds]:
    """Gather all recordings, divided by artist (music: the filtered lists) and by source (other sound).

    Args:
        data: GTZAN; its audio is used too where it lies beside the archive (`audio/`).
        folder: sound that is not music.
        lists: folder of the filtered lists.

    Returns:
        Side → recordings.

    Raises:
        FileNotFoundError: the sound or the lists are missing.
    """
    split = make_split(SplitName.FILTERED, data, 0, lists)
    audio = audio_files(data.root / "audio" if data.source == "archive" else data.root)
    other = sound_files(folder)
    gathered = {}
    for number, side in enumerate(SIDES):
        tracks = getattr(split, side).tracks
        names = {data.names[track] for track in tracks}
        recordings = [("gtzan", audio[name]) for name in sorted(names & audio.keys())]
        recordings += [(label, path) for label, paths in other[side].items() for path in paths]
        sounds = _cached(_through_codecs(recordings))
        count = MADE if side == "train" else MADE // 4
        noise, songs = made_noise(count, seed=number), made_music(count, seed=number)
        is_music = [True] * len(tracks) + [label.startswith("gtzan/") for label in sounds.label]
        gathered[side] = Sounds(
            np.concatenate([data.mel[tracks], sounds.mel, noise, songs]),
            np.array(is_music + [False] * count + [True] * count),
            np.concatenate([np.full(len(tracks), 10), sounds.segments, np.full(count, 10), np.full(count, 3)]),
            ("gtzan/archive",) * len(tracks) + sounds.label + ("noise/made",) * count + ("synthetic/made",) * count,
        )
    return gathered


def _through_codecs(recordings: list[tuple[str, Path]]) -> list[tuple[str, Path, str]]:
    """List every recording as it is and through one other codec, each codec as often as the others."""
    codecs = cycle(codec for codec in CODECS if codec != AS_IS)
    return [(f"{label}/{codec}", path, codec) for label, path in recordings for codec in (AS_IS, next(codecs))]


def _cached(wanted: list[tuple[str, Path, str]]) -> Sounds:
    digest = hashlib.sha256(FRONT_END_VERSION.encode())
    for label, path, codec in wanted:
        digest.update(f"{label} {path.resolve()} {path.stat().st_size} {CODECS[codec]}\n".encode())
    cache = CACHE_DIR / f"sounds-{digest.hexdigest()[:16]}.npz"
    if not cache.is_file():
        paths, codecs = [path for _, path, _ in wanted], [codec for *_, codec in wanted]
        with in_parallel() as pool:
            found = list(progress_bar(pool.map(heard, paths, codecs), "Sounds", total=len(wanted), transient=True))
        kept = [(label, *pair) for (label, *_), pair in zip(wanted, found, strict=True) if pair]
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(f".{os.getpid()}.npz")
        np.savez(
            part,
            mel=np.stack([mel for _, mel, _ in kept]),
            segments=np.array([count for *_, count in kept], np.int64),
            label=np.array([label for label, *_ in kept], dtype=str),
        )
        part.replace(cache)
    with np.load(cache) as archive:
        labels = tuple(archive["label"].tolist())
        return Sounds(archive["mel"], np.array([x.startswith("gtzan/") for x in labels]), archive["segments"], labels)


def made_noise(count: int, seed: int) -> NDArray[np.uint8]:
    """Noise of random colour, steady, swelling or in bursts, and hum: what a microphone hears in an empty room.

    Args:
        count: number of recordings.
        seed: the same seed gives the same noise.

    Returns:
        uint8 `(count, N_MELS, SECTION_FRAMES)`, as of `Gtzan.mel`.
    """
    generator = np.random.default_rng(seed)
    made = np.empty((count, N_MELS, SECTION_FRAMES), np.uint8)
    bands = np.arange(N_MELS)[:, np.newaxis] / N_MELS
    time = np.arange(SECTION_FRAMES)[np.newaxis]
    for index in range(count):
        # The power of noise in a band of a few bins follows a gamma distribution.
        power = generator.gamma(generator.uniform(1, 4), size=(N_MELS, SECTION_FRAMES))
        db = 10 * np.log10(power + 1e-6) - generator.uniform(0, 60) * bands ** generator.uniform(0.3, 2)
        db += generator.uniform(0, 15) * np.sin(2 * np.pi * time / generator.uniform(20, 700) + generator.uniform(0, 6))
        if generator.random() < 0.3:
            lines = generator.integers(0, N_MELS // 2, generator.integers(1, 6))
            db[lines] += generator.uniform(10, 40)
        made[index] = to_uint8(np.maximum(db - db.max(), DB_FLOOR).astype(np.float32))
    return made


def made_music(count: int, seed: int) -> NDArray[np.uint8]:
    """Play chords, a melody, a bass drum and a hi-hat at random: GTZAN has next to no electronic music.

    Args:
        count: number of recordings.
        seed: the same seed gives the same music.

    Returns:
        uint8 `(count, N_MELS, SECTION_FRAMES)`, as of `Gtzan.mel`.
    """
    generator = np.random.default_rng(seed)
    made = np.empty((count, N_MELS, SECTION_FRAMES), np.uint8)
    for index in range(count):
        made[index] = _repeated(log_mel([_song(generator)]).section_db(0))
    return made


def _song(generator: np.random.Generator) -> NDArray[np.float32]:
    """Ten seconds of samples."""
    time = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    beat = time * generator.uniform(70, 170) / 60
    since_beat = beat % 1
    key, scale = generator.uniform(90, 250), np.array([0, 2, 4, 5, 7, 9, 11])
    chords = generator.integers(0, 6, 4)
    steps = generator.integers(0, 14, 64)
    fall, decay = generator.uniform(0.8, 2.0), generator.uniform(0, 3)

    def voice(degree: NDArray[np.int64], octave: float) -> NDArray[np.float64]:
        pitch = key * 2 ** (octave + (scale[degree % 7] + 12 * (degree // 7)) / 12)
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        partials = (np.sin(k * phase) / k**fall * (k * pitch < SAMPLE_RATE / 2) for k in range(1, 9))
        return sum(partials, np.zeros_like(time))

    chord = chords[(beat // 4).astype(int) % 4]
    song = sum((voice(chord + third, 0) for third in (0, 2, 4)), np.zeros_like(time)) * generator.uniform(0, 0.4)
    melody = voice(steps[(beat * 2).astype(int) % 64], 1) * np.exp(-decay * (beat * 2 % 1))
    song += melody * generator.uniform(0, 0.6)
    song += voice(chord, -1) * generator.uniform(0, 0.5)
    song += generator.uniform(0, 1) * np.sin(2 * np.pi * 60 * since_beat) * np.exp(-10 * since_beat)
    hiss = generator.standard_normal(time.size)
    song += generator.uniform(0, 0.3) * hiss * np.exp(-15 * ((beat * 2 + 1) % 1)) + generator.uniform(0, 0.01) * hiss
    samples: NDArray[np.float32] = (song / max(np.abs(song).max(), 1e-6)).astype(np.float32)
    return samples


def with_background(sounds: Sounds, seed: int) -> Sounds:
    """Add copies of a third of the music with other sound behind it, 6 to 25 dB quieter."""
    generator = np.random.default_rng(seed)
    music = np.flatnonzero(sounds.music)
    chosen = generator.choice(music, len(music) // 3, replace=False)
    behind = generator.choice(np.flatnonzero(~sounds.music), len(chosen))
    level = generator.uniform(6, 25, (len(chosen), 1, 1)).astype(np.float32)
    power = 10 ** (to_db(sounds.mel[chosen]) / 10) + 10 ** ((to_db(sounds.mel[behind]) - level) / 10)
    db = 10 * np.log10(power)
    db = np.maximum(db - db.max(axis=(1, 2), keepdims=True), DB_FLOOR)
    return Sounds(
        np.concatenate([sounds.mel, to_uint8(db.astype(np.float32))]),
        np.concatenate([sounds.music, np.ones(len(chosen), bool)]),
        np.concatenate([sounds.segments, sounds.segments[chosen]]),
        (*sounds.label, *(f"{sounds.label[i].partition('/')[0]}/background" for i in chosen)),
    )


def fit_music(sounds: Sounds, seed: int, folder: Path, verbose: int = 2) -> keras.Model:
    """Train the model; each batch is half music, and each class of other sound is as frequent as the others.

    Args:
        sounds: the training side.
        seed: of the training.
        folder: checkpoints; an interrupted training goes on.
        verbose: as of `fit.fit`.
    """
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    mixed = with_background(sounds, seed)
    weights = _sampling_weights(mixed)
    frames = np.ascontiguousarray(mixed.mel.transpose(0, 2, 1)).reshape(-1, N_MELS)
    augmenter = Augmenter(frames, STRENGTH)
    draws = np.random.default_rng(seed).choice(len(mixed), EPOCHS * EPOCH_CROPS, p=weights)
    targets = mixed.music[draws].astype(np.float32)[:, np.newaxis]
    batches = tf.data.Dataset.from_tensor_slices((draws, targets)).batch(BATCH, drop_remainder=True).repeat()
    seeds = tf.data.Dataset.random(seed).batch(2)
    train = tf.data.Dataset.zip(batches, seeds).map(lambda b, s: augmenter(b[0], b[1], s)).prefetch(4)
    steps = EPOCH_CROPS // BATCH
    with scope():
        model = networks.music_network()
        schedule = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * steps)
        model.compile(
            keras.optimizers.AdamW(schedule, weight_decay=0.02),
            keras.losses.BinaryCrossentropy(label_smoothing=0.02),
            metrics=["accuracy"],
        )
    backup = keras.callbacks.BackupAndRestore(folder / "checkpoint", delete_checkpoint=False)
    model.fit(train, epochs=EPOCHS, steps_per_epoch=steps, callbacks=[backup], verbose=verbose)
    return model


def _sampling_weights(sounds: Sounds) -> NDArray[np.float64]:
    kinds = np.array([label.partition("/")[0] for label in sounds.label])
    weights = np.zeros(len(sounds))
    others = np.unique(kinds[~sounds.music])
    for kind in others:
        # Speech is what is posted most.
        share = 0.2 if kind == "speech" else 0.3 / max(len(others) - 1, 1)
        weights[kinds == kind] = share / (kinds == kind).sum()
    archive = np.array([label == "gtzan/archive" for label in sounds.label])
    rest = sounds.music & ~archive
    weights[archive] = (0.35 if rest.any() else 0.5) / max(archive.sum(), 1)
    weights[rest] = 0.15 / max(rest.sum(), 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def segments_of(sounds: Sounds) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cut recordings as serving does.

    Returns:
        dB `(n, N_MELS, SEGMENT_FRAMES)` and the recording that each segment is of, `(n,)`.
    """
    rows = [(i, segment_frame(s)) for i, count in enumerate(sounds.segments) for s in range(int(count))]
    cuts = np.stack([sounds.mel[i][:, start : start + SEGMENT_FRAMES] for i, start in rows])
    return to_db(cuts), np.array([i for i, _ in rows], np.int64)


def song_probabilities(probabilities: NDArray[np.float32], of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over each recording's segments, which is what serving compares with the threshold."""
    return np.array([probabilities[of == song, 0].mean() for song in np.unique(of)], np.float64)


def choose_threshold(music: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Choose the lowest threshold that refuses nearly all other sound, or the highest that spares 99% of music.

    Args:
        music: probabilities of validation's music.
        other: probabilities of validation's other sound.
    """
    spared = float(np.quantile(music, MOST_REFUSED, method="lower"))
    refused = float(np.quantile(other, 1 - MOST_REFUSED, method="higher"))
    return spared if spared <= refused else (spared + refused) / 2


def refusals(sounds: Sounds, probabilities: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Count what is refused, in all and by class and codec."""
    refused = probabilities < threshold
    by_label: dict[str, dict[str, int]] = {}
    for label, no in zip(sounds.label, refused, strict=True):
        row = by_label.setdefault(label, {"recordings": 0, "refused": 0})
        row["recordings"] += 1
        row["refused"] += int(no)
    by_class: dict[str, dict[str, int]] = {}
    for label, row in by_label.items():
        total = by_class.setdefault(label.partition("/")[0], {"recordings": 0, "refused": 0})
        for key, value in row.items():
            total[key] += value
    return {
        "music_refused": round(float(refused[sounds.music].mean()), 4),
        "other_refused": round(float(refused[~sounds.music].mean()), 4),
        "by_class": by_class,
        "by_codec": by_label,
    }
