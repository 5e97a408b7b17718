"""Models side by side on songs: the study's table of external songs."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track as progress_bar

from core.constants import GENRES
from core.errors import GenreGenieError
from core.inference.pipeline import ClassifyOptions, Models, classify_spectrogram
from training.data.features import hear
from training.data.gtzan import DataError


def listed_songs(songs: Path) -> list[tuple[Path, str]]:
    """Songs and their genres.

    Args:
        songs: a folder with a folder for each genre, or a CSV of `file,genre` with paths relative to it.

    Raises:
        FileNotFoundError: there are none.
        DataError: a genre is none of `GENRES`.
    """
    if songs.is_dir():
        found = [(path, genre) for genre in GENRES for path in sorted((songs / genre).glob("*")) if path.is_file()]
    else:
        with songs.open(newline="", encoding="utf-8") as lines:
            rows = [row for row in csv.reader(lines) if row and row != ["file", "genre"]]
        found = [(songs.parent / row[0], row[1].strip().lower()) for row in rows]
    unknown = {genre for _, genre in found} - set(GENRES)
    if unknown:
        raise DataError(f"{songs}: no such genre: {', '.join(sorted(unknown))}")
    if not found:
        raise FileNotFoundError(f"{songs} holds no folder named like a genre with songs in it")
    return found


def answers(path: Path, models: Sequence[str], loaded: Models) -> Iterator[str]:
    """Each model's genre for a file, or the code of the error that it ends in."""
    try:
        recording = hear(path)
    except GenreGenieError as error:
        yield from (f"({error.code})" for _ in models)
        return
    for model in models:
        try:
            yield classify_spectrogram(recording, ClassifyOptions(model=model), models=loaded).prediction.genre
        except GenreGenieError as error:
            yield f"({error.code})"


def compare(songs: Path, models: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Ask models about songs whose genre is known, and write `songs-NAME.json`, named after the songs' folder or list.

    Args:
        songs: as for `listed_songs`.
        models: names under `models/`, or files.
        out: folder of the figures.

    Returns:
        A row a song: `song`, `genre`, and `told`, each model's answer by its name.

    Raises:
        FileNotFoundError: there are no songs.
        DataError: a genre is none of `GENRES`.
    """
    loaded, rows = Models(), []
    stems = [Path(model).stem for model in models]
    names = stems if len(set(stems)) == len(stems) else models
    for path, genre in progress_bar(listed_songs(songs), "songs", transient=True):
        told = dict(zip(names, answers(path, models, loaded), strict=True))
        rows.append({"song": path.stem, "genre": genre, "told": told})
    out.mkdir(parents=True, exist_ok=True)
    (out / f"songs-{songs.absolute().stem}.json").write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def told_right(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many of the songs that `compare` tells of each model got right, by its name."""
    return {model: sum(row["told"][model] == row["genre"] for row in rows) for model in rows[0]["told"]}
