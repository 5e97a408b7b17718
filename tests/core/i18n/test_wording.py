from dataclasses import replace

from core.constants import GENRES
from core.i18n.wording import notes
from core.verdict import Segment
from tests.support.verdicts import make_verdict

VERDICT = make_verdict(Segment(0, 3, tuple(0.1 for _ in GENRES)))


def test_there_are_no_notes_where_nothing_is_to_be_known() -> None:
    assert notes(VERDICT) == []


def test_what_is_to_be_known_is_said_in_each_language() -> None:
    prediction = replace(VERDICT.prediction, duration=62.0, cut_off=True, track=2, tracks=3)
    verdict = replace(VERDICT, prediction=prediction, song=replace(VERDICT.song, note="note.playlist-first"))
    assert notes(verdict, "en") == [
        "That is a playlist; I listened to its first entry.",
        "The file is cut off: I listened to the 1:02 that is there.",
        "The file has 3 audio tracks; I listened to number 2.",
    ]
    assert notes(verdict, "es")[1:] == [
        "El archivo está cortado: he escuchado lo que hay (1:02).",
        "El archivo tiene 3 pistas de audio; he escuchado la número 2.",
    ]
