"""The GTZAN genre collection (Tzanetakis & Cook 2002, doi:10.1109/TSA.2002.800560): its index and its spectrograms.

It is read from a spectrogram archive (`mel.npz`) or from a folder of audio files, `<genre>.<number>.<suffix>`
anywhere below it: the unpacked `genres.tar.gz` (AU), Kaggle's `genres_original` (WAV), or FLAC copies of either.
"""

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import track as progress_bar

from core.constants import (
    DB_FLOOR,
    FRONT_END_VERSION,
    GENRES,
    N_MELS,
    SECTION_FRAMES,
    SEGMENT_FRAMES,
    segment_frame,
)
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence
from training.data.features import feature_pool, log_mel_from_file

FAULTY: Final = {"jazz.00054": "its file is damaged in every copy in circulation"}
"""Tracks that are always left out, with the reason."""

CACHE_DIR: Final = Path(".cache")

_TRACK_NAME: Final = re.compile(rf"^({'|'.join(GENRES)})\.(\d{{5}})\.(?:wav|au|flac)$", re.IGNORECASE)
_FULL_SCALE: Final = 255


class DataError(ValueError):
    """The data exists but cannot be used; the message says why, in one line."""


@dataclass(frozen=True, eq=False)
class Gtzan:
    """Spectrograms of the tracks.

    Attributes:
        mel: uint8 `(n_tracks, N_MELS, SECTION_FRAMES)`: dB below the track's loudest bin, 255 is 0 dB and 0 is
            `DB_FLOOR`.
        names: `blues.00000` and so on.
        source: `archive` or `audio`.
        root: folder of the archive or of the audio.
        left_out: names of the tracks that were left out, each with the reason.
        collection: what the tracks are of, `GTZAN` or `FMA`, whose tracks are held in the same form.
        subsets: `train`, `valid` or `test` of each track, for a collection with a split of its own.
    """

    mel: NDArray[np.uint8]
    names: tuple[str, ...]
    source: str
    root: Path
    left_out: dict[str, str]
    collection: str = "GTZAN"
    subsets: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.names)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Index in `GENRES` for each track."""
        return np.array([GENRES.index(name.partition(".")[0]) for name in self.names], np.int64)

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """All columns of all tracks, uint8 `(n_tracks * SECTION_FRAMES, N_MELS)`: one row is one frame."""
        return np.ascontiguousarray(self.mel.transpose(0, 2, 1)).reshape(-1, N_MELS)

    @cached_property
    def digest(self) -> str:
        """Digest of the tracks' names and spectrograms, 16 hexadecimal digits."""
        return hashlib.sha256("\n".join(self.names).encode() + self.mel.tobytes()).hexdigest()[:16]

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each track."""
        return {name: position for position, name in enumerate(self.names)}

    def audio_files(self) -> dict[str, Path]:
        """Track name → audio file; for an archive, of the tracks in `audio/` beside it."""
        return audio_files(self.root / "audio" if self.source == "archive" else self.root)


def to_db(mel: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Dequantise: dB below the loudest bin, float32 of the same shape."""
    return mel.astype(np.float32) * np.float32(-DB_FLOOR / _FULL_SCALE) + np.float32(DB_FLOOR)


