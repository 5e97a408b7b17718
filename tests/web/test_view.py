"""View states to HTML."""

import re
from dataclasses import replace

import pytest

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.languages import locales
from core.i18n.wording import notes
from core.inference.pipeline import Step
from core.verdict import Prediction, Section, Segment, SongInfo, Verdict
from tests.support.verdicts import make_prediction
from web.jobs import ViewState
from web.settings import WebSettings
from web.static import Static
from web.view import (
    blocks,
    details_html,
    form_html,
    login_html,
    mel_height,
    page_html,
    status_html,
    table,
    ticks,
    verdict_html,
)


def predicted(starts: list[float], genres: list[str], name: str = "plain") -> Prediction:
    """A prediction for segments at these seconds, each 0.7 sure of its genre."""
    segments = tuple(
        Segment(start, start + 3, tuple(0.7 if genre == other else 0.3 / 9 for other in GENRES))
        for start, genre in zip(starts, genres, strict=True)
    )
    return make_prediction(*segments, model=name)


def verdict_of(prediction: Prediction, song: SongInfo | None = None) -> Verdict:
    return Verdict(prediction, song or SongInfo("song.mp3"))


TEN = predicted([62.0 + 3 * i for i in range(10)], ["rock"] * 7 + ["metal"] * 3)


def test_segments_are_placed_on_the_time_line_by_their_start() -> None:
    assert [block.left for block in blocks(TEN)] == [10.0 * i for i in range(10)]
    assert {block.width for block in blocks(TEN)} == {10.0}


def test_a_silent_segment_leaves_a_gap() -> None:
    prediction = predicted([62.0, 68.0], ["rock", "jazz"])
    assert [block.left for block in blocks(prediction)] == [0.0, 20.0]


def test_the_axis_is_labelled_with_times_of_the_song() -> None:
    assert ticks(TEN) == [
        ("1:02", 0.0),
        ("1:08", 20.0),
        ("1:14", 40.0),
        ("1:20", 60.0),
        ("1:26", 80.0),
        ("1:32", 100.0),
    ]


def test_a_song_shorter_than_a_section_fills_the_line() -> None:
    short = replace(predicted([0.0], ["pop"]), section=Section(0.0, 3.0), duration=3.0)
    assert [(block.left, block.width) for block in blocks(short)] == [(0.0, 100.0)]
    assert ticks(short) == [("0:00", 0.0), ("0:03", 100.0)]


def test_frequencies_are_placed_on_the_mel_scale() -> None:
    assert mel_height(11_025) == 100
    assert mel_height(0) == 0
    assert mel_height(1_000) == pytest.approx(30.2, abs=0.5)


def test_the_table_has_ten_genres_by_probability_and_a_column_per_model() -> None:
    other = predicted([62.0], ["jazz"], "augmented")
    rows = table([TEN, other])
    assert [row.genre for row in rows[:2]] == ["rock", "metal"]
    assert sorted(row.genre for row in rows) == sorted(GENRES)
    assert rows[0].shares[0] == (TEN.confidence, True)
    assert [row.shares[1][1] for row in rows if row.genre == "jazz"] == [True]


def test_models_are_shown_side_by_side() -> None:
    verdicts = (verdict_of(TEN), verdict_of(predicted([62.0], ["jazz"], "augmented")))
    html = details_html(ViewState(verdicts=verdicts, picture=b"png"), "en")
    assert re.findall(r'class="gg-model">(\w+)<', html) == ["plain", "augmented"]
    assert "7 rock, 3 metal" in html
    assert "1 jazz" in html


@pytest.mark.parametrize("locale", locales())
def test_every_state_renders_in_every_language(locale: str) -> None:
    settings = WebSettings()
    assert "GenreGenie" in form_html(settings, locale)
    for step in Step:
        if step is not Step.DONE:
            assert 'data-state="working"' in status_html(ViewState(step=step, share=0.5), locale)
    assert "3" in status_html(ViewState(place=3), locale)
    assert 'data-state="done"' in status_html(ViewState(step=Step.DONE, verdicts=(verdict_of(TEN),)), locale)
    assert translate("genre.rock", locale) in verdict_html(ViewState(verdicts=(verdict_of(TEN),)), locale)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_shows_its_sentence_and_no_verdict(code: ErrorCode) -> None:
    state = ViewState(error=GenreGenieError(code))
    html = status_html(state, "es")
    assert error_sentence(GenreGenieError(code), "es") in html
    assert 'data-state="failed"' in html
    assert verdict_html(state, "es") == details_html(state, "es") == ""


def test_what_strangers_wrote_is_escaped() -> None:
    hostile = '<script>alert(1)</script>"onerror=x'
    verdict = verdict_of(TEN, SongInfo(hostile, uploader=hostile))
    html = verdict_html(ViewState(verdicts=(verdict,)), "en", link='https://example.org/"><script>')
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_only_http_links_are_offered() -> None:
    state = ViewState(verdicts=(verdict_of(TEN),))
    assert 'href="https://example.org/song"' in verdict_html(state, "en", "https://example.org/song")
    for link in ("javascript:alert(1)", "http://[", "https://[:::]/"):
        assert "href" not in verdict_html(state, "en", link)


def test_segments_that_cannot_be_played_are_not_buttons() -> None:
    assert details_html(ViewState(verdicts=(verdict_of(TEN),)), "en").count("<button") == 10
    still = details_html(ViewState(verdicts=(verdict_of(TEN),)), "en", playable=False)
    assert "<button" not in still
    assert still.count('role="img" aria-label="1:02 to 1:05: rock, 70%."') == 1


def test_counts_and_shares_are_written_as_the_language_does() -> None:
    one = ViewState(verdicts=(verdict_of(predicted([62.0], ["jazz"])),))
    assert "1 of 1 vote." in verdict_html(one, "en")
    assert "1 de 1 voto." in verdict_html(one, "es")
    assert "7 de 10 votos." in verdict_html(ViewState(verdicts=(verdict_of(TEN),)), "es")
    assert "70\u00a0%" in details_html(one, "es")
    assert "(falta 1)" in status_html(replace(one, comparing=1), "es")
    assert "(faltan 2)" in status_html(replace(one, comparing=2), "es")
    assert "1 minuto." in form_html(WebSettings(max_duration_s=60), "es")
    assert "1,5 minutos." in form_html(WebSettings(max_duration_s=90), "es")


@pytest.mark.parametrize("locale", locales())
def test_a_pasted_link_previews_as_ours(locale: str) -> None:
    files = Static()
    settings = WebSettings(web_origin="https://genre.example.org", web_password="open sesame")
    for html in (page_html(settings, locale, files), login_html(settings, locale, files, wrong=False)):
        shown = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]+)">', html))
        assert shown["title"] == "GenreGenie"
        assert shown["description"] == translate("web.tagline", locale)
        assert shown["image"] == "https://genre.example.org" + files.address("preview.png")
        assert shown["url"] == f"https://genre.example.org/{locale}/"
    assert "og:image" not in page_html(WebSettings(), locale, files)


def test_a_cut_and_several_tracks_are_said() -> None:
    state = ViewState(Step.DONE, verdicts=(verdict_of(replace(TEN, cut_off=True, track=2, tracks=3)),))
    for sentence in notes(state.verdicts[0], "es"):
        assert sentence in verdict_html(state, "es")
