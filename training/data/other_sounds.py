"""Recordings for the output for music: other sounds, and music: GTZAN's and the teacher's songs.

Index of the other sounds: `speech/` and `sounds/<class>/` below one folder, any audio files. Every recording is stored
like a GTZAN track, so that the same augmentation makes its crops.

So that the detector cannot go by codec or bandwidth, these vary alike for music and other sounds: each audio file is
used as it is and through another codec, and crops lose their upper bands at random (`augment`). Music also appears with
other sounds in the background.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from typing import Final

import numpy as np
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
from training.data.distort import DISTORTIONS, Distortion, distort
from training.data.features import feature_pool, log_mel_from_file
from training.data.gtzan import CACHE_DIR, DataError, to_db, to_uint8
from training.data.splits import TRAIN_SHARE, VALID_SHARE, LoadedData, SubsetName
from training.data.teacher import MARGIN, TeacherSongs

AS_IS: Final = "as-is"
CODECS: Final[dict[str, Distortion | None]] = {
    AS_IS: None,
    "speech-like": Distortion("16 kHz Vorbis", ".ogg", {"ar": 16_000, "acodec": "libvorbis"}),
    "mp3-32": DISTORTIONS["mp3-32"],
    "voice-message": DISTORTIONS["voice-message"],
    "phone-recording": DISTORTIONS["phone-recording"],
}
"""What recordings go through, music or not."""

LEAST_MUSIC: Final = 0.2
"""Probability that the likeliest of the teacher's classes has of a song at least, for it to be taken for music."""

