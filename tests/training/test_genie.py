import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from core.inference.classifier import Classifier
from core.inference.model_card import NEVER_SURE
from tests.training.made_teacher import write_labelled, write_teacher
from training import experiment, genie, heads, networks
from training.config import ExperimentConfig, GenieConfig, Kind, OutputFolders
from training.data.gtzan import DataError, Gtzan, load
from training.data.other_sounds import Recordings
from training.data.splits import LoadedData, SplitName, SubsetName, make_split
from training.data.teacher import Teacher, load_teacher
from training.distillation import DistillConfig

SONG_GENRES = ("jazz", "rock", "metal", "pop", "blues", "classical")
SMALL = DistillConfig(steps=3, batch_size=8, songs=4, widths=(8, 8))


@pytest.fixture
def folder(made_gtzan: Gtzan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data of five tracks per genre, teachers' outputs, labelled songs, and a network that is trained in a moment."""
    names = [name for name in made_gtzan.names if int(name[-5:]) < 5]
    mel = made_gtzan.mel[[made_gtzan.index[name] for name in names]]
    np.savez(tmp_path / "mel.npz", mel=mel, track=np.array(names))
    for subset, numbers in (("train", (0, 1, 2)), ("valid", (3,)), ("test", (4,))):
        lines = [f"{genre}/{genre}.{number:05d}.wav" for genre in GENRES for number in numbers]
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(lines))
    write_teacher(tmp_path, names)
    write_labelled(tmp_path / "labelled.npz", SONG_GENRES)
    monkeypatch.setattr(genie, "DistillConfig", lambda: SMALL)
    monkeypatch.setattr(genie, "FINETUNE", {"steps": 2})
    monkeypatch.setattr(heads, "PROBE_STEPS", 4)
    monkeypatch.setattr(heads, "fit_music_head", lambda student, train, seed: networks.music_head(3 * 8 + 512, 4))
    return tmp_path


@pytest.fixture(autouse=True)
def splits_of_sounds(monkeypatch: pytest.MonkeyPatch, recordings: Recordings) -> list[SplitName]:
    """Give the same recordings for all subsets, and note by which splits they are asked for."""
    splits: list[SplitName] = []

    def load_recordings(loaded: LoadedData, _: Path) -> dict[SubsetName, Recordings]:
        splits.append(loaded.split.name)
        return dict.fromkeys(SubsetName, recordings)

    monkeypatch.setattr(genie, "load_recordings", load_recordings)
    return splits


@pytest.fixture
def config(folder: Path) -> ExperimentConfig:
    options = GenieConfig(teacher=folder, not_music=folder)
    return ExperimentConfig(
        Kind.GENIE,
        folder / "mel.npz",
        SplitName.FILTERED,
        lists=folder,
        out=OutputFolders.all_in(folder / "out"),
        runs=folder / "runs",
        genie=options,
    )


def test_the_held_out_genie_has_a_card_that_serving_reads(config: ExperimentConfig) -> None:
    path = experiment.train_genre_model(config)
    assert path == config.out.evidence / "genie-filtered.tflite"
    card = Classifier(path).card
    assert card.outputs == ("genre", "music", "tags", "embedding")
    assert card.tags == ("Piano", "Techno", "Folk music")
    assert card.threshold is not None
    described = card.described
    assert described["version"] == "2"
    assert described["data"] == {"name": "GTZAN", "tracks": 30, "songs": 12}
    assert list(described["metrics"]["filtered"]) == ["valid", "test"]
    assert sum(band["songs"] for band in described["confidence_bands"]) == len(SONG_GENRES)
    assert set(described["confidence_bands"][0]) == {"from", "to", "songs", "correct"}
    assert set(described["very_sure"]) == {"songs", "correct"}
    assert Classifier(path).card.very_sure_from == (described["very_sure_from"] or NEVER_SURE)
    assert described["config"]["steps"] == 3
    assert described["mix"] == genie.MIX
    for words in ("AudioSet", "Million Song Dataset", "GTZAN's artists", "only the labels"):
        assert words in described["notes"]
    assert described["music_refusals"]["filtered"]["test"]["by_class"]["rain"]["recordings"] == 3
    (row,) = json.loads((config.out.figures / "genie-filtered-0-history.json").read_text())
    assert row["step"] == 3
    assert {"valid_votes", "labelled_votes"} <= set(row)
    assert (config.out.figures / "genie-filtered-0-test.json").is_file()


