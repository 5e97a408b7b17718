"""The page in a real browser: Debian's chromium, driven by Playwright."""

import base64
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from core.audio.decode import DecodeLimits
from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.languages import locales
from core.i18n.wording import headline
from core.inference.pipeline import ClassifyOptions, Models, classify_file
from core.verdict import Prediction
from tests.support.processes import held, wait_until
from tests.web.conftest import WAIT_MS
from tests.web.page import PageProcess
from web.view import MAX_SONGS

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the development requirements")
Browser, Page, expect = playwright.Browser, playwright.Page, playwright.expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("web"),
]

LIMITS = DecodeLimits(10**8, 7_200, 60)


def genre_shown(tab: Page) -> str:
    """Wait until all models are done, and give the genre as the page shows it."""
    tab.wait_for_selector('#gg-state[data-state="done"]', state="attached")
    return tab.locator("#gg-genre").inner_text()


def prediction_of(song: Path, model: str | None) -> Prediction:
    return classify_file(song, ClassifyOptions(model), models=Models(), limits=LIMITS).prediction


def drop(tab: Page, song: Path) -> None:
    """Drop a file on the page, as a mouse does."""
    tab.evaluate(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], name));
            for (const kind of ["dragover", "drop"])
                document.querySelector("#gg-drop").dispatchEvent(
                    new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
        }""",
        [song.name, base64.b64encode(song.read_bytes()).decode()],
    )


def test_a_chosen_file_gets_the_same_verdict_as_from_the_core(
    visit: Callable[..., Page], model: str | None, tracks: list[Path]
) -> None:
    song = tracks[3]
    tab = visit()
    tab.set_input_files("#gg-file", song)
    shown = genre_shown(tab)
    prediction = prediction_of(song, model)
    assert shown == headline(prediction)
    labels = tab.locator("[data-play]").evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert len(labels) == len(prediction.segments) == 10
    for label, segment in zip(labels, prediction.segments, strict=True):
        assert translate(f"genre.{segment.genre}") in label
        assert f"{segment.probability:.0%}" in label
    assert tab.locator(".gg-mel img").evaluate("image => image.naturalWidth") > 700
    genres = tab.locator(".gg-table tbody th").all_inner_texts()
    assert sorted(genres) == sorted(translate(f"genre.{genre}") for genre in GENRES)
    assert tab.locator(".gg-table thead th").count() >= 1


def test_a_segment_plays_the_visitor_s_own_file_from_there(visit: Callable[..., Page], long_song: Path) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", long_song)
    genre_shown(tab)
    segment = tab.locator("[data-play]").nth(4)
    start = float(segment.get_attribute("data-play"))
    segment.click()
    tab.wait_for_function("start => document.getElementById('gg-audio').currentTime > start", arg=start)
    audio = tab.locator("#gg-audio")
    assert not audio.evaluate("audio => audio.paused")
    assert start < audio.evaluate("audio => audio.currentTime") < start + 10
    assert audio.evaluate("audio => audio.src").startswith("blob:")
    tab.wait_for_selector(".gg-playing")
    tab.locator(".gg-mel").click(position={"x": 2, "y": 10})
    line = float(tab.locator(".gg-line").get_attribute("data-start"))
    tab.wait_for_function("start => document.getElementById('gg-audio').currentTime < start + 3", arg=line)


def test_nothing_is_kept_of_a_song_after_its_verdict(visit: Callable[..., Page], page: PageProcess, song: Path) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", song)
    genre_shown(tab)
    assert page.temporary_files() == []


def test_a_dropped_file_is_classified(visit: Callable[..., Page], song: Path) -> None:
    tab = visit()
    drop(tab, song)
    assert genre_shown(tab)
    assert song.name in tab.locator(".gg-song").inner_text()


def test_a_recording_is_classified_and_can_be_played(visit: Callable[..., Page], page: PageProcess) -> None:
    tab = visit(permissions=["microphone"])
    tab.get_by_role("button", name=translate("web.record")).click()
    stop = tab.locator("#gg-sending-stop")
    expect(stop).to_contain_text("0:05", timeout=WAIT_MS)
    stop.click()
    assert genre_shown(tab)
    assert tab.locator("[data-play]").count() >= 1
    tab.locator("[data-play]").first.click()
    tab.wait_for_function("() => document.getElementById('gg-audio').currentTime > 0.2")


def test_a_file_without_audio_shows_the_error(visit: Callable[..., Page], tmp_path: Path) -> None:
    bad = tmp_path / "song.mp3"
    bad.write_bytes(b"this is not music " * 1_000)
    tab = visit()
    # What is live must be there before its content comes, and must stay: else screen readers do not notice.
    live = tab.locator("#gg-status[aria-live=polite]").element_handle()
    assert live.evaluate("live => getComputedStyle(live).display") != "none"
    tab.set_input_files("#gg-file", bad)
    error = tab.get_by_role("alert")
    assert error.evaluate("(error, live) => live.contains(error)", live)
    expect(error).to_have_text(error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO)), timeout=WAIT_MS)
    assert tab.locator(".gg-verdict").count() == 0
    expect(tab.locator("#gg-drop")).to_be_visible()


def test_a_file_that_is_too_large_is_not_sent(visit: Callable[..., Page], page: PageProcess, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(33 * 2**20)
    tab = visit()
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    tab.set_input_files("#gg-file", large)
    expect(tab.locator("#gg-local-error")).to_have_text(
        error_sentence(GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=32)), timeout=WAIT_MS
    )
    assert sent == []


def test_more_songs_than_are_taken_at_once_are_said_to_be_left(
    visit: Callable[..., Page], page: PageProcess, hour: Path, tmp_path: Path
) -> None:
    songs = [tmp_path / f"{number}.mp3" for number in range(MAX_SONGS)]
    for song in songs:
        song.write_bytes(b"this is not music " * 1_000)
    tab = visit()
    tab.set_input_files("#gg-file", [hour, *songs])  # while the first lasts, the rest wait
    expect(tab.locator("#gg-local-error")).to_have_text(translate("web.too-many", n=MAX_SONGS), timeout=WAIT_MS)
    expect(tab.locator("#gg-songs li")).to_have_count(MAX_SONGS)
    # It can still be read when some of those that were taken are done.
    tab.wait_for_selector('#gg-state[data-state="working"]')  # its button to cancel stays, the one of sending does not
    tab.get_by_role("button", name=translate("web.cancel")).click()
    expect(tab.locator("#gg-songs li").nth(2)).to_contain_text(
        error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO)), timeout=WAIT_MS
    )
    expect(tab.locator("#gg-local-error")).to_have_text(translate("web.too-many", n=MAX_SONGS))
    tab.close()


def test_a_file_that_is_gone_is_not_called_a_lost_connection(
    visit: Callable[..., Page], page: PageProcess, hour: Path, song: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.wav"
    shutil.copy(song, moved)
    tab = visit()
    tab.set_input_files("#gg-file", [hour, moved])
    tab.wait_for_selector('#gg-state[data-state="working"]')
    moved.unlink()
    tab.get_by_role("button", name=translate("web.cancel")).click()
    expect(tab.locator("#gg-local-error")).to_have_text(translate("web.unreadable"), timeout=WAIT_MS)
    expect(tab.locator("#gg-songs li").nth(1)).to_contain_text(translate("web.unreadable"))
    expect(tab.locator("#gg-drop")).to_be_visible()


def test_a_link_to_a_private_address_is_refused(visit: Callable[..., Page], page: PageProcess) -> None:
    tab = visit()
    tab.get_by_label(translate("web.link")).fill(f"{page.address}song.mp3")
    tab.keyboard.press("Enter")
    expect(tab.locator("#gg-status .gg-error")).to_have_text(
        error_sentence(GenreGenieError(ErrorCode.BLOCKED_ADDRESS)), timeout=WAIT_MS
    )


def test_a_link_is_classified_and_can_be_opened(visit: Callable[..., Page], song_link: str) -> None:
    tab = visit()
    tab.get_by_label(translate("web.link")).fill(song_link)
    tab.get_by_role("button", name=translate("web.hear-link")).click()
    assert genre_shown(tab)
    assert tab.get_by_role("link", name=translate("web.open-link")).get_attribute("href") == song_link
    tab.locator("[data-play]").nth(1).click()  # what was fetched is kept for the visit
    tab.wait_for_function("() => document.getElementById('gg-audio').currentTime > 3")
    tab.reload()
    expect(tab.locator("#gg-audio")).to_be_visible(timeout=WAIT_MS)
    tab.locator("[data-play]").nth(2).click()
    tab.wait_for_function("() => document.getElementById('gg-audio').currentTime > 6")


def test_the_same_bad_file_twice_is_answered_twice(visit: Callable[..., Page], tmp_path: Path) -> None:
    bad = tmp_path / "song.mp3"
    bad.write_bytes(b"this is not music " * 1_000)
    tab = visit()
    for turn in ("1", "2"):
        tab.set_input_files("#gg-file", bad)
        tab.wait_for_selector(f'#gg-state[data-state="failed"][data-turn="{turn}"]')
        expect(tab.locator("#gg-drop")).to_be_visible(timeout=WAIT_MS)


def test_a_file_s_name_is_shown_and_never_obeyed(visit: Callable[..., Page], song: Path, tmp_path: Path) -> None:
    named = tmp_path / "<img src=x onerror=document.title='taken'>${1+1}{{value}}.wav"
    shutil.copy(song, named)
    tab = visit()
    tab.set_input_files("#gg-file", named)
    genre_shown(tab)
    assert tab.locator(".gg-song").inner_text() == named.name
    assert tab.title() == "GenreGenie"


def test_two_visitors_at_once_get_each_their_own(
    visit: Callable[..., Page], song: Path, long_song: Path, page: PageProcess
) -> None:
    first, second = visit(), visit("es-ES")
    first.set_input_files("#gg-file", long_song)
    second.set_input_files("#gg-file", song)
    assert genre_shown(second)
    assert genre_shown(first)
    assert long_song.name in first.locator(".gg-song").inner_text()
    assert song.name in second.locator(".gg-song").inner_text()
    assert first.locator("[data-play]").count() == 10
    assert second.locator("[data-play]").count() == 4


def test_a_queued_request_shows_its_place(visit: Callable[..., Page], page: PageProcess, hour: Path) -> None:
    tabs = [visit() for _ in range(5)]
    for tab in tabs:
        tab.set_input_files("#gg-file", hour)
        tab.wait_for_selector('#gg-state[data-state="working"]')
    expect(tabs[3].locator("#gg-status-text")).to_have_text(translate("web.queued", place=1), timeout=WAIT_MS)
    expect(tabs[4].locator("#gg-status-text")).to_have_text(translate("web.queued", place=2), timeout=WAIT_MS)
    tabs[3].get_by_role("button", name=translate("web.cancel")).click()
    expect(tabs[4].locator("#gg-status-text")).to_have_text(translate("web.queued", place=1), timeout=WAIT_MS)
    for tab in tabs:
        tab.close()
    wait_until(lambda: not page.ffmpegs() and not page.temporary_files(), 30, "the end of all work")


def test_a_closed_tab_cancels_its_work(visit: Callable[..., Page], page: PageProcess, hour: Path) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", hour)
    wait_until(lambda: held(page.ffmpegs()), 30, "the start of ffmpeg")  # which now cannot finish by itself
    cancelled = page.log.count("cancelled")
    tab.close()
    wait_until(lambda: page.log.count("cancelled") > cancelled, 120, "the word of it")
    wait_until(lambda: not page.ffmpegs() and not page.temporary_files(), 30, "the end of ffmpeg")


def test_after_cancelling_the_next_song_is_classified(
    visit: Callable[..., Page], page: PageProcess, hour: Path, song: Path
) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", hour)
    wait_until(page.ffmpegs, 30, "the start of ffmpeg")
    tab.wait_for_selector('#gg-state[data-state="working"]')
    tab.get_by_role("button", name=translate("web.cancel")).click()
    expect(tab.locator("#gg-status .gg-error")).to_have_text(
        error_sentence(GenreGenieError(ErrorCode.CANCELLED)), timeout=WAIT_MS
    )
    wait_until(lambda: not page.ffmpegs() and not page.temporary_files(), 10, "the end of ffmpeg")
    tab.set_input_files("#gg-file", song)
    assert genre_shown(tab)


PHONES = (414, 360, 320)
"""Widths in pixels."""


@pytest.mark.parametrize("locale", locales())
def test_a_phone_needs_no_sideways_scrolling(visit: Callable[..., Page], long_song: Path, locale: str) -> None:
    tab = visit(locale, PHONES[0], 740, has_touch=True, is_mobile=True)
    for width in PHONES:
        tab.set_viewport_size({"width": width, "height": 740})
        assert overhang(tab) == [], width
    tab.set_input_files("#gg-file", long_song)
    genre_shown(tab)
    for width in PHONES:
        tab.set_viewport_size({"width": width, "height": 740})
        assert tab.evaluate("document.documentElement.clientWidth") == width
        assert overhang(tab) == [], width
        small = tab.locator("[data-play], .gg-button:visible").evaluate_all(
            "all => all.filter((one) => one.offsetHeight < 40 || one.offsetWidth < 22).map((one) => one.outerHTML)"
        )
        assert small == [], width


def overhang(tab: Page) -> list[str]:
    """What reaches over the edges of the window."""
    return tab.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((one) => {
            const box = one.getBoundingClientRect();
            return box.width > 1 && (box.left < -1 || box.right > document.documentElement.clientWidth + 1);
        }).map((one) => `${one.tagName}.${one.className}`)"""
    )


