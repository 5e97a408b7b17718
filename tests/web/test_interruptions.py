"""The page in a real browser while its server is away, silent or too busy, and when what it had is gone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.i18n.catalog import translate
from tests.support.processes import wait_until
from tests.web.conftest import WAIT_MS
from tests.web.page import PageProcess

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the development requirements")
Browser, Page, Route, expect = playwright.Browser, playwright.Page, playwright.Route, playwright.expect

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]

Open = Callable[..., Page]


@pytest.fixture
def open_tab(browser: Browser, page: PageProcess) -> Iterator[Open]:
    """Open the page, or another one, in a window of its own, in which requests may fail, but no script."""
    contexts, problems = [], []

    def opened(address: str = page.address, **options: object) -> Page:
        context = browser.new_context(locale="en-US", **options)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.clock.install()  # it runs, and can be put forward
        tab.goto(address)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def done(tab: Page) -> None:
    """Wait until nothing is being sent or classified, and an answer is shown."""
    tab.wait_for_selector('#gg-state[data-state="done"]', state="attached")
    expect(tab.locator("#gg-drop")).to_be_visible()


def ask_link(tab: Page, link: str) -> None:
    tab.get_by_label(translate("web.link")).fill(link)
    tab.keyboard.press("Enter")
    done(tab)


def refused(tab: Page, pattern: str, *answers: dict[str, object]) -> None:
    """Answer the first requests of a kind in the server's place, as what stands in front of it does."""
    left = list(answers)
    tab.route(pattern, lambda route: route.fulfill(**left.pop(0)) if left else route.continue_())


BAD_GATEWAY = {"status": 502, "content_type": "text/html", "body": "<h1>Bad gateway</h1>"}
FULL = {"status": 503, "body": ""}
BUSY = {"status": 503, "json": {"error": "Not now.", "code": "busy", "retry_after": 1}}
TOO_SOON = {"status": 429, "json": {"error": "Not now.", "code": "cooldown", "retry_after": 1}}


def test_no_song_of_several_is_lost_while_the_server_behind_a_proxy_is_started_anew(
    open_tab: Open, song: Path, long_song: Path
) -> None:
    tab = open_tab()
    refused(tab, "**/song?*", BAD_GATEWAY, FULL, BUSY)
    refused(tab, "**/en/jobs", BAD_GATEWAY, FULL, TOO_SOON)
    tab.set_input_files("#gg-file", [song, long_song])
    expect(tab.locator("#gg-sending-text")).to_have_text(translate("web.again"), timeout=WAIT_MS)
    rows = tab.locator("#gg-songs button")
    for number in range(2):
        expect(rows.nth(number)).to_contain_text("%", timeout=WAIT_MS)


def test_a_song_that_the_server_has_no_time_for_yet_waits_and_is_sent_once(
    browser: Browser, model: str | None, open_tab: Open, tmp_path: Path, song: Path, long_song: Path
) -> None:
    with PageProcess(tmp_path, WEB_COOLDOWN_S="5") as busy:
        tab = open_tab(busy.address)
        sent: list[str] = []
        tab.on("request", lambda request: sent.append(request.url) if "/song?" in request.url else None)
        tab.set_input_files("#gg-file", [song, long_song])
        expect(tab.locator("#gg-sending-text")).to_have_text(translate("web.later"), timeout=WAIT_MS)
        rows = tab.locator("#gg-songs button")
        expect(rows.nth(1)).to_contain_text("%", timeout=WAIT_MS)
        expect(rows.nth(0)).to_contain_text("%")
        assert len(sent) == 2
        done(tab)
        tab.set_input_files("#gg-file", song)
        expect(tab.locator("#gg-sending-text")).to_have_text(translate("web.later"), timeout=WAIT_MS)
        tab.locator("#gg-sending-stop").click()
        expect(tab.locator("#gg-drop")).to_be_visible()


def test_a_silent_stream_is_given_up(open_tab: Open, page: PageProcess, song: Path, hour: Path) -> None:
    tab = open_tab()
    silent: list[Route] = []
    tab.route("**/events?*", lambda route: silent.append(route))
    refused(tab, "**/cancel", {"status": 429, "json": {"error": "Not now."}})
    with tab.expect_request("**/events?*"):
        tab.set_input_files("#gg-file", hour)
    tab.locator("#gg-sending-stop").click()
    expect(tab.locator("#gg-drop")).to_be_visible(timeout=20_000)  # though nobody has heard of it
    with tab.expect_request("**/events?*"):
        tab.set_input_files("#gg-file", song)
    tab.clock.fast_forward(36_000)
    done(tab)
    expect(tab.locator(".gg-song")).to_have_text(song.name)
    tab.close()
    wait_until(lambda: not page.ffmpegs() and not page.temporary_files(), 60, "the end of what nobody asks about")


