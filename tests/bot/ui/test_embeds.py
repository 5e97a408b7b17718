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
from core.i18n.wording import confidence_words, headline, nearest, notes, votes_text
from core.verdict import Outside
from tests.bot.ui.identified import PNG, identified, verdict

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
def test_an_answer_is_genres_confidence_the_votes_in_a_line_and_the_part(locale: str) -> None:
    message = results_message([SongResult("song.mp3", identified(), 1)], locale)
    [embed] = message.embeds
    assert (embed.author.name, embed.title) == ("song.mp3", capitalised(headline(verdict().prediction, locale)))
    confidence, votes, part = (embed.description or "").splitlines()
    assert confidence == f"**{confidence_words(verdict().prediction, locale)}**"
    assert votes == f"`███████▓▓▓` {votes_text(verdict().prediction, locale)}", "the words say what the bar does"
    assert "1:02–1:32" in part
    assert (message.pictures, embed.image.url, embed.fields) == ((), None, [])


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
    results = [SongResult(name, identified(said), n) for n in range(10)]
    drawn = [SongResult(name, identified(said, picture=PNG))]
    for count, message in (
        (1, results_message(drawn, locale)),
        *((count, results_message(results[:count], locale)) for count in (1, 2, 10)),
    ):
        assert sum(map(utf16_units, message.embeds)) <= 6_000
        assert utf16_length(message.content or "") <= 2_000
        for embed in message.embeds:
            assert utf16_length(embed.description or "") <= 4_096
            assert utf16_length(embed.author.name or "") <= 256
            assert (embed.description or "").count("```") in (0, 2)
        assert utf16_length(message.text) <= 2_000
        lines = (message.content or message.embeds[0].description or "").splitlines()
        assert count == 1 or [line.split(".")[0] for line in lines] == [str(n) for n in range(1, count + 1)]


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
    ("locale", "words"), [("en", "electronic music (81%)"), ("es", "música electrónica (81\u00a0%)")]
)
def test_a_song_outside_the_ten_genres_is_said_to_be(locale: str, words: str) -> None:
    said = verdict()
    outside = replace(said, prediction=replace(said.prediction, outside=Outside("electronic", 0.81)))
    message = results_message([SongResult("song.mp3", identified(outside), 1)], locale)
    title = capitalised(headline(outside.prediction, locale))
    assert message.embeds[0].title == f"{title} ({percent(0.81, locale)})"
    assert nearest(outside.prediction, locale) in (message.embeds[0].description or "")
    assert translate("confidence.low", locale, share=percent(0.52, locale)) in (message.embeds[0].description or "")
    assert words in (message.embeds[0].title or "")
    assert words in (message.as_text().content or "")
    assert words not in (results_message([SongResult("song.mp3", identified(), 1)], locale).as_text().content or "")


def test_a_kind_that_no_language_knows_is_named_as_the_model_does() -> None:
    said = verdict()
    outside = replace(said, prediction=replace(said.prediction, outside=Outside("zydeco", 0.5)))
    assert "zydeco" in (results_message([SongResult("s", identified(outside), 1)], "es").embeds[0].title or "")
