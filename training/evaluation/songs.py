"""Several models compared song by song, as in the study's table of external songs."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track as progress_bar

from core.audio.spectrogram import LogMel
from core.constants import GENRES
from core.errors import GenreGenieError
from core.inference.pipeline import ClassifyOptions, Models, classify_spectrogram
from training.data.features import log_mel_from_file
from training.data.gtzan import DataError


def listed_songs(songs: Path) -> list[tuple[Path, str]]:
    """List songs and their genres.

    Args:
        songs: a folder with a folder per genre, or a CSV of `file,genre` with paths relative to it.

    Raises:
        FileNotFoundError: there are none.
        DataError: the list is not text in UTF-8, a row has no genre, or a genre is none of `GENRES`.
    """
    if songs.is_dir():
        found = [(path, genre) for genre in GENRES for path in sorted((songs / genre).glob("*")) if path.is_file()]
    else:
        found = [(songs.parent / file, genre) for file, genre in _rows(songs)]
    unknown = {genre for _, genre in found} - set(GENRES)
    if unknown:
        raise DataError(f"{songs}: no such genre: {', '.join(sorted(unknown))}")
    if not found:
        raise FileNotFoundError(f"{songs} holds no folder named like a genre with songs in it")
    return found


def _rows(songs: Path) -> list[tuple[str, str]]:
    """Read a CSV of `file,genre`, with or without that header."""
    rows = []
    try:
        with songs.open(newline="", encoding="utf-8-sig") as text:  # Excel writes a byte order mark
            lines = csv.reader(text)
            for row in lines:
                cells = [cell.strip() for cell in row]
                if not any(cells) or [cell.lower() for cell in cells[:2]] == ["file", "genre"]:
                    continue
                if len(cells) < 2:
                    raise DataError(f"{songs}, line {lines.line_num}: expected file,genre")
                rows.append((cells[0], cells[1].lower()))
    except UnicodeDecodeError:
        raise DataError(f"{songs} is not a CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{songs}, line {lines.line_num}: {error}") from None
    return rows


def predicted_genres(path: Path, models: Sequence[str], loaded: Models) -> Iterator[str]:
    """Classify a file with each model; gives its genre, or the code of the error in brackets."""
    try:
        mel = log_mel_from_file(path)
    except GenreGenieError as error:
        yield from (f"({error.code})" for _ in models)
        return
    yield from (predicted_genre(mel, model, loaded) for model in models)


def predicted_genre(mel: LogMel, model: str, loaded: Models) -> str:
    """Classify a recording; gives its genre, or the code of the error in brackets."""
    try:
        return classify_spectrogram(mel, ClassifyOptions(model=model), models=loaded).prediction.genre
    except GenreGenieError as error:
        return f"({error.code})"


def compare_models(songs: Path, models: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Classify songs of known genre with several models and write `songs-NAME.json`, named after the folder or list.

    Args:
        songs: as for `listed_songs`.
        models: names under `models/`, or files.
        out: folder of the figures.

    Returns:
        A row per song: `song`, `genre` and `predicted`, each model's genre by its name.

    Raises:
        FileNotFoundError: there are no songs.
        DataError: a genre is none of `GENRES`.
    """
    loaded, rows = Models(), []
    stems = [Path(model).stem for model in models]
    names = stems if len(set(stems)) == len(stems) else models
    for path, genre in progress_bar(listed_songs(songs), "songs", transient=True):
        predicted = dict(zip(names, predicted_genres(path, models, loaded), strict=True))
        rows.append({"song": path.stem, "genre": genre, "predicted": predicted})
    out.mkdir(parents=True, exist_ok=True)
    (out / f"songs-{songs.absolute().stem}.json").write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def correct_counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the songs that each model classified correctly, from the rows of `compare_models`."""
    return {model: sum(row["predicted"][model] == row["genre"] for row in rows) for model in rows[0]["predicted"]}