@pytest.mark.slow
def test_the_shipped_genie_is_fine_tuned_from_the_held_out_one_and_repeats_its_figures(
    config: ExperimentConfig, splits_of_sounds: list[SplitName]
) -> None:
    ship = replace(config, split=SplitName.ALL)
    with pytest.raises(FileNotFoundError, match="filtered"):
        experiment.train_genre_model(ship)
    held_out = Classifier(experiment.train_genre_model(replace(config, measure_test=False))).card
    assert list(held_out.described["metrics"]["filtered"]) == ["valid"]
    shipped = Classifier(experiment.train_genre_model(ship)).card
    assert (shipped.name, held_out.name) == ("genie", "genie-filtered")
    assert shipped.described["metrics"] == held_out.described["metrics"]
    assert shipped.described["music_refusals"] == held_out.described["music_refusals"]
    assert list(held_out.described["music_refusals"]["filtered"]) == ["valid"]
    assert splits_of_sounds == [SplitName.FILTERED, SplitName.FILTERED]
    assert shipped.described["precision"] == held_out.described["precision"]
    assert shipped.described["data"]["tracks"] == 50
    assert "genie-filtered" in shipped.described["notes"]
    assert "AudioSet" in shipped.described["notes"]
    assert shipped.sha256 != held_out.sha256


@pytest.mark.slow
def test_without_songs_and_validation_the_held_out_models_temperature_is_taken(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, split=SplitName.ALL, genie=replace(config.genie, labelled=None))
    (config.genie.teacher / "labelled.npz").unlink()
    config.out.evidence.mkdir(parents=True)
    (config.out.evidence / "genie-filtered.json").write_text(json.dumps({"temperature": 1.75, "precision": "int8"}))
    monkeypatch.setattr(genie.Distillation, "start_from", lambda self, weights: None)
    weights = config.runs / "genie-filtered-0" / "final.weights.h5"
    weights.parent.mkdir(parents=True)
    weights.touch()
    gtzan = load(config.data)
    loaded = LoadedData(gtzan, make_split(SplitName.ALL, gtzan, 0, config.lists))
    fields, _ = genie.make_genie(config, genie.load_genie_data(config, loaded))
    assert fields.temperature == 1.75