def to_uint8(db: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Quantise dB from `DB_FLOOR` to 0: off by at most 0.16 dB."""
    scaled = (db - np.float32(DB_FLOOR)) * np.float32(_FULL_SCALE / -DB_FLOOR)
    stored: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, _FULL_SCALE).astype(np.uint8)
    return stored


def segment_count(rate: float = 1.0) -> int:
    """Count the segments of a 30 s track played `rate` times as fast: 10 at 1, 11 at 0.85, 8 at 1.15."""
    count = 0
    while (segment_frame(count) + SEGMENT_FRAMES - 1) * rate <= SECTION_FRAMES - 1:
        count += 1
    return count


def cut(mel: NDArray[np.uint8], segment: int, rate: float = 1.0) -> NDArray[np.uint8]:
    """Cut a segment out of a track played `rate` times as fast.

    A phase vocoder keeps the magnitudes and moves them in time, so stretching a spectrogram is linear interpolation
    along its columns.

    Args:
        mel: uint8 `(..., N_MELS, SECTION_FRAMES)`.
        segment: index of the segment in the stretched track.
        rate: above 1 is faster, as in `librosa.effects.time_stretch`.

    Returns:
        uint8 `(..., N_MELS, SEGMENT_FRAMES)`.
    """
    start = segment_frame(segment)
    if rate == 1.0:
        return mel[..., start : start + SEGMENT_FRAMES]
    position = (start + np.arange(SEGMENT_FRAMES)) * rate
    left = np.floor(position).astype(np.intp)
    right = np.minimum(left + 1, SECTION_FRAMES - 1)
    weight = (position - left).astype(np.float32)
    mixed = mel[..., left] * (1 - weight) + mel[..., right] * weight
    stretched: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return stretched


def load(path: Path, workers: int | None = None) -> Gtzan:
    """Read the collection.

    Args:
        path: `mel.npz` or a folder of audio files.
        workers: threads that compute spectrograms; None takes one per core.

    Raises:
        FileNotFoundError: there is no such file or folder, or it holds no track.
        DataError: the archive is not a valid one.
    """
    if path.is_dir():
        return _load_audio(path, workers)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    return _load_archive(path)


def _load_archive(path: Path) -> Gtzan:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is neither a folder nor an .npz archive")
    arrays = read_arrays(path)
    if not {"mel", "track"} <= arrays.keys():
        raise DataError(f"{path} has no 'mel' and 'track'")
    mel, names = arrays["mel"], arrays["track"]
    if names.ndim != 1:
        raise DataError(f"{path}: expected a list of tracks, got {names.shape}")
    if mel.dtype != np.uint8 or mel.shape != (len(names), N_MELS, SECTION_FRAMES):
        raise DataError(
            f"{path}: expected uint8 ({len(names)}, {N_MELS}, {SECTION_FRAMES}), got {mel.dtype} {mel.shape}"
        )
    unknown = [str(name) for name in names if str(name).partition(".")[0] not in GENRES]
    if unknown:
        raise DataError(f"{path}: {unknown[0]} is not named after one of the ten genres ({len(unknown)} such tracks)")
    kept = [i for i, name in enumerate(names) if name not in FAULTY]
    missing = {name: reason for name, reason in FAULTY.items() if name not in names or len(kept) < len(names)}
    return Gtzan(mel[kept], tuple(str(names[i]) for i in kept), "archive", path.parent, missing)


def read_arrays(file: Path, wanted: Collection[str] = ("mel", "track")) -> dict[str, NDArray[Any]]:
    """Read those of the wanted arrays that an archive has.

    Raises:
        DataError: it is no archive of arrays, or an array in it is broken or holds Python objects.
    """
    try:
        with np.load(file) as archive:
            arrays = {name: archive[name] for name in wanted if name in archive.files}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{file} is not an archive of plain arrays: {error}") from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # NumPy gives bytes of any other file
        raise DataError(f"{file} is not an archive of arrays")
    return arrays


def audio_files(folder: Path) -> dict[str, Path]:
    """Track name → file, for every track below a folder, sorted by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        match = _TRACK_NAME.match(path.name)
        if match and path.is_file():
            found[f"{match[1].lower()}.{match[2]}"] = path
    return dict(sorted(found.items()))


def filtered_list(root: Path, lists: Path | None, subset: str) -> list[str]:
    """Read one of the fault-filtered, artist-disjoint lists of Kereliuk, Sturm & Larsen (2015).

    Args:
        root: folder of the data; the lists are looked for in it, in its `splits/` and in `splits/` beside it.
        lists: folder of the lists, where they are elsewhere.
        subset: `train`, `valid` or `test`.

    Returns:
        Names of tracks, in the list's order.

    Raises:
        FileNotFoundError: the list is missing.
    """
    folders = [lists] if lists else [root / "splits", root, root.parent / "splits"]
    for folder in folders:
        path = folder / f"{subset}_filtered.txt"
        if path.is_file():
            return [Path(line.strip()).stem for line in path.read_text().splitlines() if line.strip()]
    raise FileNotFoundError(
        f"{subset}_filtered.txt is not in {' or '.join(map(str, folders))}: this split needs the lists of Kereliuk, "
        "Sturm & Larsen (2015); name their folder with --lists"
    )


def track_mel(path: Path) -> NDArray[np.uint8] | str:
    """Compute the spectrogram of an audio file's first 30 s.

    Returns:
        uint8 `(N_MELS, SECTION_FRAMES)`, or the reason why the track is unusable.
    """
    try:
        mel = log_mel_from_file(path)
    except GenreGenieError as error:
        return error_sentence(error)
    if mel.n_frames < SECTION_FRAMES:
        return f"only {mel.duration:.1f} s long"
    return to_uint8(mel.section_db(0))


def _load_audio(folder: Path, workers: int | None) -> Gtzan:
    files = audio_files(folder)
    left_out = {name: FAULTY[name] for name in files if name in FAULTY}
    wanted = {name: path for name, path in files.items() if name not in left_out}
    if not wanted:
        raise FileNotFoundError(f"{folder} holds no track named like blues.00000.wav")
    mel, names, unusable = cached_spectrograms(wanted, "gtzan", workers)
    left_out.update(unusable)
    if not names:
        raise FileNotFoundError(f"{folder} holds no usable track: {left_out}")
    return Gtzan(mel, names, "audio", folder, left_out)


def cached_spectrograms(
    files: dict[str, Path], prefix: str, workers: int | None = None
) -> tuple[NDArray[np.uint8], tuple[str, ...], dict[str, str]]:
    """Compute the spectrograms of tracks, or read what an earlier call kept in the cache.

    Args:
        files: track name → file.
        prefix: with which the cache's name begins.
        workers: threads; None takes one per core.

    Returns:
        uint8 `(n_tracks, N_MELS, SECTION_FRAMES)`, the tracks' names, and the unusable ones with the reason.
    """
    cache = CACHE_DIR / f"{prefix}-{_fingerprint(files)}.npz"
    if not cache.is_file():
        _compute(files, cache, workers)
    with np.load(cache) as archive:
        unusable = dict(zip(archive["unusable"].tolist(), archive["reason"].tolist(), strict=True))
        return archive["mel"], tuple(str(name) for name in archive["track"]), unusable


def _fingerprint(files: dict[str, Path]) -> str:
    """Digest of the files and the front end's version: it changes when one of them does."""
    digest = hashlib.sha256(FRONT_END_VERSION.encode())
    for name, path in files.items():
        status = path.stat()
        digest.update(f"{name} {path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _compute(files: dict[str, Path], cache: Path, workers: int | None) -> None:
    spectrograms: dict[str, NDArray[np.uint8]] = {}
    unusable: dict[str, str] = {}
    for name, result in zip(files, _spectrograms(list(files.values()), workers), strict=True):
        if isinstance(result, str):
            unusable[name] = result
        else:
            spectrograms[name] = result
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        part,
        mel=np.stack(list(spectrograms.values())) if spectrograms else np.zeros((0, N_MELS, SECTION_FRAMES), np.uint8),
        track=np.array(list(spectrograms), dtype=str),
        unusable=np.array(list(unusable), dtype=str),
        reason=np.array(list(unusable.values()), dtype=str),
    )
    part.replace(cache)


def _spectrograms(paths: list[Path], workers: int | None) -> Iterator[NDArray[np.uint8] | str]:
    with feature_pool(workers) as pool:
        yield from progress_bar(pool.map(track_mel, paths), "Spectrograms", total=len(paths), transient=True)
