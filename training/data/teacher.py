"""Outputs of two teachers for GTZAN's crops and for real songs, as targets to train on; and labelled real songs.

The first teacher is EfficientAT `mn04_as` (Schmid et al. 2023, arXiv:2211.04772), trained on AudioSet. Its logits and
a projection of its last hidden layer are given for crops of all of GTZAN (from our spectrogram, *mel*) and for segments
of real songs (from their audio, *native*, and from our spectrogram). The second is `MSD_musicnn` (Pons & Serra 2019,
arXiv:1909.06654), trained on Last.fm's tags of the Million Song Dataset; its logits are given for the songs only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.audio.spectrogram import LogMel, QuantizedMel
from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from training.data.gtzan import DataError, Gtzan, read_arrays

FloatArray = NDArray[np.float32]

CROP_COLUMNS: Final = 18
"""Columns between two crops of a track for which there are targets."""

MARGIN: Final = 6
"""Columns that a song's segment has on either side."""

NATIVE_SHARE: Final = 0.7
"""Share of the native outputs in a song's targets; the rest is what the teacher says of the segment's spectrogram.

The former are of the audio and of ten seconds of it; the latter are of what the student gets.
"""


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of crops; logits of each class have mean 0 and standard deviation 1 over the songs.

    Attributes:
        genre: probabilities of `GENRES`, `(n, 10)`.
        classes: standardised logits of the first teacher's classes, `(n, classes)`.
        embedding: of the first teacher, `(n, 128)`, scaled so that its mean variance is 1.
        tags: standardised logits of the second teacher's tags, `(n, tags)`; 0 where there are none.
        tagged: whether there are logits of the second teacher, `(n,)`.
    """

    genre: FloatArray
    classes: FloatArray
    embedding: FloatArray
    tags: FloatArray
    tagged: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.genre)

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Targets":
        """Return the targets of the chosen crops."""
        return Targets(
            self.genre[chosen], self.classes[chosen], self.embedding[chosen], self.tags[chosen], self.tagged[chosen]
        )


@dataclass(frozen=True, eq=False)
class LogitScale:
    """How logits were standardised: `logit = mean + spread * target`.

    Attributes:
        classes: names of the first teacher's classes.
        mean: mean of each class's native logit over the songs' segments, `(classes,)`.
        spread: standard deviation, likewise.
        tags: names of the second teacher's tags.
        tag_mean: mean of each tag's logit, `(tags,)`.
        tag_spread: standard deviation, likewise.
    """

    classes: tuple[str, ...]
    mean: FloatArray
    spread: FloatArray
    tags: tuple[str, ...]
    tag_mean: FloatArray
    tag_spread: FloatArray


@dataclass(frozen=True, eq=False)
class TeacherSongs:
    """Segments of real songs.

    Attributes:
        mel: uint8 `(n, N_MELS, SEGMENT_FRAMES + 2 * MARGIN)`, as in `Gtzan.mel`.
        song: song of each segment, `(n,)`.
        genre: the teachers' guess of each song's genre, `(songs, 10)`.
        targets: of each segment; `genre` mixes the song's guess and the segment's.
        source: of each song, `(songs,)`.
        logits: native logits of the first teacher, not standardised, `(n, classes)`.
    """

    mel: NDArray[np.uint8]
    song: NDArray[np.int64]
    genre: FloatArray
    targets: Targets
    source: NDArray[np.str_]
    logits: FloatArray


@dataclass(frozen=True, eq=False)
class TeacherCrops:
    """Crops of GTZAN's tracks.

    Attributes:
        track: position in `Gtzan.names` of each crop, `(n,)`.
        start: first column of each, `(n,)`.
        targets: of each; `genre` is the cross-fitted guess, not the label.
    """

    track: NDArray[np.int64]
    start: NDArray[np.int64]
    targets: Targets


@dataclass(frozen=True, eq=False)
class LabelledSongs:
    """Whole songs of known genre, to choose on; no spectrogram of theirs is trained on.

    They are not wholly unseen: the weights, offsets and spread of the teachers' guess of each song's genre
    (`TeacherSongs.genre`) were fitted on these songs, so that figures on them are somewhat optimistic.

    Attributes:
        recordings: as the pipeline takes them.
        genre: index in `GENRES` of each, `(n,)`.
        source: of each.
    """

    recordings: tuple[LogMel, ...]
    genre: NDArray[np.int64]
    source: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Teacher:
    """All outputs of the two teachers.

    Attributes:
        scale: of the logits.
        songs: real songs.
        crops: of all of GTZAN's tracks.
        genre_classes: genre → the first teacher's classes that mean it.
    """

    scale: LogitScale
    songs: TeacherSongs
    crops: TeacherCrops
    genre_classes: dict[str, tuple[str, ...]]


def load_teacher(folder: Path, gtzan: Gtzan) -> Teacher:
    """Read `gtzan.npz` and `songs.npz`.

    Args:
        folder: of the two.
        gtzan: the tracks; the targets are brought into their order.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: a file is not what it should be, or a track has no targets.
    """
    tracks = _arrays(
        folder / "gtzan.npz",
        ("track", "start", "logits", "embedding", "genre_logprobs", "genres", "genre_classes"),
    )
    songs = _arrays(
        folder / "songs.npz",
        ("mel", "song", "logits", "logits_mel", "embedding", "embedding_mel", "genre_logprobs", "song_genre", "genres")
        + ("classes", "msd_logits", "msd_tags", "song_source"),
    )
    for arrays, name in ((tracks, "gtzan.npz"), (songs, "songs.npz")):
        if tuple(arrays["genres"].tolist()) != GENRES:
            raise DataError(f"{folder / name} does not name the ten genres in their order")
    if songs["mel"].shape[1:] != (N_MELS, SEGMENT_FRAMES + 2 * MARGIN) or songs["mel"].dtype != np.uint8:
        raise DataError(f"{folder / 'songs.npz'}: mel is {songs['mel'].dtype} {songs['mel'].shape}")
    native, from_mel = songs["logits"].astype(np.float32), songs["logits_mel"].astype(np.float32)
    tag_logits = songs["msd_logits"].astype(np.float32)
    scale = LogitScale(
        tuple(songs["classes"].tolist()),
        *_moments(native),
        tuple(songs["msd_tags"].tolist()),
        *_moments(tag_logits),
    )
    mel_mean, mel_spread = _moments(from_mel)
    native_embedding = songs["embedding"].astype(np.float32)
    size = np.float32(np.sqrt(native_embedding.var(axis=0).mean()))
    share = np.float32(NATIVE_SHARE)

    def mixed(own: FloatArray, other: FloatArray) -> FloatArray:
        return share * own + (1 - share) * other

    of_song = songs["song"].astype(np.int64)
    guess = songs["song_genre"].astype(np.float32)
    song_targets = Targets(
        0.75 * guess[of_song] + 0.25 * _shares(songs["genre_logprobs"]),
        mixed((native - scale.mean) / scale.spread, (from_mel - mel_mean) / mel_spread),
        mixed(native_embedding, songs["embedding_mel"].astype(np.float32)) / size,
        (tag_logits - scale.tag_mean) / scale.tag_spread,
        np.ones(len(of_song), bool),
    )
    order = _order(tracks["track"], gtzan)
    start = tracks["start"].astype(np.int64)
    logits, embedding, genre = (
        tracks[name][order].reshape(len(order) * len(start), -1) for name in ("logits", "embedding", "genre_logprobs")
    )
    crop_targets = Targets(
        _shares(genre),
        (logits.astype(np.float32) - mel_mean) / mel_spread,
        embedding.astype(np.float32) / size,
        np.zeros((len(logits), len(scale.tags)), np.float32),
        np.zeros(len(logits), bool),
    )
    crops = TeacherCrops(np.repeat(np.arange(len(gtzan)), len(start)), np.tile(start, len(gtzan)), crop_targets)
    genre_classes = {
        genre: tuple(classes.split(";"))
        for genre, classes in zip(GENRES, tracks["genre_classes"].tolist(), strict=True)
    }
    return Teacher(
        scale,
        TeacherSongs(songs["mel"], of_song, guess, song_targets, songs["song_source"], native),
        crops,
        genre_classes,
    )


def load_labelled(file: Path) -> LabelledSongs:
    """Read `labelled.npz`.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is not what it should be.
    """
    arrays = _arrays(file, ("mel", "peaks", "reference", "samples", "offset", "genre", "source"))
    borders = arrays["offset"]
    recordings = tuple(
        QuantizedMel(
            arrays["mel"][:, first:last],
            arrays["peaks"][first:last],
            float(arrays["reference"][i]),
            int(arrays["samples"][i]),
        ).dequantize()
        for i, (first, last) in enumerate(zip(borders[:-1], borders[1:], strict=True))
    )
    unknown = set(arrays["genre"].tolist()) - set(GENRES)
    if unknown:
        raise DataError(f"{file}: no such genre: {', '.join(sorted(unknown))}")
    genre = np.array([GENRES.index(name) for name in arrays["genre"]], np.int64)
    return LabelledSongs(recordings, genre, tuple(arrays["source"].tolist()))


def _arrays(file: Path, wanted: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    arrays = read_arrays(file, wanted)
    missing = set(wanted) - arrays.keys()
    if missing:
        raise DataError(f"{file} lacks {', '.join(sorted(missing))}")
    return arrays


def _moments(logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    return logits.mean(axis=0), logits.std(axis=0) + np.float32(1e-6)


def _shares(logprobs: NDArray[Any]) -> FloatArray:
    powers = np.exp(logprobs.astype(np.float32))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _order(tracks: NDArray[np.str_], gtzan: Gtzan) -> NDArray[np.int64]:
    positions = {str(name): position for position, name in enumerate(tracks)}
    missing = [name for name in gtzan.names if name not in positions]
    if missing:
        raise DataError(f"the teacher has no targets for {missing[0]} (and {len(missing) - 1} other tracks)")
    return np.array([positions[name] for name in gtzan.names], np.int64)
