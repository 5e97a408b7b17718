"""What Details adds to an answer."""

from dataclasses import replace

import pytest

from bot.jobs.result import SongResult
from bot.ui.details import with_details
from bot.ui.embeds import results_message
from bot.ui.message import OutgoingMessage
from core.constants import GENRES
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.i18n.languages import locales
from core.verdict import Explanation, Verdict
from tests.bot.ui.identified import PNG, identified, verdict

WHY = Explanation((310.0, 620.0, 3_000.0), (62.0, 65.0), ((0.0,) * 4, (0.1, 0.0, 0.4, 0.0), (0.0, 0.0, 0.5, 0.0)))


def details(said: Verdict, locale: str = "en", picture: bytes | None = PNG) -> OutgoingMessage:
    compact = results_message([SongResult("song.mp3", identified(said))], locale)
    return with_details(compact, said.prediction, picture, locale)


def listed(message: OutgoingMessage) -> list[str]:
    return (message.embeds[0].description or "").split("```")[1].strip().splitlines()


@pytest.mark.parametrize("locale", locales())
def test_details_have_every_vote_in_order_tags_why_and_the_picture(locale: str) -> None:
    said = verdict()
    said = replace(said, prediction=replace(said.prediction, tags={"Piano": 0.8, "Zither": 0.5}, why=WHY))
    message = details(said, locale)
    [embed] = message.embeds
    votes = listed(message)
    assert [line.split()[0] for line in votes] == [f"1:{second:02}" for second in range(2, 32, 3)]
    assert all(line.endswith(percent(0.73, locale)) for line in votes)
    assert max(map(len, votes)) <= 30, "one line on a phone"
    tags, why = (field.value or "" for field in embed.fields)
    assert tags == f"{translate('tag.piano', locale)}, zither", "one that no language knows as the model has it"
    assert percent(0.5, locale) in why
    assert "310–620 Hz" in why
    assert "1:02, 1:05" in why
    assert "genie 1" in (embed.footer.text or "")
    [picture] = message.pictures
    assert embed.image.url == f"attachment://{picture.name}"
    rock, metal = (translate(f"genre.{genre}", locale) for genre in ("rock", "metal"))
    assert f"1:02–1:23 {rock}, 1:23–1:32 {metal}" in picture.alt, "runs, not ten votes"
    text = message.as_text().content or ""
    assert votes[0] in text
    assert tags in text
    assert why in text


def test_without_a_picture_there_are_the_votes_and_no_word_of_it() -> None:
    said = verdict()
    message = details(replace(said, prediction=replace(said.prediction, why=WHY)), picture=None)
    assert (message.pictures, message.embeds[0].image.url, len(listed(message))) == ((), None, 10)
    [why] = message.embeds[0].fields
    assert translate("bot.details.why.picture", "en") not in (why.value or "")


@pytest.mark.parametrize("locale", locales())
def test_an_hour_of_votes_fits_into_one_message(locale: str) -> None:
    long = verdict(*(GENRES[i % 10] for i in range(1_200)))
    long = replace(long, prediction=replace(long.prediction, why=WHY, tags=dict.fromkeys("abcdefgh", 0.5)))
    message = details(long, locale)
    [embed] = message.embeds
    assert len(embed) <= 6_000
    assert len(embed.description or "") <= 4_096
    assert len(message.pictures[0].alt) <= 1_024
    assert len(message.text) <= 2_000
    assert len((embed.description or "").split("```")[0]) < 500, "runs in one line"


def test_votes_that_find_no_line_are_counted() -> None:
    def last_line(lines: int, locale: str) -> str:
        return listed(details(verdict(*(GENRES[i % 10] for i in range(lines))), locale))[-1]

    assert last_line(20, "en").endswith(percent(0.73))
    assert last_line(21, "en").startswith("… and 2 more lines;")
    assert last_line(30, "es").startswith("… y 11 líneas más;")


def test_neighbours_that_agree_share_a_line_when_there_are_many() -> None:
    votes = listed(details(verdict(*("rock",) * 12, *("jazz",) * 3)))
    assert len(votes) == 2
    assert "×12" in votes[0]
