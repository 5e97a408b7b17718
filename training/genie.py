"""Genie: a student is trained, gets its heads, and becomes a file with a card and figures."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from core.audio.section import main_section
from core.audio.spectrogram import segments_db
from core.constants import SECTION_SEGMENTS, SEGMENT_FRAMES
from core.inference.classifier import Outputs, apply_temperature
from core.inference.model_card import NEVER_SURE
from core.verdict import CERTAINTIES
from training import export, heads, not_music
from training.config import ExperimentConfig, run_name
from training.data.gtzan import DataError, to_db
from training.data.other_sounds import Recordings, load_recordings, with_songs
from training.data.splits import LoadedData, SplitName, SubsetName, make_split
from training.data.teacher import MARGIN, LabelledSongs, Teacher, load_labelled, load_teacher
from training.distillation import (
    FINAL_WEIGHTS,
    LABELS_ONLY,
    Distillation,
    DistillConfig,
    HeadSizes,
    gather,
    predict_outputs,
)
from training.evaluation import metrics
from training.evaluation.labelled import confidence_bands
from training.networks import Heads, served_network

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

VERSION: Final = "2"

MIX: Final[dict[str, float]] = {"probe": 0.7, "trained": 0.3}
"""Weights of two logits: a probe's on the frozen trunk, and those of the head that the trunk was trained with."""

PROBE_SONGS: Final = 0.5
"""Share of real songs, with the teachers' guess of their genre, in the probe's loss; the rest are labels."""

PROBE_PENALTY: Final = 0.01
"""Of the probe's weights."""

FINETUNE: Final[dict[str, Any]] = {"steps": 1_000, "learning_rate": 1.5e-3}
"""How the shipped genie is fine-tuned on all tracks without known faults, from the held-out model's weights."""

MAX_OUTSIDE_SAID: Final = 0.03
"""Share of songs of the ten genres that may be said to be outside them."""

OUTSIDE_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "electronic": ("Electronic music", "House music", "Techno", "Trance music", "Dubstep", "Drum and bass"),
    "ambient": ("Ambient music",),
    "folk": ("Folk music",),
    "latin": ("Music of Latin America",),
    "gospel": ("Gospel music", "Christian music"),
    "african": ("Music of Africa", "Afrobeat"),
    "middle eastern": ("Middle Eastern music",),
    "bollywood": ("Music of Bollywood",),
    "soundtrack": ("Soundtrack music",),
}
"""Kinds of music outside the ten genres → the tags that mean them."""

TEACHER_NOTES: Final = (
    "The targets come from a network that was trained on AudioSet (EfficientAT mn04) and from one that was trained on "
    "the Million Song Dataset (musicnn). AudioSet may hold GTZAN's artists and recordings, and the Million Song "
    "Dataset holds many of its artists: only the labels of the filtered lists are artist-disjoint, so that the figures "
    "on filtered do not prove what the model does for artists that neither it nor its teachers know."
)
LABELS_ONLY_NOTES: Final = "The network and schedule of genie with labels as the only targets, for comparison."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GenieData:
    """Everything that genie is made of.

    Attributes:
        loaded: GTZAN and its split.
        teacher: outputs of two teachers for it and for real songs.
        labelled: songs to calibrate on.
        recordings: music and other sounds, by subset.
    """

    loaded: LoadedData
    teacher: Teacher | None
    labelled: LabelledSongs | None
    recordings: Mapping[SubsetName, Recordings] | None

    @property
    def head_sizes(self) -> HeadSizes:
        """Sizes of the student's heads."""
        return HeadSizes.of(self.teacher)