@pytest.mark.slow
def test_a_student_that_was_trained_elsewhere_is_taken_over_from_its_run_folder(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = np.random.default_rng(0).uniform(-80, 0, (4, N_MELS, SEGMENT_FRAMES)).astype(np.float32)
    first = Classifier(experiment.train_genre_model(config)).probabilities(segments)
    shutil.rmtree(config.out.models)
    run = config.runs / "genie-filtered-0"
    for name in ("checkpoint.npz", "run.json"):
        (run / name).unlink()
    assert {path.name for path in run.iterdir()} == {"final.weights.h5", "history.csv"}
    monkeypatch.setattr(genie.Distillation, "_save", None)
    again = Classifier(experiment.train_genre_model(config)).probabilities(segments)
    np.testing.assert_allclose(first, again, atol=1e-4)


@pytest.mark.parametrize("with_files", [True, False])
def test_without_a_teacher_only_genres_and_music_are_given(config: ExperimentConfig, with_files: bool) -> None:
    options = (
        replace(config.genie, without_teacher=True) if with_files else GenieConfig(not_music=config.genie.not_music)
    )
    path = experiment.train_genre_model(replace(config, genie=options))
    assert path.name == "genie-without-teacher-filtered.tflite"
    card = Classifier(path).card
    assert card.outputs == ("genre", "music")
    assert "labels as the only targets" in card.described["notes"]
    assert "AudioSet" not in card.described["notes"]
    assert ("confidence_bands" in card.described) is with_files
    assert "songs" not in card.described["music_refusals"]["filtered"]["valid"]["by_class"]
    measured = json.loads((config.out.figures / "genie-without-teacher-filtered-0-test.json").read_text())
    assert measured["model"] == "genie-without-teacher-filtered"
    other = GenieConfig() if with_files else replace(config.genie, without_teacher=True)
    with pytest.raises(DataError, match="other heads"):
        experiment.train_genre_model(replace(config, genie=other))


def test_targets_are_not_used_on_splits_that_they_do_not_belong_to(config: ExperimentConfig) -> None:
    with pytest.raises(DataError, match="filtered"):
        experiment.train_genre_model(replace(config, split=SplitName.TRACK))


@pytest.fixture
def teacher(folder: Path) -> Teacher:
    return load_teacher(folder, load(folder / "mel.npz"))


def test_songs_outside_the_ten_are_those_of_which_the_teacher_says_so(teacher: Teacher) -> None:
    kinds = {"electronic": ("Techno",), "folk": ("Folk music",)}
    outside, within = genie.outside_songs(teacher, kinds)
    assert outside.tolist() == [False] * 6 + [True] * 6
    assert within.tolist() == [True] * 6 + [False] * 6


@pytest.fixture
def song_tags() -> Callable[[float], np.ndarray]:
    """Tags (piano, techno, folk) of the teacher's songs; those within the ten have some techno."""

    def tags(within: float) -> np.ndarray:
        values = np.full((12, 3), 0.01, np.float32)
        values[:6, 1] = within
        values[6:9, 1] = values[9:, 2] = 0.6
        return values

    return tags


def test_the_rule_for_outside_says_it_of_those_and_not_of_the_ten(
    teacher: Teacher, song_tags: Callable[[float], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genie, "OUTSIDE_KINDS", {"electronic": ("Techno",), "folk": ("Folk music",)})
    names = ("Piano", "Techno", "Folk music")
    labelled = (np.full((3, 3), 0.3, np.float32), np.full(3, 0.5))
    rule = genie.choose_outside_rule(names, teacher, song_tags(0.2), np.full(12, 0.5), labelled)
    assert rule is not None
    assert rule["kinds"] == {"electronic": ["Techno"], "folk": ["Folk music"]}
    assert (rule["said_outside"], rule["said_within"], rule["said_labelled"]) == (1, 0, 0)
    assert 0.3 <= rule["least"] < 0.6
    hopeless = genie.choose_outside_rule(names, teacher, song_tags(0.95), np.full(12, 0.5), labelled)
    assert hopeless is None or hopeless["said_outside"] == 0


def test_a_tag_is_shown_from_where_the_teacher_agrees(teacher: Teacher) -> None:
    tags = np.linspace(1, 0, 12)[:, np.newaxis].astype(np.float32)
    thresholds = genie.tag_thresholds(tags, ("Rock music",), teacher, precision=0.99)
    assert thresholds == {"Rock music": pytest.approx(tags[5, 0])}
    assert genie.tag_thresholds(tags, ("Techno",), teacher, precision=0.99) == {}


def test_very_sure_is_from_where_nine_in_ten_are_correct() -> None:
    confidence = np.linspace(0.99, 0.8, 20)
    correct = np.arange(20) < 10
    assert genie.very_sure_from(confidence, correct) == pytest.approx(confidence[10], abs=1e-4)
    assert genie.very_sure_from(confidence, ~correct) is None
    assert genie.very_sure_from(confidence[:4], correct[:4]) is None
    assert genie.very_sure_from(confidence - 0.3, correct) == 0.8


def test_means_are_taken_by_song() -> None:
    means = genie.song_means(np.array([[1.0], [3.0], [5.0]], np.float32), np.array([4, 4, 9]))
    np.testing.assert_array_equal(means, [[2], [5]])


def test_every_kind_outside_is_known_by_tags_that_are_shown() -> None:
    assert {tag for meant in genie.OUTSIDE_KINDS.values() for tag in meant} <= set(heads.SHOWN_TAGS)