def focused(tab: Page) -> str:
    return tab.evaluate(
        "(one => one.id || one.hreflang || (one.dataset.play ? `play ${one.dataset.play}` : one.innerText))"
        "(document.activeElement)"
    )


def test_all_can_be_reached_and_done_with_the_keyboard(visit: Callable[..., Page], long_song: Path) -> None:
    tab = visit()
    reached = []
    for _ in range(len(locales()) + 5):
        tab.keyboard.press("Tab")
        reached.append(focused(tab))
    assert reached == [*locales(), "gg-file", "gg-record", "gg-example", "gg-link", translate("web.hear-link")]
    with tab.expect_file_chooser() as chooser:
        tab.locator("#gg-file").focus()
        tab.keyboard.press("Enter")
    chooser.value.set_files(long_song)
    genre_shown(tab)
    assert focused(tab) == "gg-genre"  # where the answer begins, for who does not see it come
    reached = []
    for _ in range(30):
        tab.keyboard.press("Tab")
        reached.append(focused(tab))
        if reached[-1].startswith("play"):
            break
    assert "gg-audio" in reached
    tab.keyboard.press("Tab")
    start = float(focused(tab).removeprefix("play "))
    tab.keyboard.press("Enter")
    tab.wait_for_function("start => document.getElementById('gg-audio').currentTime >= start", arg=start)


