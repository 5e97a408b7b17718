import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.constants import GENRES
from core.verdict import Outside, Prediction, Run, Segment, SongInfo, ranking, runs, tally
from tests.support.verdicts import make_prediction, make_verdict


def voter(start: float, **probabilities: float) -> Segment:
    rest = (1 - sum(probabilities.values())) / (len(GENRES) - len(probabilities))
    return Segment(start, start + 3, tuple(probabilities.get(genre, rest) for genre in GENRES))


VERDICT = make_verdict(
    voter(62, rock=0.9), voter(65, metal=0.8, rock=0.1), voter(68, rock=0.7), voter(71, rock=0.6, metal=0.3)
)


def test_a_segment_votes_for_its_most_likely_genre() -> None:
    segment = voter(0, jazz=0.5, blues=0.3)
    assert (segment.genre, segment.probability) == ("jazz", 0.5)


def test_the_song_is_what_most_segments_name() -> None:
    # Two that are almost sure lose against three that are not.
    pop, disco = (voter(t, pop=0.99) for t in (0, 3)), (voter(t, disco=0.3, pop=0.2) for t in (6, 9, 12))
    prediction = make_prediction(*pop, *disco)
    assert prediction.genre == "disco"
    assert dict(prediction.votes) == {"disco": 3, "pop": 2}
    assert ranking(prediction.votes, prediction.probabilities)[1] == "pop"


@pytest.mark.parametrize(("jazz", "expected"), [(0.6, "jazz"), (0.4, "blues")])
def test_ties_go_to_the_larger_summed_probability(jazz: float, expected: str) -> None:
    assert make_prediction(voter(0, blues=0.5), voter(3, jazz=jazz, blues=0.01)).genre == expected


def test_votes_are_listed_most_first() -> None:
    assert list(VERDICT.prediction.votes.items()) == [("rock", 3), ("metal", 1)]


def test_confidence_is_the_voted_genres_mean_probability() -> None:
    assert VERDICT.prediction.confidence == pytest.approx((0.9 + 0.1 + 0.7 + 0.6) / 4)


def test_without_segments_there_is_nothing_to_count() -> None:
    with pytest.raises(ValueError, match="no segments"):
        tally([])


@given(
    st.lists(
        st.lists(st.floats(0.001, 1), min_size=10, max_size=10).map(lambda row: tuple(p / sum(row) for p in row)),
        min_size=1,
        max_size=12,
    )
)
def test_a_tally_counts_every_segment_once(rows: list[tuple[float, ...]]) -> None:
    segments = [Segment(3 * i, 3 * i + 3, row) for i, row in enumerate(rows)]
    genre, votes, mean = tally(segments)
    assert sum(votes.values()) == len(segments)
    assert votes[genre] == max(votes.values())
    assert sum(mean) == pytest.approx(1)
    assert ranking(votes, mean)[0] == genre
    assert sorted(ranking(votes, mean)) == sorted(GENRES)


