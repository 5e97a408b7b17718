from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.constants import N_MELS, SECTION_FRAMES, SEGMENT_FRAMES
from tests.support.audio import make_song, write_wav
from tests.training.made_teacher import write_teacher
from training.data import other_sounds
from training.data.gtzan import DataError, Gtzan, to_db
from training.data.other_sounds import Recordings
from training.data.splits import LoadedData, SplitName, SubsetName, make_split
from training.data.teacher import MARGIN, load_teacher

SOUND_CLASSES = [
    "baby_cry",
    "chainsaw",
    "clock_tick",
    "dog_bark",
    "fire_crackling",
    "person_sneeze",
    "rain",
    "sea_waves",
]


def test_other_sounds_are_split_by_source_and_every_class_is_in_every_subset(tmp_path: Path) -> None:
    for kind, count in {"speech": 40, **{f"sounds/{name}": 20 for name in SOUND_CLASSES}}.items():
        (tmp_path / kind).mkdir(parents=True)
        for number in range(count):
            (tmp_path / kind / f"{kind.rpartition('/')[2]}-{number:03}.ogg").touch()
    index = other_sounds.sound_index(tmp_path)
    assert {label: len(files) for label, files in index[SubsetName.TRAIN].items()} == {
        "speech": 24,
        **dict.fromkeys(SOUND_CLASSES, 12),
    }
    names = [{path.name for files in classes.values() for path in files} for classes in index.values()]
    assert not names[0] & names[2]
    assert not names[0] & names[1]


def test_missing_sounds_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither speech"):
        other_sounds.sound_index(tmp_path)


@pytest.mark.parametrize(("files", "subset"), [(1, "valid"), (3, "valid")])
def test_sounds_that_are_too_few_for_three_subsets_are_refused(tmp_path: Path, files: int, subset: str) -> None:
    (tmp_path / "speech").mkdir()
    for number in range(files):
        (tmp_path / "speech" / f"{number}.ogg").touch()
    with pytest.raises(DataError, match=f"none has a file for {subset}"):
        other_sounds.sound_index(tmp_path)


def test_sounds_of_which_none_can_be_decoded_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_sounds, "CACHE_DIR", tmp_path / "cache")
    (tmp_path / "speech").mkdir()
    for number in range(5):
        (tmp_path / "speech" / f"{number}.ogg").write_text("no sound")
    nothing = Gtzan(np.zeros((0, N_MELS, SECTION_FRAMES), np.uint8), (), "archive", tmp_path, {})
    with pytest.raises(DataError, match="none of .* sounds can be decoded"):
        other_sounds.load_recordings(LoadedData(nothing, make_split(SplitName.TRACK, nothing)), tmp_path)


def test_a_short_recording_is_repeated_and_its_segments_are_counted(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "short.wav", make_song(5))
    for codec in other_sounds.CODECS:
        decoded = other_sounds.decode_through_codec(path, codec)
        assert decoded is not None, codec
        mel, count = decoded
        assert mel.shape == (N_MELS, SECTION_FRAMES)
        assert count == 1
    silent = write_wav(tmp_path / "silent.wav", np.zeros(100_000))
    assert other_sounds.decode_through_codec(silent, other_sounds.AS_IS) is None


def test_synthetic_noise_differs_and_reaches_full_scale() -> None:
    noise = other_sounds.synthetic_noise(5, seed=3)
    assert noise.max(axis=(1, 2)).tolist() == [255] * 5
    assert len({noise[i].tobytes() for i in range(5)}) == 5
    np.testing.assert_array_equal(noise, other_sounds.synthetic_noise(5, seed=3))


def test_synthetic_music_differs_and_lasts_thirty_seconds() -> None:
    songs = other_sounds.synthetic_music(3, seed=3)
    assert songs.shape == (3, N_MELS, SECTION_FRAMES)
    assert songs.max(axis=(1, 2)).tolist() == [255] * 3
    assert len({songs[i].tobytes() for i in range(3)}) == 3


