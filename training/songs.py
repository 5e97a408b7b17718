"""Models side by side on songs: the study's table of external songs."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from core.constants import GENRES
from core.errors import GenreGenieError
from core.pipeline import Models, Wish, hear_mel
from training.gtzan import DataError
from training.listen import hear


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
            yield hear_mel(recording, path.name, Wish(model=model), models=loaded).verdict.genre
        except GenreGenieError as error:
            yield f"({error.code})"


def compare(songs: Path, models: Sequence[str]) -> Table:
    """Tabulate the real genre of each song beside each model's answer.

    Args:
        songs: as for `listed_songs`.
        models: names under `models/`, or files.

    Raises:
        FileNotFoundError: there are no songs.
        DataError: a genre is none of `GENRES`.
    """
    table = Table("song", "real genre", *models, title="Songs")
    loaded, right = Models(), [0] * len(models)
    found = listed_songs(songs)
    for path, genre in found:
        told = list(answers(path, models, loaded))
        right = [count + (answer == genre) for count, answer in zip(right, told, strict=True)]
        cells = [f"[green]{answer}[/]" if answer == genre else f"[red]{answer}[/]" for answer in told]
        table.add_row(path.name, genre, *cells)
    table.add_section()
    table.add_row("told right", f"of {len(found)}", *(str(count) for count in right))
    return table
