"""Votes as a bar and as runs."""

import pytest

from bot.ui.votes import runs_line, votes_bar
from core.constants import GENRES
from tests.bot.ui.identified import verdict


@pytest.mark.parametrize(
    ("votes", "bar"),
    [
        ((10,), "██████████"),
        ((7, 3), "███████▓▓▓"),
        ((2, 1), "██▓"),
        ((48, 15, 8, 1), "███████▓▓▒"),
        ((1, 1, 1, 1, 1, 1), "█▓▒░░░"),
        ((1_000, 1), "██████████"),
        ((334, 333, 333), "████▓▓▓▒▒▒"),
    ],
)
def test_a_bar_has_a_cell_a_vote_and_ten_at_most(votes: tuple[int, ...], bar: str) -> None:
    assert votes_bar(dict(zip(GENRES, votes, strict=False))) == bar


def test_a_line_says_which_genre_begins_when_and_whether_that_is_exact() -> None:
    few = verdict(*("rock",) * 12, *("jazz",) * 3).prediction
    assert runs_line(few, "en") == "Through the song: 1:02 rock → 1:38 jazz"
    # A vote for jazz among two for rock, and then for disco: the song has two halves all the same.
    many = verdict(*("rock", "rock", "jazz") * 20, *("disco", "disco", "jazz") * 20).prediction
    assert runs_line(many, "en") == "Through the song, roughly: 1:02 rock → 4:02 disco"
