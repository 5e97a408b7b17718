"""FMA, the Free Music Archive's dataset (Defferrard et al. 2017, arXiv:1612.01840): its index and its spectrograms.

Layout: `fma_metadata/tracks.csv` and a folder of clips beside it, `fma_small/000/000002.mp3` (or `fma_medium`,
`fma_large`). A track's genre is its top genre where that is one of our ten; it comes with a split of its own.
"""

import csv
import logging
from collections import Counter
from pathlib import Path
from typing import Final

from training.data.gtzan import DataError, Gtzan, cached_spectrograms
from training.data.splits import SubsetName

TRACKS: Final = Path("fma_metadata") / "tracks.csv"

GENRE_OF: Final = {
    "Blues": "blues",
    "Classical": "classical",
    "Country": "country",
    "Hip-Hop": "hiphop",
    "Jazz": "jazz",
    "Pop": "pop",
    "Rock": "rock",
}
"""Top genres that are one of our ten. FMA has no top genre for disco, metal and reggae."""

SUBSET_OF: Final = {"training": SubsetName.TRAIN, "validation": SubsetName.VALID, "test": SubsetName.TEST}

_log = logging.getLogger(__name__)


def is_fma(path: Path) -> bool:
    """Whether a path is a folder in FMA's layout."""
    return (path / TRACKS).is_file()


def load(folder: Path, workers: int | None = None) -> Gtzan:
    """Read the clips of our genres.

    Args:
        folder: with `fma_metadata/` and `fma_small/` or a larger one.
        workers: threads that compute spectrograms; None takes one per core.

    Returns:
        The tracks, named `rock.000002`, with the dataset's own split in `subsets`. `left_out` names every other clip
        with the reason; what was left out is logged too.

    Raises:
        FileNotFoundError: there is no clip of our genres.
        DataError: the index is not what it should be.
    """
    clips = {int(path.stem): path for path in sorted(folder.glob("fma_*/[0-9]*/*.mp3")) if path.stem.isdecimal()}
    files: dict[str, Path] = {}
    subsets: dict[str, SubsetName] = {}
    left_out: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    index = read_index(folder / TRACKS)
    for number, path in clips.items():
        top, subset = index.get(number, ("", ""))
        if top not in GENRE_OF or subset not in SUBSET_OF:
            left_out[path.stem] = f"its genre, {top}, is none of the ten" if top else "it has no top genre"
            skipped[top or "no genre"] += 1
            continue
        name = f"{GENRE_OF[top]}.{number:06d}"
        files[name], subsets[name] = path, SUBSET_OF[subset]
    if not files:
        raise FileNotFoundError(f"{folder} holds no clip of {', '.join(GENRE_OF)}")
    mel, names, unusable = cached_spectrograms(dict(sorted(files.items())), "fma", workers)
    if not names:
        raise FileNotFoundError(f"{folder} holds no usable clip: {unusable}")
    if skipped or unusable:
        counts = ", ".join(f"{count} {genre}" for genre, count in skipped.most_common())
        _log.warning("left out of %s: %s; unusable: %d", folder, counts or "nothing", len(unusable))
    kept = {name: subsets[name] for name in names}
    return Gtzan(mel, names, "audio", folder, {**left_out, **unusable}, collection="FMA", subsets=kept)


def read_index(file: Path) -> dict[int, tuple[str, str]]:
    """Read `tracks.csv`, which has two header rows and then one that names the index.

    Returns:
        Number of a track → its top genre (empty where it has none) and its subset: `training`, `validation` or `test`.

    Raises:
        DataError: a column is missing, or a row is cut off.
    """
    with file.open(newline="", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        columns = list(zip(next(rows, []), next(rows, []), strict=False))
        try:
            genre, split = columns.index(("track", "genre_top")), columns.index(("set", "split"))
        except ValueError:
            raise DataError(f"{file} has no columns track/genre_top and set/split") from None
        index = {}
        for row in rows:
            if row and row[0].isdecimal():
                if len(row) <= max(genre, split):
                    raise DataError(f"{file}, line {rows.line_num}: the row is cut off")
                index[int(row[0])] = row[genre], row[split]
        return index