def load_genie_data(config: ExperimentConfig, loaded: LoadedData) -> GenieData:
    """Read what there is besides GTZAN.

    Raises:
        FileNotFoundError: something that the configuration names is missing.
        DataError: something is not what it should be, or the targets do not belong to the split.
    """
    options = config.genie
    if not options.labels_only and config.split not in (SplitName.FILTERED, SplitName.ALL):
        raise DataError("the teachers' targets belong to the filtered lists: use --split filtered or all")
    labelled = options.labelled
    if labelled is None and options.teacher is not None and (options.teacher / "labelled.npz").is_file():
        labelled = options.teacher / "labelled.npz"
    teacher = None if options.teacher is None else load_teacher(options.teacher, loaded.gtzan)
    recordings = None
    if options.not_music is not None:
        recordings = load_recordings(_with_validation(config, loaded), options.not_music)
        if teacher is not None and not options.labels_only:
            recordings = with_songs(recordings, teacher.songs)
    return GenieData(loaded, teacher, None if labelled is None else load_labelled(labelled), recordings)


def _with_validation(config: ExperimentConfig, loaded: LoadedData) -> LoadedData:
    """Give a split that has validation tracks, on which the threshold of music is chosen."""
    if config.split is not SplitName.ALL:
        return loaded
    return LoadedData(loaded.gtzan, make_split(SplitName.FILTERED, loaded.gtzan, config.seed, config.lists))


def distill_config(config: ExperimentConfig) -> DistillConfig:
    """Choose how the student is trained."""
    recipe = DistillConfig()
    if config.split is SplitName.ALL:
        recipe = replace(recipe, **FINETUNE)
    if config.genie.labels_only:
        recipe = replace(recipe, **LABELS_ONLY)
    return replace(recipe, steps=config.genie.steps or recipe.steps)


def train_student(config: ExperimentConfig, recipe: DistillConfig, data: GenieData) -> keras.Model:
    """Train a student, or resume; on all tracks it begins with the weights of the held-out one.

    Raises:
        FileNotFoundError: the held-out student is missing.
    """
    gtzan, split = data.loaded.gtzan, data.loaded.split
    start = None
    if split.name is SplitName.ALL:
        start = config.runs / run_name(config.name, SplitName.FILTERED, config.seed) / FINAL_WEIGHTS
        if not start.is_file():
            raise FileNotFoundError("genie is fine-tuned on all tracks after `train genie --split filtered`")
    gathered = gather(gtzan, split.train, data.teacher, recipe.label)
    training = Distillation(gathered, recipe, data.teacher, config.seed, config.runs / config.run_name)
    if start:
        training.start_from(start)
    return training.run(CheckpointMeasure(data))


def fit_heads(student: keras.Model, recipe: DistillConfig, data: GenieData, seed: int) -> Heads:
    """Fit what stands on a student's trunk; tags and embedding need targets, music needs other sounds."""
    loaded, teacher = data.loaded, data.teacher
    probe_data = heads.probe_data(student, gather(loaded.gtzan, loaded.split.train, teacher, label=1.0), recipe, seed)
    probe = heads.fit_probe(probe_data, PROBE_SONGS if recipe.songs else 0.0, PROBE_PENALTY)
    parts = {"probe": probe, "trained": heads.trained_head(student, "genre")}
    music = None
    if data.recordings is not None:
        music = heads.fit_music_head(student, data.recordings[SubsetName.TRAIN], seed)
    taught = teacher is not None and recipe.classes > 0
    return Heads(
        heads.mixed_heads([(MIX[name], dense) for name, dense in parts.items()]),
        music,
        heads.tag_head(student, teacher) if teacher is not None and taught else None,
        heads.trained_head(student, "embedding") if taught else None,
    )