def test_everything_has_a_name_for_screen_readers(visit: Callable[..., Page], long_song: Path) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", long_song)
    genre_shown(tab)
    tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll(
            "main :is(a, button, input, select, audio, img, section, nav)"
        )].filter((one) => {
            if (one.closest("[hidden]")) return false;
            const pointed = one.getAttribute("aria-labelledby");
            const name = one.ariaLabel || one.alt || one.innerText || one.labels?.[0]?.innerText
                || (pointed && document.getElementById(pointed)?.innerText);
            return !name?.trim();
        }).map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    assert tab.locator("h1").count() == 1
    assert tab.locator("#gg-status").get_attribute("aria-live") == "polite"
    assert tab.evaluate("document.documentElement.lang") == "en"


def test_the_browser_s_language_is_used_and_can_be_switched(visit: Callable[..., Page], song: Path) -> None:
    tab = visit("es-MX")
    assert tab.evaluate("document.documentElement.lang") == "es"
    expect(tab.locator(".gg-drop-title")).to_have_text(translate("web.drop", "es"))
    tab.set_input_files("#gg-file", song)
    assert genre_shown(tab) in {translate(f"genre.{genre}", "es") for genre in GENRES}
    tab.get_by_role("link", name="English").click()
    expect(tab.locator(".gg-drop-title")).to_have_text(translate("web.drop", "en"), timeout=WAIT_MS)


