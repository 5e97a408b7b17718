"""What a game shows."""

from dataclasses import replace

import pytest

from bot.cogs.guess import MOST_LINK
from bot.storage.games import Game, GameResult, Score
from bot.ui.embeds import escaped
from bot.ui.guess import MOST_NAMED, answer_of, guess_view, question_text, result_text, scores_text
from bot.ui.message import MAX_TEXT, units
from core.constants import GENRES
from core.i18n.catalog import translate
from core.i18n.languages import locales
from tests.bot.ui.identified import verdict

GAME = Game("", 1, 10, 5, 6, None, "en", host_knows=True, ends_at=1_700_000_000.4, name="song_1_.mp3", votes="rock 7")


def test_the_answer_is_the_genre_with_the_most_votes_or_all_that_are_tied() -> None:
    assert answer_of(verdict().prediction, "a", None, "en").correct == "rock"
    tied = verdict(*("rock",) * 4, *("metal",) * 4, *("jazz",) * 2)
    assert set(answer_of(tied.prediction, "a", None, "en").correct.split(",")) == {"rock", "metal"}


@pytest.mark.parametrize("locale", locales())
def test_there_is_a_button_for_each_genre_in_two_rows(locale: str) -> None:
    components = guess_view(7, locale).to_components()
    assert [len(row["components"]) for row in components] == [5, 5]
    ids = [button["custom_id"] for row in components for button in row["components"]]
    assert ids == [f"gg:guess:7:{genre}" for genre in GENRES]


def test_a_link_is_behind_a_spoiler() -> None:
    text = question_text(GAME, "https://example.org/song")
    assert "||https://example.org/song||" in text
    assert "<t:1700000000:R>" in text
    assert "song_1_" not in text


def test_the_result_names_who_was_right_with_their_streaks_and_what_all_guessed() -> None:
    text = result_text(GameResult(GAME, {10: "rock", 11: "rock", 12: "jazz"}, {10: 1, 11: 4}))
    assert f"<@11> ({translate('bot.guess.streak', 'en', n=4)}), <@10>" in text
    assert "rock 2, jazz 1" in text
    assert r"song\_1\_.mp3" in text
    assert translate("bot.guess.nobody", "en") in result_text(GameResult(GAME, {12: "jazz"}, {}))
    assert translate("bot.guess.no-guesses", "en") in result_text(GameResult(GAME, {}, {}))


def test_a_thousand_winners_fit_a_message() -> None:
    many = {10**17 + number: "rock" for number in range(1_000)}
    text = result_text(GameResult(GAME, many, dict.fromkeys(many, 3)))
    assert len(text) < 2_000
    assert translate("bot.guess.more", "en", n=1_000 - MOST_NAMED) in text


@pytest.mark.parametrize("locale", locales())
def test_the_longest_link_name_and_result_fit_a_message(locale: str) -> None:
    link = "https://example.org/".ljust(MOST_LINK, "a")
    asked = replace(GAME, user_id=10**18, locale=locale, name="_" * 200, link=link, votes=" 10, ".join(GENRES))
    assert units(question_text(asked, link)) <= MAX_TEXT
    many = {10**18 + number: GENRES[number % len(GENRES)] for number in range(1_000)}
    text = result_text(GameResult(asked, many, dict.fromkeys(many, 30)))
    assert units(text) <= MAX_TEXT
    assert escaped("_" * 200) in text
    assert link not in text
    short = replace(asked, link="https://example.org/song")
    assert "https://example.org/song" in result_text(GameResult(short, many, dict.fromkeys(many, 30)))


@pytest.mark.parametrize("locale", locales())
def test_scores_are_listed_with_their_share(locale: str) -> None:
    text = scores_text([Score(10**17, 4, 3, 0, 2), Score(11, 1, 0, 0, 0)], locale)
    assert text.count("\n") == 2
    assert "75" in text.splitlines()[1]