def make_genie(config: ExperimentConfig, data: GenieData) -> tuple[export.CardFields, bytes]:
    """Train a student and make what is served of it.

    Args:
        config: of the training.
        data: as from `load_genie_data`.

    Returns:
        The card's fields without the figures on the split, and the content of the file.

    Raises:
        FileNotFoundError: the held-out model is missing.
    """
    recipe = distill_config(config)
    student = train_student(config, recipe, data)
    _log.info("%s: fitting the heads", config.run_name)
    fitted = fit_heads(student, recipe, data, config.seed)
    model = served_network(student, fitted)
    taught, gtzan = data.teacher if fitted.tags is not None else None, data.loaded.gtzan
    described: dict[str, Any] = {"name": gtzan.collection, "tracks": len(data.loaded.split.train.tracks)}
    if taught is not None:
        described["songs"] = len(taught.songs.genre)
    fields = export.CardFields(
        config.out.model_path(config.name, config.split, config.seed).stem,
        VERSION,
        described,
        str(config.split),
        config.seed,
        {},
        threshold=None if fitted.music is None else 0.5,
        notes=TEACHER_NOTES if taught is not None else LABELS_ONLY_NOTES,
        outputs=tuple(model.output),
        details={"mix": MIX, "config": asdict(recipe)},
    )
    if taught is not None:
        fields = _with_details(fields, {"tags": list(heads.shown_tags(taught))})
    fields, content = _convert(model, fields, data, config)
    if data.labelled is None and not len(data.loaded.split.valid):
        # Nothing is left to choose a temperature on, and the figures on the card are the held-out model's too.
        fields = replace(fields, temperature=held_out_card(config)["temperature"])
    return calibrate(fields, content, data, config.measure_test), content


def _convert(
    model: keras.Model, fields: export.CardFields, data: GenieData, config: ExperimentConfig
) -> tuple[export.CardFields, bytes]:
    """Convert to the precision that validation chose; the shipped model takes the held-out one's."""
    valid, gtzan = data.loaded.split.valid, data.loaded.gtzan
    if len(valid):
        segments, labels = to_db(valid.segments(gtzan)), valid.labels(gtzan)
        content, precision = export.convert_smallest(
            model, fields, segments, lambda probabilities: float((probabilities.argmax(axis=1) == labels).mean())
        )
    else:
        precision = str(held_out_card(config)["precision"])
        content = export.convert(model, precision)
    return replace(fields, precision=precision), content


def held_out_card(config: ExperimentConfig) -> dict[str, Any]:
    """Read the card of the model that was trained on the filtered training list.

    Raises:
        FileNotFoundError: it is missing.
    """
    path = config.out.model_path(config.name, SplitName.FILTERED, config.seed).with_suffix(".json")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `train genie --split filtered` first")
    card: dict[str, Any] = json.loads(path.read_text())
    return card


def _with_details(fields: export.CardFields, details: Mapping[str, Any]) -> export.CardFields:
    return replace(fields, details={**fields.details, **details})


def calibrate(fields: export.CardFields, content: bytes, data: GenieData, measure_test: bool) -> export.CardFields:
    """Choose the temperature and all thresholds of a converted model; refusals on test are counted only if wanted."""
    songs, song_of = None, None
    if data.labelled is not None:
        segments, song_of = labelled_segments(data.labelled)
        songs = export.run_as_served(content, fields, segments)
        fields = _calibrate_on_songs(fields, _genre(songs), data.labelled.genre, song_of)
    elif len(data.loaded.split.valid):
        valid, gtzan = data.loaded.split.valid, data.loaded.gtzan
        probabilities = export.genre_as_served(content, fields, to_db(valid.segments(gtzan)))
        fields = replace(fields, temperature=metrics.fit_temperature(probabilities, valid.labels(gtzan), valid.track))
    if data.recordings is not None:
        fields = _choose_music_threshold(fields, content, data.recordings, measure_test)
    if data.teacher is not None and "tags" in fields.outputs:
        fields = _choose_tag_thresholds(fields, content, data.teacher, data.labelled, songs, song_of)
    return fields


def _genre(outputs: Outputs) -> FloatArray:
    if outputs.genre is None:
        raise ValueError("no model of genres")
    return outputs.genre


