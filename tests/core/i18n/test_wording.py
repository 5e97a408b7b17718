"""What is said of a verdict: genre, votes and confidence agree, whatever the votes are."""

from dataclasses import replace

import pytest

from core.constants import GENRES
from core.i18n.wording import confidence_words, headline, nearest, notes, outside_sentence, votes_text
from core.verdict import Outside, Prediction, Segment
from tests.support.verdicts import make_prediction, make_verdict

VERDICT = make_verdict(Segment(0, 3, tuple(0.1 for _ in GENRES)))


def cast(probability: float = 0.9, **votes: int) -> Prediction:
    """What is said of a song for which so many segments name each genre; the ones named first are a little likelier."""
    segments = []
    for number, (named, count) in enumerate(votes.items()):
        sure = probability - number * 1e-5
        for _ in range(count):
            start = 3.0 * len(segments)
            shares = tuple(sure if genre == named else (1 - sure) / 9 for genre in GENRES)
            segments.append(Segment(start, start + 3, shares))
    return make_prediction(*segments)


@pytest.mark.parametrize(
    ("votes", "english", "spanish"),
    [
        ({"rock": 10}, "rock", "rock"),
        ({"rock": 1}, "rock", "rock"),
        ({"rock": 9, "country": 1}, "rock", "rock"),
        ({"rock": 7, "country": 3}, "rock, with some country", "rock, con algo de country"),
        ({"rock": 6, "country": 2, "pop": 2}, "rock, with some country and pop", "rock, con algo de country y pop"),
        ({"rock": 5, "country": 5}, "rock and country, tied", "rock y country, empatados"),
        ({"rock": 4, "jazz": 4, "pop": 2}, "rock and jazz, tied", "rock y jazz, empatados"),
        ({"blues": 3, "jazz": 3, "pop": 3}, "blues, jazz and pop, tied", "blues, jazz y pop, empatados"),
        ({"rock": 3, "pop": 2, "jazz": 2, "blues": 2, "metal": 1}, "mixed: rock, pop and jazz…", None),
        (dict.fromkeys(GENRES, 1), "mixed: blues, classical and country…", "mezcla: blues, clásica y country…"),
    ],
)
def test_the_headline_names_what_the_votes_name(votes: dict[str, int], english: str, spanish: str | None) -> None:
    said = cast(**votes)
    assert headline(said) == english
    assert spanish is None or headline(said, "es") == spanish
    assert votes_text(said).count(",") == len(votes) - 1


@pytest.mark.parametrize(
    ("locale", "some", "tied", "mixed", "outside"),
    [
        (
            "de",
            "Klassik, mit etwas Hip-Hop und Pop",
            "Klassik und Hip-Hop, gleichauf",
            "gemischt: Blues, Klassik und Country…",
            "Keins meiner zehn Genres: Es klingt wie elektronische Musik (81\u00a0%).",
        ),
        (
            "fr",
            "classique, avec un peu de hip-hop et pop",
            "classique et hip-hop, à égalité",
            "mélange\u00a0: blues, classique et country…",
            "Hors de mes dix genres\u00a0: ça sonne plutôt musique électronique (81\u00a0%).",
        ),
        (
            "pt-BR",
            "clássica, com um pouco de hip-hop e pop",
            "clássica e hip-hop, empatados",
            "mistura: blues, clássica e country…",
            "Fora dos meus dez gêneros: parece música eletrônica (81%).",
        ),
    ],
)
def test_other_languages_name_them_too(locale: str, some: str, tied: str, mixed: str, outside: str) -> None:
    assert headline(cast(classical=6, hiphop=2, pop=2), locale) == some
    assert headline(cast(classical=5, hiphop=5), locale) == tied
    assert headline(cast(**dict.fromkeys(GENRES, 1)), locale) == mixed
    said = outside_sentence(Outside("electronic", 0.81), locale)
    assert said.replace("\u202f", "\u00a0") == outside


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (cast(0.95, rock=10), "Very sure (95%)"),
        (replace(cast(0.95, rock=10), very_sure_from=0.96), "Not quite sure (95%)"),
        (cast(0.7, rock=10), "Not quite sure (70%)"),
        (cast(0.3, rock=10), "A guess (30%)"),
        (cast(1.0, rock=5, pop=5), "A guess (50%)"),
        (cast(1.0, rock=5, pop=4, jazz=1), "Not quite sure (50%)"),
        (cast(1.0, rock=3, pop=2, jazz=2, blues=2, metal=1), "A guess (30%)"),
        (replace(cast(0.95, rock=10), outside=Outside("electronic", 0.81)), "A guess (95%)"),
    ],
)
def test_how_sure_it_is_agrees_with_the_votes(said: Prediction, words: str) -> None:
    assert confidence_words(said) == words


def test_a_genre_that_is_less_probable_than_another_is_a_guess() -> None:
    """Five segments are a little surer of disco than of hip-hop, four are very sure of hip-hop."""

    def voter(start: float, **sure: float) -> Segment:
        return Segment(start, start + 3, tuple(sure.get(genre, 0.0) for genre in GENRES))

    disco = [voter(3.0 * i, disco=0.55, hiphop=0.45) for i in range(6)]
    hiphop = [voter(18 + 3.0 * i, disco=0.0, hiphop=1.0) for i in range(4)]
    said = make_prediction(*disco, *hiphop)
    assert said.genre == "disco"
    assert said.probability("hiphop") > said.confidence
    assert headline(said) == "disco, with some hip-hop"
    assert confidence_words(said) == "A guess (33%)"
    assert votes_text(said, "es") == "disco 6, hip-hop 4"


def test_a_song_outside_the_ten_genres_is_not_called_one_of_them() -> None:
    said = replace(cast(0.95, rock=8, pop=2), outside=Outside("electronic", 0.81))
    assert headline(said) == "outside my ten genres: electronic music"
    assert nearest(said) == "Of my ten genres, the nearest: rock, with some pop"
    assert nearest(said, "es") == "De mis diez géneros, lo más cercano: rock, con algo de pop"
    assert nearest(cast(rock=10)) is None
    assert "zydeco" in headline(replace(said, outside=Outside("zydeco", 0.5)))


def test_there_are_no_notes_where_nothing_is_to_be_known() -> None:
    assert notes(VERDICT) == []


def test_what_is_to_be_known_is_said_in_each_language() -> None:
    prediction = replace(VERDICT.prediction, duration=62.0, cut_off=True, track=2, tracks=3)
    verdict = replace(VERDICT, prediction=prediction, song=replace(VERDICT.song, note="note.playlist-first"))
    assert notes(verdict, "en") == [
        "That is a playlist; I listened to its first entry.",
        "The file is cut off: 1:02 of it could be read.",
        "The file has 3 audio tracks; I listened to number 2.",
    ]
    assert notes(verdict, "es")[1:] == [
        "El archivo está cortado: solo se ha podido leer 1:02.",
        "El archivo tiene 3 pistas de audio; he escuchado la número 2.",
    ]
