"""What Discord shows of a verdict: within its limits, in the language asked for, and safe whatever the name is."""

from dataclasses import replace

import discord
import pytest

from bot.jobs.result import SongResult
from bot.ui.embeds import capitalised, clean, escaped, results_message
from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import translate
from core.i18n.formatting import percent
from core.i18n.languages import locales
from core.i18n.wording import confidence_words, headline, notes
from core.verdict import Outside
from tests.bot.ui.identified import identified, verdict

HOSTILE = "**bold** [x](https://evil.example) @everyone <@1> `code` \u202egnp.exe\n# title ||spoiler||" + "y" * 400


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def utf16_units(embed: discord.Embed) -> int:
    return sum(
        map(
            utf16_length, (embed.title or "", embed.description or "", embed.author.name or "", embed.footer.text or "")
        )
    )


def characters(embeds: tuple[discord.Embed, ...]) -> int:
    return sum(len(embed) for embed in embeds)


@pytest.mark.parametrize("locale", locales())
def test_a_message_names_genres_confidence_part_and_every_vote_in_order(locale: str) -> None:
    message = results_message([SongResult("song.mp3", identified(), 1)], locale)
    [embed] = message.embeds
    assert embed.title == capitalised(headline(verdict().prediction, locale))
    assert embed.author.name == "song.mp3"
    description = embed.description or ""
    assert confidence_words(verdict().prediction, locale) in description
    assert "rock 7, metal 3" in description.lower()
    assert percent(0.52, locale) in description
    assert "Metal" in description
    assert "1:02–1:32" in description
    votes = description.split("```")[1].strip().splitlines()
    assert len(votes) == 10
    assert [line.split()[0] for line in votes][:2] == ["1:02", "1:05"]
    assert all(line.endswith(percent(0.73, locale)) for line in votes)
    assert max(map(len, votes)) <= 30, "one line on a phone"
    [picture] = message.pictures
    assert embed.image.url == f"attachment://{picture.name}"
    assert picture.alt.count(percent(0.73, locale)) == 10


@pytest.mark.parametrize("locale", locales())
def test_a_cut_and_several_tracks_are_said_however_short_the_message(locale: str) -> None:
    plain = verdict()
    cut = identified(replace(plain, prediction=replace(plain.prediction, cut_off=True, track=2, tracks=3)))
    said = notes(cut.verdict, locale)
    assert len(said) == 2
    for results in ([SongResult("a", cut, 1)], [SongResult("a", cut, 1), SongResult("b", identified(), 2)]):
        message = results_message(results, locale)
        for sentence in said:
            assert sentence in (message.content or message.embeds[0].description or "")
            assert sentence in (message.as_text().content or "")


def test_ten_songs_are_a_line_each_and_no_pictures() -> None:
    results = [SongResult(HOSTILE, identified(), n) for n in range(10)]
    message = results_message(results, "es")
    assert message.pictures == ()
    lines = (message.content or message.embeds[0].description or "").splitlines()
    assert [line.partition(".")[0] for line in lines] == [str(n) for n in range(1, 11)]
    assert all(line.endswith(confidence_words(verdict().prediction, "es")) for line in lines)
    assert characters(message.embeds) <= 6_000
    assert len(message.text) <= 2_000
    few = results_message(results[:2], "es")
    assert (len((few.content or "").splitlines()), few.embeds) == (2, ())


@pytest.mark.parametrize(
    "name", ["y" * 400, HOSTILE, "🎵*" * 200, "\\_" * 200], ids=["long", "hostile", "wide", "escaped"]
)
@pytest.mark.parametrize("locale", locales())
def test_ten_links_with_long_titles_fit_into_one_message(name: str, locale: str) -> None:
    said = verdict(*(GENRES[i % 10] for i in range(300)))
    said = replace(
        said,
        prediction=replace(said.prediction, outside=Outside("electronic", 0.81)),
        song=replace(said.song, title=name, uploader=name, note="note.playlist-first"),
    )
    for count in (1, 2, 10):
        message = results_message([SongResult(name, identified(said), n) for n in range(count)], locale)
        assert sum(map(utf16_units, message.embeds)) <= 6_000
        assert utf16_length(message.content or "") <= 2_000
        for embed in message.embeds:
            assert utf16_length(embed.description or "") <= 4_096
            assert utf16_length(embed.author.name or "") <= 256
            assert (embed.description or "").count("```") in (0, 2)
        assert utf16_length(message.text) <= 2_000
        lines = (message.content or message.embeds[0].description or "").splitlines()
        assert count == 1 or [line.split(".")[0] for line in lines] == [str(n) for n in range(1, count + 1)]