def test_the_json_contract() -> None:
    written = json.loads(json.dumps(VERDICT.to_json(), allow_nan=False))
    assert list(written) == [
        *("source", "title", "duration", "music", "genre", "confidence", "votes", "probabilities", "section"),
        *("segments", "model", "elapsed"),
    ]
    assert written["source"] == "song.mp3"
    assert written["title"] is None
    assert written["music"] is None
    assert written["duration"] == 215.3
    assert written["genre"] == "rock"
    assert written["confidence"] == 0.575
    assert written["votes"] == {"rock": 3, "metal": 1}
    assert list(written["votes"]) == ["rock", "metal"]
    assert written["section"] == {"start": 62.0, "end": 92.0}
    assert written["model"] == {"name": "genie", "version": "1"}
    assert written["elapsed"] == {"fetch": 0.0, "decode": 0.21, "features": 0.09, "classify": 0.03, "total": 0.34}
    assert tuple(written["probabilities"]) == GENRES
    assert sum(written["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert len(written["segments"]) == 4
    for segment, start in zip(written["segments"], (62, 65, 68, 71), strict=True):
        assert list(segment) == ["start", "end", "genre", "probability", "probabilities"]
        assert (segment["start"], segment["end"]) == (start, start + 3)
        assert tuple(segment["probabilities"]) == GENRES
        assert segment["probability"] == segment["probabilities"][segment["genre"]]


@pytest.mark.parametrize(
    ("confidence", "very_sure_from", "outside", "word"),
    [
        (0.95, 0.8, False, "high"),
        (0.95, 0.9, False, "high"),
        (0.85, 0.9, False, "good"),
        (0.95, 0.8, True, "good"),
        (0.7, 0.8, False, "good"),
        (0.5, 0.8, True, "fair"),
        (0.2, 0.8, False, "low"),
    ],
)
def test_very_sure_is_said_where_the_model_deserves_it(
    confidence: float, very_sure_from: float, outside: bool, word: str
) -> None:
    rest = (1 - confidence) / (len(GENRES) - 1)
    probabilities = tuple(confidence if genre == "rock" else rest for genre in GENRES)
    prediction = replace(
        VERDICT.prediction,
        genre="rock",
        probabilities=probabilities,
        very_sure_from=very_sure_from,
        outside=Outside("folk", 0.9) if outside else None,
    )
    assert prediction.certainty == word


def test_a_prediction_of_before_certainty_was_measured_keeps_its_words() -> None:
    stored = VERDICT.prediction.to_dict()
    del stored["very_sure_from"]
    assert Prediction.from_dict(stored).very_sure_from == 0.8


def test_uploader_and_note_are_given_where_there_are_any() -> None:
    song = SongInfo("song.mp3", "Song", "Somebody", "note.playlist-first")
    written = replace(VERDICT, song=song, prediction=replace(VERDICT.prediction, music=0.98765)).to_json()
    assert (written["title"], written["uploader"], written["note"]) == ("Song", "Somebody", "note.playlist-first")
    assert written["music"] == 0.9877
    assert not {"uploader", "note"} & VERDICT.to_json().keys()


def test_a_cut_and_several_tracks_are_given_where_there_are_any() -> None:
    assert not {"cut_off", "track", "tracks"} & VERDICT.to_json().keys()
    written = replace(VERDICT, prediction=replace(VERDICT.prediction, cut_off=True, track=2, tracks=3)).to_json()
    assert (written["cut_off"], written["track"], written["tracks"]) == (True, 2, 3)


def song(*genres: str) -> list[Segment]:
    return [voter(3.0 * i, **{genre: 0.7}) for i, genre in enumerate(genres)]


def test_runs_are_exact_while_they_fit() -> None:
    few = song(*("rock",) * 12, *("jazz",) * 3)
    assert runs(few, 2) == ([Run(0.0, 36.0, "rock", 12, 12), Run(36.0, 45.0, "jazz", 3, 3)], True)


def test_of_more_runs_than_fit_each_stretch_is_what_most_of_its_votes_name() -> None:
    # A vote for jazz among two for rock, and then for disco: the song has two halves all the same.
    many = song(*("rock", "rock", "jazz") * 20, *("disco", "disco", "jazz") * 20)
    assert runs(many, 8) == ([Run(0.0, 180.0, "rock", 40, 60), Run(180.0, 360.0, "disco", 40, 60)], False)


def test_a_prediction_survives_json() -> None:
    prediction = replace(VERDICT.prediction, cut_off=True, track=2, tracks=3)
    assert Prediction.from_dict(json.loads(json.dumps(prediction.to_dict()))) == prediction


def test_what_a_newer_release_adds_to_a_prediction_is_passed_over() -> None:
    prediction = VERDICT.prediction
    assert Prediction.from_dict({**prediction.to_dict(), "mood": "sad"}) == prediction


@pytest.mark.parametrize(
    "change",
    [
        {"genre": "polka"},
        {"duration": "long"},
        {"duration": float("nan")},
        {"duration": True},
        {"votes": {}},
        {"votes": ["rock"]},
        {"segments": []},
        {"segments": [{"start": 0.0, "end": 3.0, "probabilities": [0.1] * 9}]},
        {"probabilities": None},
        {"section": [0, 30]},
        {"model": {"name": "genie", "version": 1, "sha256": "00"}},
    ],
)
def test_what_is_no_prediction_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a|without votes"):
        Prediction.from_dict({**VERDICT.prediction.to_dict(), **change})


@pytest.mark.parametrize("data", [None, [], "rock", {}])
def test_what_is_nothing_like_a_prediction_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="not a prediction"):
        Prediction.from_dict(data)


def test_a_verdict_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        VERDICT.prediction.genre = "pop"  # type: ignore[misc]