def test_the_page_asks_for_the_password(browser: Browser, model: str | None, tmp_path: Path, song: Path) -> None:
    with PageProcess(tmp_path, WEB_PASSWORD="open sesame", HTTP_HOST="0.0.0.0") as locked:  # noqa: S104
        context = browser.new_context(locale="en-US")
        tab = context.new_page()
        tab.goto(locked.address.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        field = tab.get_by_label(translate("web.password"))
        field.fill("open barley")
        field.press("Enter")
        expect(tab.get_by_role("alert")).to_have_text(translate("web.wrong-password"))
        field.fill("open sesame")
        field.press("Enter")
        tab.wait_for_selector("#gg-file", state="attached", timeout=WAIT_MS)
        tab.set_input_files("#gg-file", song)
        assert genre_shown(tab)
        context.close()


# ---- State that agrees with itself


def sound_of(tab: Page) -> float:
    """Wait until the player holds a song, and give its length."""
    tab.wait_for_function("() => document.getElementById('gg-audio').readyState > 0")
    return tab.locator("#gg-audio").evaluate("audio => audio.duration")


def test_two_dropped_files_are_both_classified_and_can_be_chosen(
    visit: Callable[..., Page], song: Path, long_song: Path
) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", [song, long_song])
    rows = tab.locator("#gg-songs button")
    expect(rows.nth(1)).to_contain_text("%", timeout=WAIT_MS)
    assert [row.split("\n")[0] for row in rows.all_inner_texts()] == [song.name, long_song.name]
    assert long_song.name in tab.locator(".gg-song").inner_text()
    second = sound_of(tab)
    rows.nth(0).click()
    expect(tab.locator(".gg-song")).to_contain_text(song.name, timeout=WAIT_MS)
    tab.wait_for_function("second => document.getElementById('gg-audio').duration < second", arg=second)
    assert tab.locator("[data-play]").count() == 4


def test_a_failed_song_keeps_the_verdict_and_the_sound_of_the_one_before(
    visit: Callable[..., Page], song: Path, hour: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "words.mp3"
    bad.write_bytes(b"this is not music " * 1_000)
    tab = visit()
    tab.set_input_files("#gg-file", song)
    shown, length = genre_shown(tab), sound_of(tab)
    tab.set_input_files("#gg-file", bad)
    expect(tab.locator(".gg-failed-song")).to_have_text(bad.name, timeout=WAIT_MS)
    tab.set_input_files("#gg-file", hour)
    tab.locator("[data-cancel]").click()
    expect(tab.locator("#gg-status .gg-error")).to_have_text(
        error_sentence(GenreGenieError(ErrorCode.CANCELLED)), timeout=WAIT_MS
    )
    expect(tab.locator(".gg-song")).to_have_text(song.name)
    assert shown in tab.locator("#gg-genre").inner_text()
    assert sound_of(tab) == length


def test_a_reload_and_the_other_language_keep_the_result(visit: Callable[..., Page], song: Path) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", song)
    genre_shown(tab)
    tab.reload()
    expect(tab.locator(".gg-song")).to_have_text(song.name, timeout=WAIT_MS)
    tab.get_by_role("link", name="Español").click()
    expect(tab.locator(".gg-drop-title")).to_have_text(translate("web.drop", "es"), timeout=WAIT_MS)
    expect(tab.locator(".gg-song")).to_have_text(song.name, timeout=WAIT_MS)
    tab.go_back()
    expect(tab.locator(".gg-drop-title")).to_have_text(translate("web.drop", "en"), timeout=WAIT_MS)
    expect(tab.locator(".gg-song")).to_have_text(song.name, timeout=WAIT_MS)


def test_an_ended_session_leads_to_the_login(browser: Browser, model: str | None, tmp_path: Path, song: Path) -> None:
    with PageProcess(tmp_path, WEB_PASSWORD="open sesame") as locked:
        context = browser.new_context(locale="en-US")
        context.set_default_timeout(WAIT_MS)
        first, second = context.new_page(), context.new_page()
        first.goto(locked.address)
        first.get_by_label(translate("web.password")).fill("open sesame")
        first.keyboard.press("Enter")
        first.wait_for_selector("#gg-file", state="attached")
        second.goto(locked.address)
        second.wait_for_selector("#gg-file", state="attached")
        first.get_by_role("button", name=translate("web.leave")).click()
        first.wait_for_selector("#password")
        second.set_input_files("#gg-file", song)
        second.wait_for_selector("#password")
        context.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_twenty_tabs_of_one_browser_are_answered(
    browser: Browser, model: str | None, tmp_path: Path, song: Path
) -> None:
    limits = {"WEB_MAX_JOBS_PER_VISITOR": "32", "WEB_REQUESTS_PER_MINUTE": "1000"}
    with PageProcess(tmp_path, **limits) as crowded:
        context = browser.new_context(locale="en-US")
        context.set_default_timeout(4 * WAIT_MS)
        tabs = [context.new_page() for _ in range(20)]
        for tab in tabs:
            tab.goto(crowded.address, wait_until="commit")
        for tab in tabs:
            tab.set_input_files("#gg-file", song)
        for tab in tabs:
            assert genre_shown(tab)
        context.close()


def test_a_server_restarted_in_the_middle_of_ten_uploads_ends_with_ten_answers(
    browser: Browser, model: str | None, tmp_path: Path, long_song: Path
) -> None:
    port, limits = free_port(), {"WEB_MAX_JOBS_PER_VISITOR": "32", "WEB_REQUESTS_PER_MINUTE": "1000"}
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(4 * WAIT_MS)
    with PageProcess(tmp_path, port, **limits) as first:
        tabs = [context.new_page() for _ in range(10)]
        for tab in tabs:
            tab.goto(first.address)
            tab.wait_for_selector("#gg-file", state="attached")
        for tab in tabs:
            tab.set_input_files("#gg-file", long_song)
        wait_until(lambda: "verdict" in first.log or first.temporary_files(), 60, "the first upload")
        first.kill()
    with PageProcess(tmp_path, port, **limits):
        for tab in tabs:
            assert genre_shown(tab)
        context.close()


def test_a_song_that_is_cancelled_as_the_server_goes_away_leaves_the_page_free(
    browser: Browser, model: str | None, tmp_path: Path, hour: Path
) -> None:
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    with PageProcess(tmp_path, MAX_DURATION_S="7200") as going:
        tab.goto(going.address)
        tab.set_input_files("#gg-file", hour)
        tab.wait_for_selector('#gg-state[data-state="working"]')
        tab.route("**/cancel", lambda route: route.abort())
        tab.get_by_role("button", name=translate("web.cancel")).click()
        going.kill()
        expect(tab.locator("#gg-drop")).to_be_visible(timeout=WAIT_MS)
        expect(tab.locator("[data-cancel]")).to_have_count(0)
    context.close()
