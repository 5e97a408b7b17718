"""Which segments a model is trained, validated and tested on.

The accuracy reported for GTZAN depends more on the split than on the network (Sturm 2013, arXiv:1306.1461; Kereliuk,
Sturm & Larsen 2015, doi:10.1109/TMM.2015.2478068), so there are several ways to split:

- `track`: 60/20/20 by track, stratified by genre. Artists and repeated recordings appear in several subsets.
- `segment`: the same shares by segment, so that one song appears in several subsets.
- `filtered`: the fault-filtered, artist-disjoint lists of Kereliuk, Sturm & Larsen.
- `cross`: trained on one random track split, tested on the test list of another.
- `stretched`: segments and their time-stretched copies are pooled first, then split 60/20/20.

`official` is the split that a collection comes with (FMA has one, GTZAN has none).

`all` is every track of the filtered lists, without validation or test: the shipped model is trained on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.constants import GENRES
from training.data.gtzan import DataError, Gtzan, cut, filtered_list, segment_count

STRETCH_RATES: Final = (0.85, 1.15)
"""Playback rates of the stretched copies."""

TRAIN_SHARE: Final = 0.6
VALID_SHARE: Final = 0.2

OTHER_SEED: Final = 1_000
"""Added to the seed for the second track split of `cross`."""


class SplitName(StrEnum):
    """How tracks are split."""

    TRACK = "track"
    SEGMENT = "segment"
    FILTERED = "filtered"
    CROSS = "cross"
    STRETCHED = "stretched"
    OFFICIAL = "official"
    ALL = "all"


class SubsetName(StrEnum):
    """The three subsets of a split."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


@dataclass(frozen=True, eq=False)
class Subset:
    """Segments of tracks.

    Attributes:
        track: positions in `Gtzan.names`, `(n_segments,)`.
        segment: index of the segment within the track as played, `(n_segments,)`.
        rate: playback rate, `(n_segments,)`; 1 is the recording itself.
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
        """Positions of the tracks that the segments belong to, ascending."""
        return np.unique(self.track)

    def labels(self, gtzan: Gtzan) -> NDArray[np.int64]:
        """Genre of each segment, `(n_segments,)`."""
        return gtzan.labels[self.track]

    def segments(self, gtzan: Gtzan) -> NDArray[np.uint8]:
        """Spectrograms, uint8 `(n_segments, N_MELS, SEGMENT_FRAMES)`; see `gtzan.to_db`."""
        return np.stack(
            [cut(gtzan.mel[t], int(s), float(r)) for t, s, r in zip(self.track, self.segment, self.rate, strict=True)]
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test segments; `valid` and `test` are empty where a split has none."""

    name: SplitName
    seed: int
    train: Subset
    valid: Subset
    test: Subset

    def subset(self, name: SubsetName) -> Subset:
        """Return one of the three subsets."""
        return {SubsetName.TRAIN: self.train, SubsetName.VALID: self.valid, SubsetName.TEST: self.test}[name]

    def require(self, *names: SubsetName) -> None:
        """Make sure that subsets have segments.

        Raises:
            DataError: one of them has none.
        """
        for name in names:
            if not len(self.subset(name)):
                raise DataError(f"the split {self.name} has no {name} subset of this data")

    @property
    def whole_songs(self) -> bool:
        """Whether all segments of a song are in one subset, so that it can be classified by vote."""
        return self.name not in (SplitName.SEGMENT, SplitName.STRETCHED)


@dataclass(frozen=True, eq=False)
class LoadedData:
    """The collection and its split: read once, then handed to training and evaluation."""

    gtzan: Gtzan
    split: Split


def subset_of(tracks: Sequence[int] | NDArray[np.int64], rates: Sequence[float] = (1.0,)) -> Subset:
    """All segments of some tracks, at each of some playback rates."""
    rows = [(t, s, rate) for rate in rates for t in tracks for s in range(segment_count(rate))]
    return Subset(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
    )