def test_background_is_quieter_than_the_music_that_it_is_added_to(recordings: Recordings) -> None:
    mixed = other_sounds.with_background(recordings, seed=0)
    assert len(mixed) == 14
    assert mixed.is_music[12:].all()
    assert {label.partition("/")[2] for label in mixed.labels[12:]} == {"background"}
    # Some original differs from its copy only where it is quiet.
    copy = to_db(mixed.mel[12])
    distances = [np.abs(copy - to_db(recordings.mel[i]))[to_db(recordings.mel[i]) > -6].mean() for i in range(6)]
    assert min(distances) < 2


def test_segments_are_cut_where_the_recording_has_not_repeated(recordings: Recordings) -> None:
    segments, recording = recordings.segments()
    assert segments.shape == (4 * 10 + 8, N_MELS, SEGMENT_FRAMES)
    assert np.bincount(recording).tolist() == [10] * 4 + [1] * 8
    np.testing.assert_array_equal(segments[1], to_db(recordings.mel[0][:, 72:144]))


def test_recordings_of_a_subset_are_its_tracks_its_files_and_synthetic_ones(
    made_gtzan: Gtzan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_sounds, "CACHE_DIR", tmp_path / "cache")
    monkeypatch.setattr(other_sounds, "SYNTHETIC", 4)
    (tmp_path / "sounds" / "rain").mkdir(parents=True)
    for number in range(5):
        write_wav(tmp_path / "sounds" / "rain" / f"{number}.wav", make_song(4, seed=number))
    loaded = LoadedData(made_gtzan, make_split(SplitName.TRACK, made_gtzan))
    gathered = other_sounds.load_recordings(loaded, tmp_path)
    assert {subset: len(recordings) for subset, recordings in gathered.items()} == {
        SubsetName.TRAIN: 60 + 3 * 2 + 4 + 4,
        SubsetName.VALID: 20 + 1 * 2 + 1 + 1,
        SubsetName.TEST: 20 + 1 * 2 + 1 + 1,
    }
    train = gathered[SubsetName.TRAIN]
    assert set(train.classes[train.is_music]) == {"gtzan", "synthetic"}
    assert set(train.classes[~train.is_music]) == {"rain", "noise"}
    np.testing.assert_array_equal(train.mel[:60], made_gtzan.mel[loaded.split.train.tracks])
    again = other_sounds.load_recordings(loaded, tmp_path)[SubsetName.TRAIN]
    assert again.labels == train.labels
    np.testing.assert_array_equal(again.mel, train.mel)


def test_songs_of_the_teacher_are_music_and_all_from_one_place_are_in_one_subset(
    recordings: Recordings, tmp_path: Path, made_gtzan: Gtzan
) -> None:
    write_teacher(tmp_path, made_gtzan.names)
    songs = load_teacher(tmp_path, made_gtzan).songs
    places = "aaaagggghjkl"
    logits = songs.logits.copy()
    logits[songs.song == 11] = -6  # a whale
    source = np.array([f"somebody/{place}:song {i}.mp3" for i, place in enumerate(places)])
    mixed = other_sounds.with_songs(dict.fromkeys(SubsetName, recordings), replace(songs, source=source, logits=logits))
    subsets_of: dict[str, set[SubsetName]] = {place: set() for place in places}
    for subset, own in mixed.items():
        assert own.is_music[12:].all()
        assert (own.segment_counts[12:] == 2).all()
        assert set(own.labels[12:]) <= {"songs/as-is"}
        for mel in own.mel[12:]:
            first = [np.array_equal(mel[:, :SEGMENT_FRAMES], part[:, MARGIN:-MARGIN]) for part in songs.mel[::2]]
            subsets_of[places[first.index(True)]].add(subset)
    assert sum(len(own) - 12 for own in mixed.values()) == 11
    assert {place: len(subsets) for place, subsets in subsets_of.items()} == dict.fromkeys("aghjk", 1) | {"l": 0}
    assert len(set().union(*subsets_of.values())) > 1
