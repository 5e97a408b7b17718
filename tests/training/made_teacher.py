"""Outputs that two teachers could have given, and labelled songs, in the form of the real files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.audio.spectrogram import LogMel, QuantizedMel
from core.constants import GENRES, HOP_LENGTH, N_MELS, SEGMENT_FRAMES
from training.data.teacher import CROP_COLUMNS, MARGIN

CLASSES = ("Rock music", "Techno", "Piano", "Folk music")
TAGS = ("rock", "jazz")
SONGS = 12


def write_teacher(folder: Path, names: Sequence[str], seed: int = 0) -> None:
    """Write `gtzan.npz` for some tracks, and `songs.npz` of six songs of rock, three of techno and three of folk."""
    generator = np.random.default_rng(seed)
    starts = np.arange(0, 649, CROP_COLUMNS)

    def made(*shape: int) -> np.ndarray:
        return generator.normal(-3, 2, shape).astype(np.float16)

    np.savez(
        folder / "gtzan.npz",
        track=np.array(names),
        start=starts.astype(np.int16),
        logits=made(len(names), len(starts), len(CLASSES)),
        embedding=made(len(names), len(starts), 4),
        genre_logprobs=made(len(names), len(starts), 10),
        genres=np.array(GENRES),
        genre_classes=np.array([{"rock": "Rock music;Punk rock"}.get(genre, "Piano") for genre in GENRES]),
    )
    song = np.repeat(np.arange(SONGS), 2)
    guess = np.full((SONGS, 10), 0.01, np.float16)
    guess[np.arange(SONGS), np.arange(SONGS) % 10] = 0.91
    logits = np.full((2 * SONGS, len(CLASSES)), -5, np.float16) + 0.1 * made(2 * SONGS, len(CLASSES))
    logits[np.arange(2 * SONGS), np.repeat([0, 1, 3], [12, 6, 6])] = 2
    np.savez(
        folder / "songs.npz",
        mel=generator.integers(0, 255, (2 * SONGS, N_MELS, SEGMENT_FRAMES + 2 * MARGIN)).astype(np.uint8),
        song=song.astype(np.int16),
        logits=logits,
        logits_mel=made(2 * SONGS, len(CLASSES)),
        embedding=made(2 * SONGS, 4),
        embedding_mel=made(2 * SONGS, 4),
        genre_logprobs=made(2 * SONGS, 10),
        song_genre=guess,
        song_source=np.array([f"song {i}" for i in range(SONGS)]),
        msd_logits=made(2 * SONGS, len(TAGS)),
        msd_tags=np.array(TAGS),
        classes=np.array(CLASSES),
        genres=np.array(GENRES),
    )


def make_labelled(genres: Sequence[str], seed: int = 0) -> list[QuantizedMel]:
    """Make a song of 9 s for each genre, which beats in bands of its own as the made tracks do."""
    generator = np.random.default_rng(seed)
    songs = []
    for genre in genres:
        n = 230
        number = GENRES.index(genre)
        db = generator.uniform(-80, -45, (N_MELS, n)).astype(np.float32)
        beats = db[number * 12 : number * 12 + 6, :: number + 2]
        beats[:] = generator.uniform(-8, 0, beats.shape)
        songs.append(QuantizedMel.quantize(LogMel(db, np.ones(n, np.float32), HOP_LENGTH * n)))
    return songs


def write_labelled(file: Path, genres: Sequence[str], seed: int = 0) -> list[QuantizedMel]:
    """Write `labelled.npz` of such songs, and return them."""
    songs = make_labelled(genres, seed)
    np.savez(
        file,
        mel=np.concatenate([song.mel for song in songs], axis=1),
        peaks=np.concatenate([song.peaks for song in songs]),
        reference=np.array([song.reference for song in songs], np.float32),
        samples=np.array([song.samples for song in songs]),
        offset=np.cumsum([0, *(song.mel.shape[1] for song in songs)]),
        genre=np.array(genres),
        source=np.array([f"song {number}" for number in range(len(songs))]),
    )
    return songs
