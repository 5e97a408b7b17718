"""Votes as a bar and as runs."""

import pytest

from bot.ui.votes import Run, runs, runs_line, votes_bar
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


def test_runs_are_exact_while_they_fit_and_else_what_most_votes_of_a_stretch_name() -> None:
    few = verdict(*("rock",) * 12, *("jazz",) * 3).prediction
    assert runs(few.segments) == ([Run(62.0, 98.0, "rock"), Run(98.0, 107.0, "jazz")], True)
    assert runs_line(few, "en") == "Through the song: 1:02 rock → 1:38 jazz"
    # A vote for jazz among two for rock, and then for disco: the song has two halves all the same.
    many = verdict(*("rock", "rock", "jazz") * 20, *("disco", "disco", "jazz") * 20).prediction
    found, exact = runs(many.segments)
    assert ([run.genre for run in found], exact) == (["rock", "disco"], False)
    assert (found[0].start, found[0].end, found[1].end) == (62.0, 242.0, 422.0)
    assert runs_line(many, "en") == "Through the song, roughly: 1:02 rock → 4:02 disco"
