from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from training.data import gtzan
from training.data.gtzan import Gtzan
from training.data.splits import SplitName, Subset, SubsetName, make_split, subset_of, with_stretched


def keys(subset: Subset) -> set[tuple[int, int, float]]:
    return set(zip(subset.track.tolist(), subset.segment.tolist(), subset.rate.tolist(), strict=True))


def genres(data: Gtzan, subset: Subset) -> list[int]:
    return np.bincount(data.labels[subset.tracks], minlength=len(GENRES)).tolist()


def test_the_track_split_is_disjoint_by_track_and_stratified_by_genre(made_gtzan: Gtzan) -> None:
    split = make_split(SplitName.TRACK, made_gtzan, 3)
    tracks = [set(split.subset(name).tracks.tolist()) for name in SubsetName]
    assert tracks[0] | tracks[1] | tracks[2] == set(range(100))
    assert sum(map(len, tracks)) == 100
    for subset, share in ((split.train, 6), (split.valid, 2), (split.test, 2)):
        assert genres(made_gtzan, subset) == [share] * 10
        assert len(subset) == 10 * len(subset.tracks)


def test_the_seed_alone_decides_a_random_split(made_gtzan: Gtzan) -> None:
    for name in (SplitName.TRACK, SplitName.SEGMENT, SplitName.STRETCHED, SplitName.CROSS):
        first, again, other = (make_split(name, made_gtzan, seed) for seed in (1, 1, 2))
        assert keys(first.test) == keys(again.test)
        assert keys(first.test) != keys(other.test)


def test_the_segment_split_shares_songs_but_no_segment(made_gtzan: Gtzan) -> None:
    split = make_split(SplitName.SEGMENT, made_gtzan, 0)
    assert [len(split.subset(name)) for name in SubsetName] == [600, 200, 200]
    assert not keys(split.train) & keys(split.test)
    assert len(set(split.train.tracks.tolist()) & set(split.test.tracks.tolist())) > 80


def test_the_cross_split_tests_tracks_that_were_trained_on(made_gtzan: Gtzan) -> None:
    split = make_split(SplitName.CROSS, made_gtzan, 0)
    assert keys(split.train) == keys(make_split(SplitName.TRACK, made_gtzan, 0).train)
    shared = set(split.train.tracks.tolist()) & set(split.test.tracks.tolist())
    assert 5 <= len(shared) < 20


def test_the_stretched_split_tests_copies_of_training_segments(made_gtzan: Gtzan) -> None:
    split = make_split(SplitName.STRETCHED, made_gtzan, 0)
    assert len(split.train) + len(split.valid) + len(split.test) == 100 * (10 + 11 + 8)
    assert not keys(split.train) & keys(split.test)
    assert set(split.test.rate.tolist()) == {0.85, 1.0, 1.15}


def test_stretching_a_training_subset_adds_copies_of_its_own_tracks_only(made_gtzan: Gtzan) -> None:
    subset = subset_of([4, 7])
    stretched = with_stretched(subset)
    assert stretched.tracks.tolist() == [4, 7]
    assert keys(subset) < keys(stretched)
    assert stretched.segments(made_gtzan).shape == (2 * 29, 128, 72)


def test_a_subset_gives_its_segments(made_gtzan: Gtzan) -> None:
    subset = subset_of([12])
    np.testing.assert_array_equal(subset.segments(made_gtzan)[1], made_gtzan.mel[12][:, 72:144])
    assert subset.labels(made_gtzan).tolist() == [1] * 10


def write_lists(folder: Path) -> None:
    folder.mkdir()
    for name, numbers in (("train", (0, 1, 2)), ("valid", (3,)), ("test", (4, 5))):
        lines = [f"{genre}/{genre}.{number:05d}.wav" for genre in GENRES for number in numbers]
        (folder / f"{name}_filtered.txt").write_text("\n".join(lines) + "\n")


def test_filtered_lists_are_read_and_joined(made_gtzan: Gtzan, tmp_path: Path) -> None:
    write_lists(tmp_path / "lists")
    split = make_split(SplitName.FILTERED, made_gtzan, 0, tmp_path / "lists")
    assert [len(split.subset(name).tracks) for name in SubsetName] == [30, 10, 20]
    assert made_gtzan.names[split.valid.tracks[0]] == "blues.00003"
    everything = make_split(SplitName.ALL, made_gtzan, 0, tmp_path / "lists")
    assert len(everything.train.tracks) == 60
    assert len(everything.valid) == len(everything.test) == 0


def test_missing_lists_are_asked_for(made_gtzan: Gtzan, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--lists"):
        make_split(SplitName.FILTERED, made_gtzan, 0, tmp_path)


def test_no_artist_is_in_two_subsets_of_the_filtered_split(real_gtzan: Path) -> None:
    data = gtzan.load(real_gtzan / "mel.npz")
    split = make_split(SplitName.FILTERED, data)
    assert [len(split.subset(name).tracks) for name in SubsetName] == [442, 197, 290]
    lines = (real_gtzan / "index.txt").read_text(errors="replace").splitlines()
    artist = {line.split(":::")[0].strip()[:-4]: line.split(":::")[1].strip().lower() for line in lines if line}
    artists = [
        {(data.names[track].partition(".")[0], artist[data.names[track]]) for track in split.subset(name).tracks}
        for name in SubsetName
    ]
    named = [{entry for entry in subset if entry[1]} for subset in artists]
    assert not named[0] & named[2], sorted(named[0] & named[2])
    assert not named[0] & named[1]
    assert not named[1] & named[2]


def test_stretched_copies_are_made_of_training_segments_only(made_gtzan: Gtzan) -> None:
    split = make_split(SplitName.SEGMENT, made_gtzan, 1)
    stretched = with_stretched(split.train)
    assert keys(split.train) < keys(stretched)
    own, held_out = keys(split.train), keys(split.valid) | keys(split.test)
    for track, segment, rate in keys(stretched) - own:
        source = (track, int((segment + 0.5) * rate), 1.0)
        assert source in own
        assert source not in held_out
    assert 2.5 < len(stretched) / len(split.train) < 3


def test_a_subset_with_stretched_segments_stays_as_it_is(made_gtzan: Gtzan) -> None:
    subset = make_split(SplitName.STRETCHED, made_gtzan, 1).train
    assert keys(with_stretched(subset)) == keys(subset)
