"""What Discord shows of a verdict: within its limits, in the language asked for, and safe whatever the name is."""

from dataclasses import replace

import discord
import pytest

from bot.storage.store import RequestRow
from bot.ui.embeds import SongResult, answers_reply, clean, confidence, escaped
from bot.ui.views import next_start, result_view
from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.service.identify import IdentifyResult
from core.verdict import Prediction, Segment, Verdict
from tests.support.verdicts import make_verdict

HOSTILE = "**bold** [x](https://evil.example) @everyone <@1> `code` \u202egnp.exe\n# title ||spoiler||" + "y" * 400


def voter(start: float, genre: str, probability: float = 0.73) -> Segment:
    rest = (1 - probability) / 9
    return Segment(start, start + 3, tuple(probability if name == genre else rest for name in GENRES))


def verdict(*genres: str) -> Verdict:
    segments = tuple(voter(62.0 + 3 * i, genre) for i, genre in enumerate(genres or ("rock",) * 7 + ("metal",) * 3))
    return make_verdict(*segments)


def identified(said: Verdict | None = None) -> IdentifyResult:
    return IdentifyResult(said or verdict(), "a" * 64, b"\x89PNG")


def characters(embeds: tuple[discord.Embed, ...]) -> int:
    return sum(len(embed) for embed in embeds)


@pytest.mark.parametrize("locale", ["en", "es"])
def test_a_reply_names_genre_confidence_runner_up_part_and_every_vote_in_order(locale: str) -> None:
    reply = answers_reply([SongResult("song.mp3", identified(), 1)], locale)
    [embed] = reply.embeds
    assert embed.title == translate("genre.rock", locale).capitalize()
    assert embed.author.name == "song.mp3"
    description = embed.description or ""
    assert confidence(verdict().prediction, locale) in description
    assert percent(0.52, locale) in description
    assert "Metal" in description
    assert "1:02–1:32" in description
    votes = description.split("```")[1].strip().splitlines()
    assert len(votes) == 10
    assert [line.split()[0] for line in votes][:2] == ["1:02", "1:05"]
    assert all(line.endswith(percent(0.73, locale)) for line in votes)
    assert max(map(len, votes)) <= 30, "one line on a phone"
    [picture] = reply.pictures
    assert embed.image.url == f"attachment://{picture.name}"
    assert picture.alt.count(percent(0.73, locale)) == 10


def test_ten_songs_fit_into_one_message() -> None:
    answers = [SongResult(HOSTILE, identified(), n) for n in range(10)]
    reply = answers_reply(answers, "es")
    assert len(reply.embeds) == 10
    assert characters(reply.embeds) <= 6_000
    assert len({picture.name for picture in reply.pictures}) == 10
    assert len(reply.text) <= 2_000


def test_an_hour_of_votes_fits_into_one_message() -> None:
    long = verdict(*(GENRES[i % 10] for i in range(1_200)))
    reply = answers_reply([SongResult("mix.mp3", identified(long), 1)], "es")
    assert characters(reply.embeds) <= 6_000
    assert len(reply.embeds[0].description or "") <= 4_096
    assert len(reply.pictures[0].alt) <= 1_024
    assert len(reply.text) <= 2_000


def test_votes_that_find_no_line_are_counted() -> None:
    def last_line(lines: int, locale: str) -> str:
        song = verdict(*(GENRES[i % 10] for i in range(lines)))
        votes = (answers_reply([SongResult("s", identified(song), 1)], locale).embeds[0].description or "").split(
            "```"
        )[1]
        return votes.strip().splitlines()[-1]

    assert last_line(20, "en").endswith(percent(0.73))
    assert last_line(21, "en").startswith("… and 2 more lines;")
    assert last_line(30, "es").startswith("… y 11 líneas más;")


def test_neighbours_that_agree_share_a_line_when_there_are_many() -> None:
    long = verdict(*("rock",) * 12, *("jazz",) * 3)
    votes = (answers_reply([SongResult("s", identified(long), 1)], "en").embeds[0].description or "").split("```")[1]
    assert votes.count("Rock") == 2, "in the tally and in one line"
    assert "×12" in votes


@pytest.mark.parametrize("code", list(ErrorCode))
@pytest.mark.parametrize("locale", ["en", "es"])
def test_every_error_is_a_sentence(code: ErrorCode, locale: str) -> None:
    reply = answers_reply([SongResult("song.mp3", GenreGenieError(code))], locale)
    assert reply.content is not None
    assert reply.content.endswith((".", "!"))
    assert not reply.embeds


def test_among_several_songs_an_error_says_whose_it_is() -> None:
    answers = [SongResult("a.mp3", identified(), 1), SongResult("b.mp3", GenreGenieError(ErrorCode.SILENT), 2)]
    reply = answers_reply(answers, "en")
    assert "b.mp3" in (reply.content or "").replace("\\", "")
    assert len(reply.embeds) == 1


def test_a_hostile_name_formats_nothing_and_calls_nobody_in_text() -> None:
    text = answers_reply([SongResult(HOSTILE, identified(), 1)], "en").as_text().content or ""
    first = text.splitlines()[0]
    assert "@everyone" not in first
    assert "\\<@1>" in first
    assert "https://" not in first
    assert "\u202e" not in first
    assert "\\*\\*bold" in first
    assert len(clean(HOSTILE)) <= 100
    assert "\n" not in escaped(HOSTILE)


@pytest.mark.parametrize("name", ["", "\u202e", "\x00\x01", "   "])
def test_a_name_of_nothing_is_still_a_name(name: str) -> None:
    assert clean(name) == "?"


def test_without_the_right_to_attach_the_picture_is_left_out_and_without_embeds_all_is_text() -> None:
    reply = answers_reply([SongResult("song.mp3", identified(), 1)], "en")
    bare = reply.without_pictures()
    assert not bare.files()
    assert bare.embeds[0].image.url is None
    text = reply.as_text()
    assert not text.embeds
    assert not text.files()
    assert "Rock" in (text.content or "")
    assert reply.embeds[0].image.url, "the reply itself is as it was"


def row(end: float, duration: float) -> RequestRow:
    return RequestRow(1, 2, "slash", False, 0.0, 0.0, "verdict", start=end - 30, end=end, duration=duration)


def test_parts_follow_each_other_and_begin_again_at_the_end() -> None:
    assert next_start(row(92.0, 215.0)) == 92.0
    assert next_start(row(200.0, 215.0)) == 185.0, "the last part is thirty seconds too"
    assert next_start(row(214.0, 215.0)) == 0.0
    assert next_start(row(215.0, 215.0)) == 0.0


async def test_buttons_that_could_do_nothing_are_not_there() -> None:
    async def labels(prediction: Prediction, *, whole: bool) -> list[str]:
        view = result_view(7, prediction, "en", whole=whole)
        return [component["label"] for line in view.to_components() for component in line["components"]]

    assert await labels(verdict().prediction, whole=False) == ["Another part", "Whole song", "That's not right"]
    assert await labels(verdict().prediction, whole=True) == ["That's not right"]
    assert await labels(replace(verdict().prediction, duration=30.0), whole=False) == ["That's not right"]