def test_an_answer_that_is_gone_is_said_to_be(open_tab: Open, page: PageProcess) -> None:
    tab = open_tab(f"{page.address}en/?song=never")
    expect(tab.locator("#gg-local-error")).to_have_text(translate("web.gone"))
    kept = [{"job": f"never-{number}", "name": "a song", "outcome": "Rock"} for number in range(2)]
    tab.evaluate("kept => sessionStorage.setItem('genregenie-songs', kept)", json.dumps(kept))
    tab.goto(f"{page.address}en/?song=never-1")
    expect(tab.locator("#gg-songs button").nth(1)).to_contain_text(translate("web.gone"))
    expect(tab.locator("#gg-local-error")).to_have_text(translate("web.gone"))


def test_a_song_of_the_list_is_asked_for_again_only_where_that_helps(
    open_tab: Open, song: Path, long_song: Path
) -> None:
    tab = open_tab(permissions=["microphone"])
    rows = tab.locator("#gg-songs button")
    tab.set_input_files("#gg-file", [song, long_song])
    expect(rows.nth(1)).to_contain_text("%", timeout=WAIT_MS)
    done(tab)
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    refused(tab, "**/en/jobs/*", {"status": 429, "json": {"error": "Not now."}}, {"json": {"state": "unknown"}})
    rows.nth(0).click()
    expect(tab.locator("#gg-local-error")).to_have_text("Not now.")
    tab.locator("#gg-record").click()
    expect(tab.locator("#gg-discard")).to_be_visible()
    rows.nth(0).click()
    tab.wait_for_timeout(1_000)
    tab.locator("#gg-discard").click()
    expect(tab.locator("#gg-drop")).to_be_visible()
    assert sent == []
    rows.nth(0).click()  # now it is forgotten, and its file is at hand
    expect(tab.locator(".gg-song")).to_have_text(song.name, timeout=WAIT_MS)
    assert sent


def test_another_part_of_a_link_s_song_plays_on(open_tab: Open, song_link: str, song: Path, long_song: Path) -> None:
    linked = song.with_name("linked.wav")
    linked.hardlink_to(long_song)
    tab = open_tab()
    ask_link(tab, song_link.replace(song.name, linked.name))
    audio = tab.locator("#gg-audio")
    first = audio.evaluate("audio => audio.src")
    tab.locator("[data-play]").nth(3).click()
    tab.wait_for_function("() => document.getElementById('gg-audio').currentTime > 9")
    audio.evaluate("audio => audio.addEventListener('playing', () => { window.playsFrom = audio.currentTime; })")
    tab.locator("#gg-start").fill("0:03")
    tab.keyboard.press("Enter")
    expect(tab.locator(".gg-verdict")).to_contain_text("0:03–0:33")
    done(tab)
    assert audio.evaluate("audio => audio.src") not in ("", first)  # which ends with the first answer
    tab.wait_for_function("() => window.playsFrom > 9")
    assert not audio.evaluate("audio => audio.paused")
    tab.reload()
    done(tab)
    tab.route("**/sound", lambda route: route.fulfill(status=404))
    tab.locator("[data-play]").first.click()
    expect(tab.locator("#gg-gone")).to_have_text(translate("web.gone-link"))
    expect(tab.locator("#gg-gone")).to_be_visible()
    expect(tab.locator("#gg-unplayable")).to_be_hidden()


FRAMES = """
    () => {
        const ask = requestAnimationFrame;
        window.frames_ = {};
        window.requestAnimationFrame = (act) => ask((time) => {
            window.frames_[time] = (window.frames_[time] ?? 0) + 1;
            act(time);
        });
    }
"""
"""Counts what the page does for each frame."""


def test_only_the_song_that_was_to_be_played_plays(open_tab: Open, song_link: str, long_song: Path) -> None:
    tab = open_tab()
    tab.set_input_files("#gg-file", long_song)
    done(tab)
    held: list[Route] = []
    tab.route("**/sound", lambda route: held.append(route))
    ask_link(tab, song_link)
    tab.locator("[data-play]").nth(1).click()
    wait_until(lambda: tab.evaluate("1") and held, what="the request")
    tab.locator("#gg-songs button").nth(0).click()
    expect(tab.locator(".gg-song")).to_have_text(long_song.name)
    tab.wait_for_function("() => document.getElementById('gg-audio').readyState > 0")
    tab.wait_for_timeout(1_000)
    assert tab.locator("#gg-audio").evaluate("audio => [audio.paused, audio.currentTime]") == [True, 0]
    tab.evaluate(FRAMES)
    for number in range(5):
        tab.locator("[data-play]").nth(number).click()
        tab.wait_for_selector(".gg-playing")
    tab.wait_for_function("() => Object.keys(window.frames_).length > 20")
    assert set(tab.evaluate("Object.values(window.frames_)")) == {1}