def _calibrate_on_songs(
    fields: export.CardFields, probabilities: FloatArray, genre: IntArray, song: IntArray
) -> export.CardFields:
    """Choose the temperature by labelled songs, and count what each confidence is worth for a song left out of it."""
    labels = genre[song]
    confidence, correct = [], []
    for left_out in np.unique(song):
        others = song != left_out
        temperature = metrics.fit_temperature(probabilities[others], labels[others], song[others])
        votes = metrics.vote(apply_temperature(probabilities[~others], temperature), labels[~others], song[~others])
        confidence.append(float(votes.confidence[0]))
        correct.append(bool(votes.genre[0] == votes.labels[0]))
    right = np.array(correct)
    measured = metrics.calibration(np.array(confidence), right)
    sure_from = very_sure_from(np.array(confidence), right)
    sure = np.array(confidence) >= (NEVER_SURE if sure_from is None else sure_from)
    return _with_details(
        replace(fields, temperature=metrics.fit_temperature(probabilities, labels, song)),
        {
            "confidence_bands": [band.to_json() for band in confidence_bands(np.array(confidence), right)],
            "very_sure_from": sure_from,
            "very_sure": {"songs": int(sure.sum()), "correct": int(right[sure].sum())},
            "labelled": {"songs": len(right), "correct": int(right.sum()), "ece": round(measured.ece, 4)},
        },
    )


def very_sure_from(
    confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_], share: float = 0.9, least: int = 5
) -> float | None:
    """Find the lowest confidence from which on a share of the songs is classified correctly, at least 0.8.

    The bot says *very sure* from there on (`core.verdict.CERTAINTIES`).

    Args:
        confidence: of each song, `(n,)`.
        correct: whether it is classified correctly, `(n,)`.
        share: that has to be correct.
        least: number of songs that this has to hold for; None is returned where it does not.
    """
    order = np.argsort(-confidence)
    shares = np.cumsum(correct[order]) / (1 + np.arange(len(order)))
    enough = np.flatnonzero((shares >= share) & (np.arange(len(order)) >= least - 1))
    if not enough.size:
        return None
    return max(round(float(confidence[order[enough[-1]]]), 4), CERTAINTIES["high"])


def _choose_music_threshold(
    fields: export.CardFields, content: bytes, recordings: Mapping[SubsetName, Recordings], measure_test: bool
) -> export.CardFields:
    """Choose the threshold of music on validation, and count refusals."""
    probabilities = {}
    for subset in (SubsetName.VALID, SubsetName.TEST) if measure_test else (SubsetName.VALID,):
        segments, recording = recordings[subset].segments()
        music = export.run_as_served(content, fields, segments).music
        if music is None:
            raise ValueError(f"{fields.name} has no output for music")
        probabilities[subset] = not_music.recording_probabilities(music[:, np.newaxis], recording)
    is_music, valid = recordings[SubsetName.VALID].is_music, probabilities[SubsetName.VALID]
    threshold = not_music.choose_threshold(valid[is_music], valid[~is_music])
    refused = {
        str(subset): not_music.refusals(recordings[subset], values, threshold)
        for subset, values in probabilities.items()
    }
    return _with_details(replace(fields, threshold=threshold), {"music_refusals": {"filtered": refused}})


def _choose_tag_thresholds(
    fields: export.CardFields,
    content: bytes,
    teacher: Teacher,
    labelled: LabelledSongs | None,
    outputs: Outputs | None,
    song: IntArray | None,
) -> export.CardFields:
    """Choose which tags are shown, and when a song is said to be outside the ten genres."""
    names = tuple(fields.details["tags"])
    segments = to_db(teacher.songs.mel[:, :, MARGIN : MARGIN + SEGMENT_FRAMES])
    of_songs = export.run_as_served(content, fields, segments)
    if of_songs.tags is None:
        raise ValueError(f"{fields.name} has no tags")
    tags = song_means(of_songs.tags, teacher.songs.song)
    fields = _with_details(
        fields, {"tag_thresholds": {name: round(v, 4) for name, v in tag_thresholds(tags, names, teacher).items()}}
    )
    nothing = np.zeros(len(teacher.songs.song), np.int64)
    confidence = metrics.vote(_genre(of_songs), nothing, teacher.songs.song).confidence
    within: tuple[FloatArray, NDArray[np.floating[Any]]] = (np.zeros((0, len(names)), np.float32), np.zeros(0))
    if labelled is not None and outputs is not None and outputs.tags is not None and song is not None:
        tempered = apply_temperature(_genre(outputs), fields.temperature)
        within = (song_means(outputs.tags, song), metrics.vote(tempered, labelled.genre[song], song).confidence)
    rule = choose_outside_rule(names, teacher, tags, confidence, within)
    return fields if rule is None else _with_details(fields, {"outside": rule})


