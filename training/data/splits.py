"""Which segments a model learns from, is chosen on and is measured on.

Five ways, because the figure that is reported for GTZAN depends more on the split than on the network
(Sturm 2013, arXiv:1306.1461; Kereliuk, Sturm & Larsen 2015, doi:10.1109/TMM.2015.2478068):

- `track`: 60/20/20 by track, stratified by genre. Artists and repeated recordings are on both sides.
- `segment`: the same shares by segment, so that a song is on both sides.
- `filtered`: the fault-filtered, artist-disjoint lists of Kereliuk, Sturm & Larsen.
- `cross`: trained on one random track split, tested on the test list of another.
- `stretched`: segments and their time-stretched copies pooled first, and split 60/20/20 then.

`all` is every track of the filtered lists and has no test side: it is what the shipped model learns from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.constants import GENRES
from training.data.gtzan import Gtzan, cut, segment_count

STRETCH_RATES: Final = (0.85, 1.15)
"""Playing speeds of the stretched copies."""

TRAIN_SHARE: Final = 0.6
VALID_SHARE: Final = 0.2

OTHER_SEED: Final = 1_000
"""Added to the seed for the second track split of `cross`."""


class SplitName(StrEnum):
    """How tracks are divided."""

    TRACK = "track"
    SEGMENT = "segment"
    FILTERED = "filtered"
    CROSS = "cross"
    STRETCHED = "stretched"
    ALL = "all"


@dataclass(frozen=True, eq=False)
class Subset:
    """Segments of one side of a split.

    Attributes:
        track: positions in `Gtzan.names`, `(n_segments,)`.
        segment: number of the segment within the track as played, `(n_segments,)`.
        rate: playing speed, `(n_segments,)`; 1 is the recording itself.
    """

    track: NDArray[np.int64]
    segment: NDArray[np.int64]
    rate: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self.track)

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Subset":
        """Return the chosen segments."""
        return Subset(self.track[chosen], self.segment[chosen], self.rate[chosen])

    @property
    def tracks(self) -> NDArray[np.int64]:
        """Positions of the tracks that it has segments of, ascending."""
        return np.unique(self.track)

    def labels(self, data: Gtzan) -> NDArray[np.int64]:
        """Genre of each segment, `(n_segments,)`."""
        return data.labels[self.track]

    def segments(self, data: Gtzan) -> NDArray[np.uint8]:
        """Spectrograms, uint8 `(n_segments, N_MELS, SEGMENT_FRAMES)`; see `gtzan.to_db`."""
        return np.stack(
            [cut(data.mel[t], int(s), float(r)) for t, s, r in zip(self.track, self.segment, self.rate, strict=True)]
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test segments; `valid` and `test` are empty where a split has none."""

    name: SplitName
    seed: int
    train: Subset
    valid: Subset
    test: Subset


def subset_of(tracks: Sequence[int] | NDArray[np.int64], rates: Sequence[float] = (1.0,)) -> Subset:
    """All segments of some tracks, at each of some playing speeds."""
    rows = [(t, s, rate) for rate in rates for t in tracks for s in range(segment_count(rate))]
    return Subset(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
    )


def with_stretched(part: Subset) -> Subset:
    """Add stretched copies of a part's segments (a training part: nothing else may be augmented).

    A copy belongs to the segment in whose time its middle lies, so that where only some segments of a track are
    learned from, the others stay unheard. A part that holds stretched segments already (`stretched`) stays as it is.
    """
    if (part.rate != 1).any():
        return part
    own = set(zip(part.track.tolist(), part.segment.tolist(), strict=True))
    copies = subset_of(part.tracks, STRETCH_RATES)
    middles = np.floor((copies.segment + 0.5) * copies.rate).astype(np.int64)
    of_own = [pair in own for pair in zip(copies.track.tolist(), middles.tolist(), strict=True)]
    chosen = copies[np.flatnonzero(of_own)]
    return Subset(
        np.concatenate([part.track, chosen.track]),
        np.concatenate([part.segment, chosen.segment]),
        np.concatenate([part.rate, chosen.rate]),
    )


def make_split(name: SplitName, data: Gtzan, seed: int = 0, lists: Path | None = None) -> Split:
    """Divide the collection.

    Args:
        name: how.
        data: the tracks.
        seed: of the random splits; `filtered` and `all` have none.
        lists: folder with `{train,valid,test}_filtered.txt`; None looks beside the data.

    Raises:
        FileNotFoundError: the filtered lists are asked for and not there.
    """
    nothing = subset_of([])
    if name in (SplitName.TRACK, SplitName.CROSS):
        train, valid, test = _shares(data.labels, seed)
        if name == SplitName.CROSS:
            test = _shares(data.labels, seed + OTHER_SEED)[2]
        return Split(name, seed, subset_of(train), subset_of(valid), subset_of(test))
    if name in (SplitName.SEGMENT, SplitName.STRETCHED):
        rates = (1.0,) if name == SplitName.SEGMENT else (1.0, *STRETCH_RATES)
        pool = subset_of(np.arange(len(data)), rates)
        train, valid, test = _shares(pool.labels(data), seed)
        return Split(name, seed, pool[train], pool[valid], pool[test])
    sides = [_listed(data, lists, side) for side in ("train", "valid", "test")]
    if name == SplitName.ALL:
        return Split(name, seed, subset_of(np.sort(np.concatenate(sides))), nothing, nothing)
    return Split(name, seed, *(subset_of(side) for side in sides))


def _shares(labels: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """60/20/20, the same within each genre; positions, ascending."""
    generator = np.random.default_rng(seed)
    sides: list[list[NDArray[np.int64]]] = [[], [], []]
    for genre in range(len(GENRES)):
        members = generator.permutation(np.flatnonzero(labels == genre))
        borders = np.rint(np.cumsum([TRAIN_SHARE, VALID_SHARE]) * len(members)).astype(int)
        for side, chosen in zip(sides, np.split(members, borders), strict=True):
            side.append(chosen)
    return [np.sort(np.concatenate(side)) for side in sides]


def _listed(data: Gtzan, lists: Path | None, side: str) -> NDArray[np.int64]:
    """Positions of the tracks on one of the filtered lists."""
    names = listed_names(data.root, lists, side)
    return np.array([data.index[name] for name in names if name in data.index], np.int64)


def listed_names(root: Path, lists: Path | None, side: str) -> list[str]:
    """Read one of the filtered lists.

    Args:
        root: folder of the data, beside or above which the lists are looked for.
        lists: folder of the lists where they are elsewhere.
        side: `train`, `valid` or `test`.

    Raises:
        FileNotFoundError: the list is not there.
    """
    places = [lists] if lists else [root / "splits", root, root.parent / "splits"]
    for place in places:
        path = place / f"{side}_filtered.txt"
        if path.is_file():
            return [Path(line.strip()).stem for line in path.read_text().splitlines() if line.strip()]
    raise FileNotFoundError(
        f"{side}_filtered.txt is not in {' or '.join(str(place) for place in places)}: the lists of Kereliuk, Sturm "
        "& Larsen (2015) are needed for this split; name their folder with --lists"
    )
