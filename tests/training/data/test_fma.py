import json
import logging
from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from tests.support.audio import make_song, write_wav
from training import experiment, networks, recipes
from training.config import ExperimentConfig, Kind, OutputFolders
from training.data import collections, gtzan
from training.data.gtzan import DataError
from training.data.splits import SplitName, SubsetName, make_split
from training.recipes import TrainConfig

HEADER = (
    ",set,set,track,track\n,split,subset,genre_top,title\ntrack_id,,,,\n"
    '2,training,small,Hip-Hop,Food\n3,validation,small,Rock,"One, two"\n5,test,small,Rock,This World\n'
    "10,training,small,Electronic,Freeway\n20,training,large,,Spiritual\n30,training,small,Jazz,Short\n"
)
"""The first columns of FMA's `tracks.csv`: two header rows, and one that names the index."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six clips, of which one is electronic, one has no genre and one is too short."""
    monkeypatch.setattr(gtzan, "CACHE_DIR", tmp_path / "cache")
    root = tmp_path / "fma"
    (root / "fma_metadata").mkdir(parents=True)
    (root / "fma_metadata" / "tracks.csv").write_text(HEADER)
    (root / "fma_small" / "000").mkdir(parents=True)
    for number in (2, 3, 5, 10, 20, 30):
        # What is in a file is told by its content: WAV under FMA's names is decoded as well.
        write_wav(root / "fma_small" / "000" / f"{number:06d}.mp3", make_song(9 if number == 30 else 30, seed=number))
    return root


def test_clips_of_our_genres_are_read_and_what_is_left_out_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = collections.load(folder)
    assert data.collection == "FMA"
    assert data.names == ("hiphop.000002", "rock.000003", "rock.000005")
    assert [GENRES[label] for label in data.labels] == ["hiphop", "rock", "rock"]
    assert "Electronic" in data.left_out["000010"]
    assert "no top genre" in data.left_out["000020"]
    assert "9.0 s" in data.left_out["jazz.000030"]
    assert "1 Electronic" in caplog.text
    assert data.mel.max() == 255


def test_its_own_split_is_used(folder: Path) -> None:
    data = collections.load(folder)
    split = make_split(SplitName.OFFICIAL, data)
    for subset, track in ((SubsetName.TRAIN, 0), (SubsetName.VALID, 1), (SubsetName.TEST, 2)):
        assert split.subset(subset).tracks.tolist() == [track]


def test_gtzan_has_no_split_of_its_own(made_gtzan: gtzan.Gtzan) -> None:
    with pytest.raises(DataError, match="GTZAN has no split of its own"):
        make_split(SplitName.OFFICIAL, made_gtzan)


def test_an_index_without_its_columns_is_refused(folder: Path) -> None:
    (folder / "fma_metadata" / "tracks.csv").write_text("track_id,genre\n2,Rock\n")
    with pytest.raises(DataError, match="genre_top"):
        collections.load(folder)


def test_an_index_that_is_cut_off_is_refused_with_its_line(folder: Path) -> None:
    (folder / "fma_metadata" / "tracks.csv").write_text(HEADER + "31,training\n")
    with pytest.raises(DataError, match="line 10: the row is cut off"):
        collections.load(folder)


def test_a_network_is_trained_on_it_and_measured(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = TrainConfig(lambda: networks.study_cnn((2, 4, 8), 8), 1, 8, 32)
    monkeypatch.setitem(recipes.RECIPES, "plain", recipe)
    out = OutputFolders.all_in(tmp_path / "out")
    config = ExperimentConfig(Kind.PLAIN, folder, SplitName.OFFICIAL, out=out, runs=tmp_path / "runs")
    path = experiment.train_genre_model(config)
    assert path == out.evidence / "plain-fma-official.tflite"
    card = json.loads(path.with_suffix(".json").read_text())
    assert (card["data"]["name"], card["data"]["segments"]) == ("FMA", 10)
    measured = json.loads((out.figures / "plain-fma-official-0-test.json").read_text())
    assert (measured["collection"], measured["figures"]["tracks"]) == ("FMA", 1)


def test_a_folder_without_clips_of_our_genres_is_refused(folder: Path) -> None:
    for number in (2, 3, 5, 30):
        (folder / "fma_small" / "000" / f"{number:06d}.mp3").unlink()
    with pytest.raises(FileNotFoundError, match="holds no clip"):
        collections.load(folder)


def test_an_archive_is_still_gtzan(made_gtzan: gtzan.Gtzan, tmp_path: Path) -> None:
    np.savez(tmp_path / "mel.npz", mel=made_gtzan.mel[:3], track=np.array(made_gtzan.names[:3]))
    assert collections.load(tmp_path / "mel.npz").collection == "GTZAN"
