from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from tests.support.data import DATA
from tests.training.made_teacher import write_labelled, write_teacher
from training.data import gtzan
from training.data.gtzan import DataError, Gtzan
from training.data.teacher import Teacher, load_labelled, load_teacher

TEACHER = DATA / "teacher"
needs_teacher = pytest.mark.skipif(
    not (TEACHER / "gtzan.npz").is_file() or not (DATA / "gtzan" / "mel.npz").is_file(),
    reason=f"needs the teachers' outputs under {TEACHER}",
)


@pytest.fixture
def teacher(made_gtzan: Gtzan, tmp_path: Path) -> Teacher:
    write_teacher(tmp_path, made_gtzan.names)
    return load_teacher(tmp_path, made_gtzan)


def test_targets_of_songs_are_standardised_and_tagged(teacher: Teacher) -> None:
    targets = teacher.songs.targets
    assert np.abs(targets.tags.mean(axis=0)).max() < 2e-3
    assert np.abs(targets.classes.mean(axis=0)).max() < 2e-3
    assert targets.tagged.all()
    np.testing.assert_allclose(targets.genre.sum(axis=1), 1, atol=0.01)
    assert not teacher.crops.targets.tagged.any()
    assert teacher.genre_classes["rock"] == ("Rock music", "Punk rock")


def test_targets_follow_the_order_of_the_tracks(made_gtzan: Gtzan, teacher: Teacher, tmp_path: Path) -> None:
    reversed_tracks = Gtzan(made_gtzan.mel[::-1], made_gtzan.names[::-1], "archive", tmp_path, {})
    other = load_teacher(tmp_path, reversed_tracks).crops
    first = teacher.crops.targets.embedding[teacher.crops.track == 0]
    np.testing.assert_array_equal(other.targets.embedding[other.track == len(reversed_tracks) - 1], first)


def test_a_track_without_targets_is_named(made_gtzan: Gtzan, tmp_path: Path) -> None:
    write_teacher(tmp_path, made_gtzan.names[1:])
    with pytest.raises(DataError, match=r"no targets for blues\.00000"):
        load_teacher(tmp_path, made_gtzan)
    with pytest.raises(FileNotFoundError):
        load_teacher(tmp_path / "nowhere", made_gtzan)


def test_an_array_that_is_missing_is_named(made_gtzan: Gtzan, tmp_path: Path) -> None:
    write_teacher(tmp_path, made_gtzan.names)
    np.savez(tmp_path / "songs.npz", mel=np.zeros(1))
    with pytest.raises(DataError, match="lacks .*song_genre"):
        load_teacher(tmp_path, made_gtzan)
    np.savez(tmp_path / "songs.npz", mel=np.array([None]))
    with pytest.raises(DataError, match="plain arrays"):
        load_teacher(tmp_path, made_gtzan)
    (tmp_path / "songs.npz").write_text("no archive")
    with pytest.raises(DataError, match="plain arrays"):
        load_teacher(tmp_path, made_gtzan)


def test_labelled_songs_are_as_the_pipeline_takes_them(tmp_path: Path) -> None:
    songs = write_labelled(tmp_path / "labelled.npz", ("jazz", "rock"))
    labelled = load_labelled(tmp_path / "labelled.npz")
    assert [GENRES[genre] for genre in labelled.genre] == ["jazz", "rock"]
    np.testing.assert_allclose(labelled.recordings[1].db, songs[1].dequantize().db, atol=1e-4)
    write_labelled(tmp_path / "other.npz", ("jazz",))
    with np.load(tmp_path / "other.npz") as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "other.npz", **(arrays | {"genre": np.array(["polka"])}))
    with pytest.raises(DataError, match="polka"):
        load_labelled(tmp_path / "other.npz")


@needs_teacher
def test_the_real_files_are_read() -> None:
    teacher = load_teacher(TEACHER, gtzan.load(DATA / "gtzan" / "mel.npz"))
    assert len(teacher.scale.classes) == 104
    assert len(teacher.scale.tags) == 50
    assert len(teacher.songs.genre) == 975
    assert teacher.crops.targets.embedding.shape == (999 * 37, 128)
    labelled = load_labelled(TEACHER / "labelled.npz")
    assert len(labelled.recordings) == 38
    assert all(recording.duration > 3 for recording in labelled.recordings)