SYNTHETIC: Final = 100
"""Recordings of synthetic noise, and of synthetic music, in the training subset; a quarter of it in the others."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of one subset.

    Attributes:
        mel: uint8 `(n, N_MELS, SECTION_FRAMES)` as in `Gtzan.mel`; shorter recordings are repeated.
        is_music: bool `(n,)`.
        segment_counts: number of segments before a recording repeats, `(n,)`.
        labels: class and codec of each: `gtzan/archive`, `speech/as-is`, `rain/mp3-32` and so on.
    """

    mel: NDArray[np.uint8]
    is_music: NDArray[np.bool_]
    segment_counts: NDArray[np.int64]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.labels)

    @property
    def classes(self) -> NDArray[np.str_]:
        """Class of each recording, without its codec, `(n,)`."""
        return np.array([label.partition("/")[0] for label in self.labels])

    def segments(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Cut the recordings into segments, as serving does.

        Returns:
            dB `(n_segments, N_MELS, SEGMENT_FRAMES)`, and the position of each segment's recording, `(n_segments,)`.
        """
        rows = [(i, segment_frame(s)) for i, count in enumerate(self.segment_counts) for s in range(int(count))]
        cuts = np.stack([self.mel[i][:, start : start + SEGMENT_FRAMES] for i, start in rows])
        return to_db(cuts), np.array([i for i, _ in rows], np.int64)


def sound_index(folder: Path) -> dict[SubsetName, dict[str, list[Path]]]:
    """List the other sounds, split 60/20/20 within each class.

    Files with neighbouring names often come from one source, so each subset is a contiguous run of names.

    Args:
        folder: with `speech/` and `sounds/<class>/`.

    Returns:
        Subset → class → files.

    Raises:
        FileNotFoundError: there are none.
        DataError: there are too few for three subsets.
    """
    classes = [path for path in (folder / "speech", *sorted((folder / "sounds").glob("*"))) if path.is_dir()]
    index: dict[SubsetName, dict[str, list[Path]]] = {subset: {} for subset in SubsetName}
    for class_folder in classes:
        files = sorted(path for path in class_folder.iterdir() if path.is_file())
        borders = np.rint(np.cumsum([TRAIN_SHARE, VALID_SHARE]) * len(files)).astype(int)
        for subset, chosen in zip(SubsetName, np.split(np.array(files, dtype=object), borders), strict=True):
            index[subset][class_folder.name] = list(chosen)
    if not any(chain.from_iterable(chain.from_iterable(classes.values() for classes in index.values()))):
        raise FileNotFoundError(f"{folder} holds neither speech/ nor sounds/")
    for subset, by_class in index.items():
        if not any(by_class.values()):
            raise DataError(f"{folder} holds too few sounds: of {len(classes)} classes, none has a file for {subset}")
    return index


def load_recordings(loaded: LoadedData, folder: Path) -> dict[SubsetName, Recordings]:
    """Gather all recordings: music by the split of GTZAN, other sounds by `sound_index`, and synthetic ones.

    Args:
        loaded: GTZAN and its split by artist; the tracks' audio is used too where it is at hand.
        folder: the other sounds.

    Returns:
        Subset → recordings.

    Raises:
        FileNotFoundError: there are no other sounds.
        DataError: there are too few, or none of a subset can be decoded.
    """
    gtzan, audio = loaded.gtzan, loaded.gtzan.audio_files()
    index = sound_index(folder)
    gathered = {}
    for seed, subset in enumerate(SubsetName):
        tracks = loaded.split.subset(subset).tracks
        names = {gtzan.names[track] for track in tracks}
        files = [("gtzan", audio[name]) for name in sorted(names & audio.keys())]
        files += [(label, path) for label, paths in index[subset].items() for path in paths]
        sounds = _recordings_of_files(_through_codecs(files))
        count = SYNTHETIC if subset is SubsetName.TRAIN else SYNTHETIC // 4
        noise, music = synthetic_noise(count, seed), synthetic_music(count, seed)
        gathered[subset] = _joined(
            [
                _alike(gtzan.mel[tracks], "gtzan/archive", segments=10),
                sounds,
                _alike(noise, "noise/made", segments=10, is_music=False),
                _alike(music, "synthetic/made", segments=3),
            ]
        )
    return gathered


def with_songs(recordings: Mapping[SubsetName, Recordings], songs: TeacherSongs) -> dict[SubsetName, Recordings]:
    """Add the teacher's songs, which are music of all times and kinds; GTZAN has next to no electronic music.

    They are split by where they come from, so that what is refused can be counted on sources that no head was fitted
    to. What the teacher takes for no music, such as a whale, is left out.

    Args:
        recordings: the others, by subset.
        songs: with their segments, which stand for the whole song.
    """
    parts = {subset: [others] for subset, others in recordings.items()}
    for song in np.unique(songs.song):
        own = songs.song == song
        likeliest = (1 / (1 + np.exp(-songs.logits[own]))).mean(axis=0).max()
        if likeliest >= LEAST_MUSIC:
            parts[_subset_of(str(songs.source[song]))].append(_recording_of_segments(songs.mel[own]))
    return {subset: _joined(several) for subset, several in parts.items()}


def _subset_of(source: str) -> SubsetName:
    """Draw the subset of a song, the same for all songs from one place."""
    place = source.partition(":")[0]
    share = int.from_bytes(hashlib.sha256(place.encode()).digest()[:4], "big") / 2**32
    if share < TRAIN_SHARE:
        return SubsetName.TRAIN
    return SubsetName.VALID if share < TRAIN_SHARE + VALID_SHARE else SubsetName.TEST


def _recording_of_segments(mel: NDArray[np.uint8]) -> Recordings:
    """One recording of music from its segments, uint8 `(n, N_MELS, SEGMENT_FRAMES + 2 * MARGIN)`."""
    inner = mel[:, :, MARGIN : MARGIN + SEGMENT_FRAMES]
    section = _repeated(to_db(np.concatenate(list(inner), axis=1)))
    return _alike(section[np.newaxis], "songs/as-is", segments=len(mel))


def _alike(mel: NDArray[np.uint8], label: str, *, segments: int, is_music: bool = True) -> Recordings:
    """Make recordings of one kind, all of so many segments."""
    count = len(mel)
    return Recordings(mel, np.full(count, is_music), np.full(count, segments), (label,) * count)


def _joined(parts: Sequence[Recordings]) -> Recordings:
    return Recordings(
        np.concatenate([part.mel for part in parts]),
        np.concatenate([part.is_music for part in parts]),
        np.concatenate([part.segment_counts for part in parts]),
        tuple(chain.from_iterable(part.labels for part in parts)),
    )


def _through_codecs(files: list[tuple[str, Path]]) -> list[tuple[str, Path, str]]:
    """List every file as it is and through one other codec, each codec as often as the others."""
    codecs = cycle(codec for codec in CODECS if codec != AS_IS)
    return [(f"{label}/{codec}", path, codec) for label, path in files for codec in (AS_IS, next(codecs))]


def _recordings_of_files(wanted: list[tuple[str, Path, str]]) -> Recordings:
    """Decode files through their codecs, or read what an earlier call kept in the cache."""
    digest = hashlib.sha256(FRONT_END_VERSION.encode())
    for label, path, codec in wanted:
        digest.update(f"{label} {path.resolve()} {path.stat().st_size} {CODECS[codec]}\n".encode())
    cache = CACHE_DIR / f"sounds-{digest.hexdigest()[:16]}.npz"
    if not cache.is_file():
        _compute(wanted, cache)
    with np.load(cache) as archive:
        labels = tuple(archive["label"].tolist())
        is_music = np.array([label.startswith("gtzan/") for label in labels])
        return Recordings(archive["mel"], is_music, archive["segments"], labels)


def _compute(wanted: list[tuple[str, Path, str]], cache: Path) -> None:
    paths, codecs = [path for _, path, _ in wanted], [codec for *_, codec in wanted]
    with feature_pool() as pool:
        jobs = pool.map(decode_through_codec, paths, codecs)
        decoded = list(progress_bar(jobs, "Sounds", total=len(wanted), transient=True))
    kept = [(label, *pair) for (label, *_), pair in zip(wanted, decoded, strict=True) if pair]
    if not kept:
        raise DataError(f"none of {len(paths)} sounds can be decoded, among them {paths[0]}")
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        part,
        mel=np.stack([mel for _, mel, _ in kept]),
        segments=np.array([count for *_, count in kept], np.int64),
        label=np.array([label for label, *_ in kept], dtype=str),
    )
    part.replace(cache)


def decode_through_codec(path: Path, codec: str) -> tuple[NDArray[np.uint8], int] | None:
    """Decode a recording after it went through a codec.

    Returns:
        uint8 `(N_MELS, SECTION_FRAMES)`, repeated if it is shorter, and the number of its segments; None if it cannot
        be decoded, has no segment or is silent.
    """
    try:
        distortion = CODECS[codec]
        if distortion is None:
            mel = log_mel_from_file(path)
        else:
            with tempfile.TemporaryDirectory() as folder:
                mel = log_mel_from_file(distort(path, distortion, Path(folder)))
    except (GenreGenieError, RuntimeError):
        return None
    count = len(mel.segment_starts(most=10))
    if not count or mel.is_silent():
        return None
    return _repeated(mel.section_db(0)), count


def _repeated(section: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Fill thirty seconds: uint8 `(N_MELS, SECTION_FRAMES)` from dB `(N_MELS, any)`."""
    repeats = -(-SECTION_FRAMES // section.shape[1])
    return to_uint8(np.tile(section, (1, repeats))[:, :SECTION_FRAMES])


def synthetic_noise(count: int, seed: int) -> NDArray[np.uint8]:
    """Generate noise of random colour, steady, swelling or in bursts, and hum: a microphone in an empty room.

    Args:
        count: number of recordings.
        seed: the same seed gives the same noise.

    Returns:
        uint8 `(count, N_MELS, SECTION_FRAMES)`, as in `Gtzan.mel`.
    """
    generator = np.random.default_rng(seed)
    generated = np.empty((count, N_MELS, SECTION_FRAMES), np.uint8)
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
        generated[index] = to_uint8(np.maximum(db - db.max(), DB_FLOOR).astype(np.float32))
    return generated


def synthetic_music(count: int, seed: int) -> NDArray[np.uint8]:
    """Generate random chords, melodies, bass drums and hi-hats: GTZAN has next to no electronic music.

    Args:
        count: number of recordings.
        seed: the same seed gives the same music.

    Returns:
        uint8 `(count, N_MELS, SECTION_FRAMES)`, as in `Gtzan.mel`.
    """
    generator = np.random.default_rng(seed)
    generated = np.empty((count, N_MELS, SECTION_FRAMES), np.uint8)
    for index in range(count):
        generated[index] = _repeated(log_mel([_song(generator)]).section_db(0))
    return generated


def _song(generator: np.random.Generator) -> NDArray[np.float32]:
    """Generate ten seconds of samples, float32 `(10 * SAMPLE_RATE,)`, full scale 1."""
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


def with_background(recordings: Recordings, seed: int) -> Recordings:
    """Add copies of a third of the music with other sounds in the background, 6 to 25 dB quieter."""
    generator = np.random.default_rng(seed)
    music = np.flatnonzero(recordings.is_music)
    chosen = generator.choice(music, len(music) // 3, replace=False)
    background = generator.choice(np.flatnonzero(~recordings.is_music), len(chosen))
    level = generator.uniform(6, 25, (len(chosen), 1, 1)).astype(np.float32)
    power = 10 ** (to_db(recordings.mel[chosen]) / 10) + 10 ** ((to_db(recordings.mel[background]) - level) / 10)
    db = 10 * np.log10(power)
    db = np.maximum(db - db.max(axis=(1, 2), keepdims=True), DB_FLOOR)
    copies = Recordings(
        to_uint8(db.astype(np.float32)),
        np.ones(len(chosen), bool),
        recordings.segment_counts[chosen],
        tuple(f"{name}/background" for name in recordings.classes[chosen]),
    )
    return _joined([recordings, copies])