def labelled_segments(songs: LabelledSongs) -> tuple[FloatArray, IntArray]:
    """Cut the segments of the songs' main sections, as serving does.

    Returns:
        dB `(n, N_MELS, SEGMENT_FRAMES)`, and the song of each segment, `(n,)`.
    """
    cuts, of = [], []
    for number, recording in enumerate(songs.recordings):
        starts = recording.segment_starts(main_section(recording), SECTION_SEGMENTS)
        loud = [i for i, start in enumerate(starts) if not recording.is_silent(start, start + SEGMENT_FRAMES)]
        cuts.append(segments_db(recording, starts)[loud])
        of += [number] * len(loud)
    return np.concatenate(cuts), np.array(of, np.int64)


def song_means(values: FloatArray, song: IntArray) -> FloatArray:
    """Average over each song's segments, float32 `(songs, k)`."""
    songs = np.unique(song, return_inverse=True)[1]
    sums = np.zeros((songs.max() + 1, values.shape[1]))
    np.add.at(sums, songs, values)
    means: FloatArray = (sums / np.bincount(songs)[:, np.newaxis]).astype(np.float32)
    return means


def tag_thresholds(
    tags: FloatArray, names: tuple[str, ...], teacher: Teacher, precision: float = 0.7
) -> dict[str, float]:
    """Choose the probability from which each tag is shown: where the teacher agrees for `precision` of the songs.

    The teacher gives a song a tag where the tag's mean probability is at least 0.1, or among its highest twentieth if
    it is rarer.

    Args:
        tags: mean probabilities of the teacher's songs, `(songs, tags)`.
        names: of the tags.
        teacher: its songs.
        precision: share of the songs shown with a tag to which the teacher gives it too.

    Returns:
        Tag → threshold; a tag that does not reach the precision in five songs is left out.
    """
    rows = [teacher.scale.classes.index(name) for name in names]
    targets = song_means(_sigmoid(teacher.songs.logits[:, rows]), teacher.songs.song)
    thresholds = {}
    for column, name in enumerate(names):
        has_tag = targets[:, column] >= min(0.1, float(np.quantile(targets[:, column], 0.95)))
        order = np.argsort(-tags[:, column])
        precise = np.cumsum(has_tag[order]) / (1 + np.arange(len(order)))
        enough = np.flatnonzero((precise >= precision) & (np.arange(len(order)) >= 4))
        if enough.size:
            thresholds[name] = float(tags[order[enough[-1]], column])
    return thresholds


def _sigmoid(logits: FloatArray) -> FloatArray:
    probabilities: FloatArray = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return probabilities


