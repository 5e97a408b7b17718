from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.constants import SECTION_FRAMES, SEGMENT_FRAMES
from tests.training.made_teacher import CLASSES, SONGS, write_teacher
from training import distillation
from training.data.gtzan import Gtzan
from training.data.splits import subset_of
from training.data.teacher import Teacher, load_teacher
from training.distillation import LABELS_ONLY, Distillation, DistillConfig, DistillData, draw_crops, gather

CONFIG = DistillConfig(steps=4, batch_size=8, songs=4, widths=(8, 8, 8, 8))
TRAIN = subset_of(np.arange(0, 100, 2))


@pytest.fixture
def teacher(made_gtzan: Gtzan, tmp_path: Path) -> Teacher:
    write_teacher(tmp_path, made_gtzan.names)
    return load_teacher(tmp_path, made_gtzan)


@pytest.fixture
def data(made_gtzan: Gtzan, teacher: Teacher) -> DistillData:
    return gather(made_gtzan, TRAIN, teacher, label=0.75)


def test_only_training_tracks_and_songs_are_drawn_each_genre_alike(data: DistillData) -> None:
    drawn = data.song[draw_crops(data, replace(CONFIG, steps=4_000), seed=0)]
    tracks, songs = drawn[:, :4], drawn[:, 4:]
    assert (tracks < 100).all()
    assert (tracks % 2 == 0).all()
    assert (songs >= 100).all()
    assert len(np.unique(songs)) == SONGS
    shares = np.bincount(tracks.ravel() // 10, minlength=10) / tracks.size
    np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_targets_of_held_out_tracks_are_not_in_the_data(made_gtzan: Gtzan, teacher: Teacher, data: DistillData) -> None:
    assert set(data.song[data.song < 100]) == set(range(0, 100, 2))
    held_out = teacher.crops.targets.embedding[teacher.crops.track % 2 == 1]
    start = 10 + len(CLASSES)
    kept = data.targets[data.song < 100, start : start + 4]
    assert not {tuple(row) for row in held_out} & {tuple(row) for row in kept}


def test_frames_of_a_track_lie_where_its_windows_say(made_gtzan: Gtzan, data: DistillData) -> None:
    first, length, twice_middle = data.windows[5]
    start = (twice_middle - SEGMENT_FRAMES + 1) // 2
    assert length == SECTION_FRAMES
    expected = made_gtzan.mel[data.song[5]][:, start : start + SEGMENT_FRAMES].T
    np.testing.assert_array_equal(data.frames[first + start : first + start + SEGMENT_FRAMES], expected)


@pytest.mark.slow
def test_without_a_teacher_the_labels_are_the_only_targets(made_gtzan: Gtzan, teacher: Teacher, tmp_path: Path) -> None:
    data = gather(made_gtzan, TRAIN, None, label=0.75)
    with_teacher = gather(made_gtzan, TRAIN, teacher, label=1.0)
    np.testing.assert_array_equal(data.targets[:, :10], with_teacher.targets[: len(data.targets), :10])
    np.testing.assert_array_equal(data.windows, with_teacher.windows[: len(data.windows)])
    assert data.targets[:, :10].max(axis=1).min() == 1
    config = replace(CONFIG, steps=2, **LABELS_ONLY)
    student = Distillation(data, config, None, 0, tmp_path / "run").run()
    assert set(student.output) == {"hidden", "genre"}


@pytest.mark.slow
def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    data: DistillData, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "CHECKPOINT_STEPS", 2)
    whole = Distillation(data, CONFIG, teacher, 0, tmp_path / "whole").run()

    class InterruptionError(Exception):
        pass

    measured = []

    def interrupt(_: object) -> dict[str, float]:
        measured.append(1)
        if len(measured) == 2:
            raise InterruptionError
        return {"valid_votes": 0.5}

    with pytest.raises(InterruptionError):
        Distillation(data, CONFIG, teacher, 0, tmp_path / "broken").run(interrupt)
    resumed = Distillation(data, CONFIG, teacher, 0, tmp_path / "broken").run(lambda _: {"valid_votes": 0.75})
    for first, second in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    lines = (tmp_path / "broken" / "history.csv").read_text().splitlines()
    assert lines[0] == "step,genre,classes,embedding,tags,valid_votes,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["2", "4"]


def test_a_finished_training_is_not_repeated(data: DistillData, teacher: Teacher, tmp_path: Path) -> None:
    first = Distillation(data, CONFIG, teacher, 0, tmp_path).run()
    (tmp_path / "checkpoint.npz").unlink()

    def fail(_: object) -> dict[str, float]:
        raise AssertionError("no step must be taken")

    again = Distillation(data, CONFIG, teacher, 1, tmp_path).run(fail)
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_brings_the_embedding_closer_to_the_teachers(
    data: DistillData, teacher: Teacher, tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=60, batch_size=16, songs=8, augment=replace(CONFIG.augment, mixup=0.0))
    losses = []

    def note(_: object) -> dict[str, float]:
        return {}

    training = Distillation(data, config, teacher, 0, tmp_path)
    original = training._train_step
    training._train_step = lambda *batch: losses.append(original(*batch).numpy()) or losses[-1]
    training.run(note)
    first, last = np.mean(losses[:10], axis=0), np.mean(losses[-10:], axis=0)
    assert last[2] < 0.6 * first[2], (first, last)


def test_a_class_that_means_a_genre_counts_more() -> None:
    weights = distillation.class_weights(CLASSES, {"rock": ("Rock music", "Punk rock")}, 3.0)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(3 * weights[1])