def with_stretched(train: Subset) -> Subset:
    """Add time-stretched copies of training segments; validation and test are never augmented.

    A copy belongs to the segment that its middle falls into, so that where only some segments of a track are in the
    training subset, nothing of the others gets into it. A subset that already has stretched segments (of the split
    `stretched`) is returned as it is.
    """
    if (train.rate != 1).any():
        return train
    own = set(zip(train.track.tolist(), train.segment.tolist(), strict=True))
    copies = subset_of(train.tracks, STRETCH_RATES)
    middles = np.floor((copies.segment + 0.5) * copies.rate).astype(np.int64)
    of_own = [pair in own for pair in zip(copies.track.tolist(), middles.tolist(), strict=True)]
    chosen = copies[np.flatnonzero(of_own)]
    return Subset(
        np.concatenate([train.track, chosen.track]),
        np.concatenate([train.segment, chosen.segment]),
        np.concatenate([train.rate, chosen.rate]),
    )


def make_split(name: SplitName, gtzan: Gtzan, seed: int = 0, lists: Path | None = None) -> Split:
    """Split the collection.

    Args:
        name: how.
        gtzan: the tracks.
        seed: of the random splits; `filtered` and `all` are fixed.
        lists: folder with `{train,valid,test}_filtered.txt`; None looks for it beside the data.

    Raises:
        FileNotFoundError: the split needs the filtered lists and they are missing.
        DataError: the collection has no split of its own, and it was asked for.
    """
    nothing = subset_of([])
    if name == SplitName.OFFICIAL:
        if not gtzan.subsets:
            raise DataError(f"{gtzan.collection} has no split of its own")
        return Split(name, seed, *(subset_of(_official_tracks(gtzan, subset)) for subset in SubsetName))
    if name in (SplitName.TRACK, SplitName.CROSS):
        train, valid, test = _shares(gtzan.labels, seed)
        if name == SplitName.CROSS:
            test = _shares(gtzan.labels, seed + OTHER_SEED)[2]
        return Split(name, seed, subset_of(train), subset_of(valid), subset_of(test))
    if name in (SplitName.SEGMENT, SplitName.STRETCHED):
        rates = (1.0,) if name == SplitName.SEGMENT else (1.0, *STRETCH_RATES)
        pool = subset_of(np.arange(len(gtzan)), rates)
        train, valid, test = _shares(pool.labels(gtzan), seed)
        return Split(name, seed, pool[train], pool[valid], pool[test])
    listed = [_listed_tracks(gtzan, lists, subset) for subset in SubsetName]
    if name == SplitName.ALL:
        return Split(name, seed, subset_of(np.sort(np.concatenate(listed))), nothing, nothing)
    return Split(name, seed, *(subset_of(tracks) for tracks in listed))


def _shares(labels: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Draw 60/20/20 of the positions, stratified by genre; ascending."""
    generator = np.random.default_rng(seed)
    subsets: list[list[NDArray[np.int64]]] = [[], [], []]
    for genre in range(len(GENRES)):
        members = generator.permutation(np.flatnonzero(labels == genre))
        borders = np.rint(np.cumsum([TRAIN_SHARE, VALID_SHARE]) * len(members)).astype(int)
        for subset, chosen in zip(subsets, np.split(members, borders), strict=True):
            subset.append(chosen)
    return [np.sort(np.concatenate(subset)) for subset in subsets]


def _official_tracks(gtzan: Gtzan, subset: SubsetName) -> NDArray[np.int64]:
    return np.array([i for i, name in enumerate(gtzan.names) if gtzan.subsets[name] == subset], np.int64)


def _listed_tracks(gtzan: Gtzan, lists: Path | None, subset: SubsetName) -> NDArray[np.int64]:
    """Positions of the tracks on one of the filtered lists."""
    names = filtered_list(gtzan.root, lists, subset)
    return np.array([gtzan.index[name] for name in names if name in gtzan.index], np.int64)