def _log_odds(probability: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    odds: NDArray[np.floating[Any]] = np.log(clipped / (1 - clipped))
    return odds


def choose_outside_rule(
    names: tuple[str, ...],
    teacher: Teacher,
    tags: FloatArray,
    confidence: NDArray[np.floating[Any]],
    within: tuple[FloatArray, NDArray[np.floating[Any]]],
) -> dict[str, Any] | None:
    """Choose when a song is said to be outside the ten genres (`core.inference.outside`).

    It is said as often as possible of songs that are, and of at most `MAX_OUTSIDE_SAID` of those that are not, both by
    the teacher (`outside_songs`); the labelled songs are all within.

    Args:
        names: of the tags.
        teacher: its songs.
        tags: mean probabilities of its songs, `(songs, tags)`.
        confidence: of the genre of each, `(songs,)`.
        within: tags and confidence of the labelled songs.

    Returns:
        The card's `outside`: `kinds`, `least`, `weight`, and what it was chosen by; None where no kind has its tags or
        no rule is good enough.
    """
    kinds = {kind: meant for kind, meant in OUTSIDE_KINDS.items() if set(meant) <= set(names)}
    if not kinds:
        return None
    columns = [[names.index(tag) for tag in meant] for meant in kinds.values()]

    def score(values: FloatArray) -> NDArray[np.floating[Any]]:
        return _log_odds(np.stack([values[:, several].max(axis=1) for several in columns], axis=1).max(axis=1))

    outside, inside = outside_songs(teacher, kinds)
    labelled_tags, labelled_confidence = within
    scores, sure = score(tags), _log_odds(confidence)
    labelled_scores, labelled_sure = score(labelled_tags), _log_odds(labelled_confidence)
    best: dict[str, Any] | None = None
    for weight in (0.0, 0.25, 0.5, 1.0):
        for least in np.geomspace(0.01, 0.9, 60):
            border = _log_odds(least)
            said = scores > border + weight * sure
            shares = {
                "said_within": _share(said[inside]),
                "said_outside": _share(said[outside]),
                "said_labelled": _share(labelled_scores > border + weight * labelled_sure),
            }
            if max(shares["said_within"], shares["said_labelled"]) > MAX_OUTSIDE_SAID:
                continue
            if best is None or shares["said_outside"] > best["said_outside"]:
                best = {
                    "least": round(float(least), 4),
                    "weight": weight,
                    "songs_outside": int(outside.sum()),
                    **shares,
                }
    if best is None:
        return None
    sure_outside = _share(confidence[outside] >= 0.8)
    return {"kinds": {kind: list(meant) for kind, meant in kinds.items()}, **best, "sure_outside": sure_outside}


def _share(said: NDArray[np.bool_]) -> float:
    return round(float(said.mean()), 4) if said.size else 0.0


def outside_songs(
    teacher: Teacher, kinds: Mapping[str, tuple[str, ...]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find which of the teacher's songs are outside the ten genres and which within, by its logits of their audio.

    Outside: a class of a kind outside has at least 0.15, and twice the probability of any class that means one of the
    ten. Within: a class that means one of the ten is at least as likely as any kind outside, and the guess of both
    teachers gives one genre 0.6 or more.

    Returns:
        Two masks `(songs,)`; some songs are neither.
    """
    mean = song_means(_sigmoid(teacher.songs.logits), teacher.songs.song)
    names = teacher.scale.classes
    outside = mean[:, [names.index(tag) for meant in kinds.values() for tag in meant]].max(axis=1)
    ten = [names.index(name) for several in teacher.genre_classes.values() for name in several if name in names]
    genre = mean[:, ten].max(axis=1) if ten else np.zeros(len(mean), np.float32)
    is_within = (genre >= outside) & (teacher.songs.genre.max(axis=1) >= 0.6)
    return (outside >= 0.15) & (outside >= 2 * genre), is_within


class CheckpointMeasure:
    """Measures a student's genre head at each checkpoint, on validation and on labelled songs.

    Args:
        data: whose validation subset and labelled songs are used, where there are any.
    """

    def __init__(self, data: GenieData) -> None:
        self._sets: dict[str, tuple[FloatArray, IntArray, IntArray]] = {}
        gtzan, valid = data.loaded.gtzan, data.loaded.split.valid
        if len(valid):
            self._sets["valid"] = (to_db(valid.segments(gtzan)), valid.labels(gtzan), valid.track)
        if data.labelled is not None:
            segments, song = labelled_segments(data.labelled)
            self._sets["labelled"] = (segments, data.labelled.genre[song], song)

    def __call__(self, student: keras.Model) -> dict[str, float]:
        """Give `valid_segments`, `valid_votes` and likewise `labelled_…`: shares that are correct."""
        figures = {}
        for name, (segments, labels, song) in self._sets.items():
            logits = predict_outputs(student, segments)["genre"]
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            votes = metrics.vote(powers / powers.sum(axis=1, keepdims=True), labels, song)
            figures[f"{name}_segments"] = float((logits.argmax(axis=1) == labels).mean())
            figures[f"{name}_votes"] = float((votes.genre == votes.labels).mean())
        return figures