@pytest.mark.parametrize("locale", locales())
def test_an_hour_of_votes_fits_into_one_message(locale: str) -> None:
    long = verdict(*(GENRES[i % 10] for i in range(1_200)))
    message = results_message([SongResult("mix.mp3", identified(long), 1)], locale)
    assert characters(message.embeds) <= 6_000
    assert len(message.embeds[0].description or "") <= 4_096
    assert len(message.pictures[0].alt) <= 1_024
    assert len(message.text) <= 2_000


def test_votes_that_find_no_line_are_counted() -> None:
    def last_line(lines: int, locale: str) -> str:
        song = verdict(*(GENRES[i % 10] for i in range(lines)))
        [embed] = results_message([SongResult("s", identified(song), 1)], locale).embeds
        return (embed.description or "").split("```")[1].strip().splitlines()[-1]

    assert last_line(20, "en").endswith(percent(0.73))
    assert last_line(21, "en").startswith("… and 2 more lines;")
    assert last_line(30, "es").startswith("… y 11 líneas más;")


def test_neighbours_that_agree_share_a_line_when_there_are_many() -> None:
    long = verdict(*("rock",) * 12, *("jazz",) * 3)
    votes = (results_message([SongResult("s", identified(long), 1)], "en").embeds[0].description or "").split("```")[1]
    assert votes.count("Rock") == 2, "in the tally and in one line"
    assert "×12" in votes


@pytest.mark.parametrize("code", list(ErrorCode))
@pytest.mark.parametrize("locale", locales())
def test_every_error_is_a_sentence(code: ErrorCode, locale: str) -> None:
    message = results_message([SongResult("song.mp3", GenreGenieError(code))], locale)
    assert message.content is not None
    assert message.content.endswith((".", "!"))
    assert not message.embeds


def test_among_several_songs_an_error_says_whose_it_is() -> None:
    results = [SongResult("a.mp3", identified(), 1), SongResult("b.mp3", GenreGenieError(ErrorCode.SILENT), 2)]
    silent = f"2. **b.mp3**: {translate('error.silent', 'en')}"
    rock = results_message(results, "en", failed=False).content or ""
    assert rock.startswith("1. **a.mp3**: Rock, with some metal")
    assert results_message(results, "en", failed=True).content == silent
    assert results_message(results, "en").content == f"{rock}\n{silent}"


def test_a_hostile_name_formats_nothing_and_calls_nobody_in_text() -> None:
    text = results_message([SongResult(HOSTILE, identified(), 1)], "en").as_text().content or ""
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


@pytest.mark.parametrize(
    ("locale", "words"), [("en", "sounds like electronic music (81%)"), ("es", "música electrónica")]
)
def test_a_song_outside_the_ten_genres_is_said_to_be(locale: str, words: str) -> None:
    said = verdict()
    outside = replace(said, prediction=replace(said.prediction, outside=Outside("electronic", 0.81)))
    message = results_message([SongResult("song.mp3", identified(outside), 1)], locale)
    assert message.embeds[0].title == capitalised(headline(outside.prediction, locale))
    assert translate("confidence.low", locale, share=percent(0.52, locale)) in (message.embeds[0].description or "")
    assert words in (message.embeds[0].description or "")
    assert words in (message.as_text().content or "")
    assert words not in (results_message([SongResult("song.mp3", identified(), 1)], locale).embeds[0].description or "")


def test_a_kind_that_no_language_knows_is_named_as_the_model_does() -> None:
    said = verdict()
    outside = replace(said, prediction=replace(said.prediction, outside=Outside("zydeco", 0.5)))
    assert "zydeco" in (results_message([SongResult("s", identified(outside), 1)], "es").embeds[0].description or "")
