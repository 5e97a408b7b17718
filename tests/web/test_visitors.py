"""What visitors can do with an answer in a real browser, and whether everyone can: axe-core, keyboard, themes."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.audio.ffmpeg import ffmpeg_path
from core.i18n.catalog import translate
from tests.support.processes import held, living_children, runs_module, wait_until
from tests.web.conftest import WAIT_MS
from tests.web.page import PageProcess

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the development requirements")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core, likewise")
Browser, Page, Route, expect = playwright.Browser, playwright.Page, playwright.Route, playwright.expect

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def album(long_song: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of some minutes: the long one again and again. (The hour of noise is no music.)"""
    folder = tmp_path_factory.mktemp("album")
    encode = [ffmpeg_path(), "-v", "error", "-i", str(long_song), "-b:a", "64k", "-write_xing", "0"]
    subprocess.run([*encode, "-id3v2_version", "0", str(folder / "once.mp3")], check=True)
    path = folder / "album.mp3"
    path.write_bytes((folder / "once.mp3").read_bytes() * 10)
    return path


def ask(tab: Page, *songs: Path) -> None:
    """Give the page songs, and wait for the last answer."""
    tab.set_input_files("#gg-file", list(songs))
    done(tab)


def done(tab: Page) -> None:
    """Wait until nothing is being sent or classified, and an answer is shown."""
    tab.wait_for_selector('#gg-state[data-state="done"]', state="attached")
    expect(tab.locator("#gg-drop")).to_be_visible(timeout=WAIT_MS)


def heard(tab: Page) -> str:
    return tab.locator(".gg-verdict").inner_text()


def violations(tab: Page) -> list[str]:
    """What axe-core finds wrong."""
    found = axe.Axe().run(tab, options={"resultTypes": ["violations"]}).response
    assert len(found["passes"]) > 10
    return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]


EVERYWHERE = pytest.mark.parametrize(
    ("width", "theme"),
    [
        (1_100, {"color_scheme": "light"}),
        (1_100, {"color_scheme": "dark"}),
        (320, {"color_scheme": "light", "reduced_motion": "reduce"}),
        (360, {"color_scheme": "dark"}),
        (400, {"forced_colors": "active"}),
    ],
)


@pytest.fixture(scope="module")
def locked(model: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """A page with a password."""
    with PageProcess(tmp_path_factory.mktemp("locked"), WEB_PASSWORD="open sesame") as process:
        yield process


@EVERYWHERE
def test_axe_finds_nothing_wrong_where_there_is_no_page_yet(
    browser: playwright.Browser, locked: PageProcess, width: int, theme: dict[str, str]
) -> None:
    context = browser.new_context(locale="de-DE", viewport={"width": width, "height": 740}, **theme)
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    tab.goto(locked.address)
    expect(tab.get_by_label(translate("web.password", "de"))).to_be_focused()
    assert violations(tab) == []
    tab.keyboard.type("open barley")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_be_visible()  # wrong, and by the sixth time too soon
    assert violations(tab) == []
    tab.goto(f"{locked.address}de/nothing")
    expect(tab.get_by_role("alert")).to_have_text(translate("web.no-page", "de"))
    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@EVERYWHERE
def test_axe_finds_nothing_wrong_in_any_state(
    visit: Visit, long_song: Path, hour: Path, tmp_path: Path, width: int, theme: dict[str, str]
) -> None:
    bad = tmp_path / "words.mp3"
    bad.write_bytes(b"this is not music " * 1_000)
    tab = visit("en-US", width, 740, permissions=["microphone"], **theme)
    assert violations(tab) == []
    tab.locator("#gg-record").click()
    expect(tab.locator("#gg-discard")).to_be_visible()
    assert violations(tab) == []
    tab.locator("#gg-discard").click()
    tab.set_input_files("#gg-file", bad)
    tab.wait_for_selector('#gg-state[data-state="failed"]')
    assert violations(tab) == []
    tab.set_input_files("#gg-file", hour)
    tab.wait_for_selector('#gg-state[data-state="working"]')
    assert violations(tab) == []
    tab.locator("[data-cancel]").click()
    ask(tab, long_song)
    for panel in ("wrong", "share"):
        tab.locator(f"[data-panel={panel}] summary").click()
    tab.locator("[data-share]").click()
    expect(tab.locator("#gg-share-link")).to_have_value(re.compile("/shared/"))
    assert violations(tab) == []
    shared = tab.locator("#gg-share-link").input_value()
    tab.locator("[data-whole]").click()
    tab.wait_for_selector("[data-main]")
    done(tab)
    assert violations(tab) == []
    tab.goto(shared)
    assert violations(tab) == []
    tab.locator("#gg-take-back").click()
    expect(tab.locator("#gg-card")).to_have_count(0)
    assert violations(tab) == []


def test_another_part_is_asked_for_by_time_by_the_line_and_by_the_keyboard(visit: Visit, long_song: Path) -> None:
    tab = visit()
    ask(tab, long_song)
    first = heard(tab)
    tab.locator("#gg-start").fill("late")
    tab.keyboard.press("Enter")
    expect(tab.locator("#gg-part-error")).to_have_text(translate("web.bad-time"))
    expect(tab.locator("#gg-part-error")).to_be_in_viewport()
    tab.locator("#gg-start").fill("0:03")
    tab.keyboard.press("Enter")
    expect(tab.locator(".gg-verdict")).to_contain_text("0:03–0:33", timeout=WAIT_MS)
    assert heard(tab) != first
    done(tab)
    assert tab.evaluate("document.activeElement.id") == "gg-genre"
    bar = tab.locator(".gg-whole-bar")
    bar.click(position={"x": 2, "y": 10})
    expect(tab.locator(".gg-verdict")).to_contain_text("0:00–0:30", timeout=WAIT_MS)
    done(tab)
    assert tab.locator("#gg-audio").evaluate("audio => audio.src").startswith("blob:")  # still the visitor's own file
    tab.get_by_role("button", name=translate("web.whole-song")).click()
    expect(tab.locator(".gg-verdict")).to_contain_text(translate("web.heard-whole", duration="0:").split("0:")[0])
    done(tab)
    tab.get_by_role("button", name=translate("web.main-section")).click()
    expect(tab.locator(".gg-whole")).to_be_visible(timeout=WAIT_MS)
    assert tab.locator("#gg-songs li").count() <= 1  # one song, whatever was asked about it


def test_a_long_song_is_shown_in_runs_with_a_legend(visit: Visit, page: PageProcess, album: Path) -> None:
    tab = visit()
    ask(tab, album)
    tab.locator("[data-whole]").click()
    tab.wait_for_selector(".gg-many")
    tab.wait_for_selector(".gg-mel img")
    assert 1 <= tab.locator(".gg-segments li").count() <= 60
    assert tab.locator(".gg-legend li").count() >= 1
    tab.locator("[data-cancel]").click()  # of the other models; what is there stays
    expect(tab.locator(".gg-many")).to_be_visible()
    job = tab.url.partition("song=")[2]
    assert len(tab.request.get(f"{page.address}en/jobs/{job}").body()) < 100_000


def test_a_part_that_is_cancelled_keeps_the_answer_before(visit: Visit, page: PageProcess, album: Path) -> None:
    tab = visit()
    ask(tab, album)
    before, address = heard(tab), tab.url
    # The worker is held, so that it cannot be done before the button is pressed.
    children = living_children(page.process.pid)
    workers = held([child for child in children if runs_module(child, "core.workers.worker")])
    assert workers
    try:
        tab.locator("[data-whole]").click()
        tab.locator("[data-cancel]").click()
    finally:
        for worker in workers:
            worker.resume()
    expect(tab.locator("#gg-drop")).to_be_visible(timeout=WAIT_MS)
    assert (heard(tab), tab.url) == (before, address)


def test_an_answer_to_what_was_given_up_is_not_taken_for_the_next(visit: Visit, album: Path) -> None:
    tab = visit()
    ask(tab, album)
    held: list[Route] = []
    tab.route("**/en/jobs", lambda route: held.append(route))
    for start in ("0:10", "1:00"):
        tab.locator("#gg-start").fill(start)
        with tab.expect_request("**/en/jobs"):
            tab.keyboard.press("Enter")
        if start == "0:10":
            tab.locator("#gg-sending-stop").click()
            expect(tab.locator("#gg-start")).to_be_visible()
    with tab.expect_request("**/cancel"):
        held[0].continue_()
    held[1].continue_()
    expect(tab.locator(".gg-verdict")).to_contain_text("1:00–1:30", timeout=WAIT_MS)
    done(tab)


def test_a_shared_answer_is_seen_by_others_and_taken_back_by_who_shared_it(visit: Visit, song: Path) -> None:
    tab, other = visit(), visit("es-ES")
    ask(tab, song)
    tab.locator("[data-panel=share] summary").click()
    tab.locator("[data-share]").click()
    link = tab.locator("#gg-share-link")
    expect(link).to_have_value(re.compile("/shared/"))
    address = link.input_value()
    other.goto(address)
    expect(other.locator(".gg-song")).to_have_text(song.name)
    assert other.locator("#gg-audio, [data-play], #gg-mine:visible").count() == 0
    assert other.locator(".gg-mel img").evaluate("image => image.naturalWidth") > 100
    left = other.locator(".gg-segments li").evaluate_all("all => all.map((one) => one.style.left)")
    assert "0%" in left
    expect(other.locator("#gg-theirs")).to_be_visible()
    tab.goto(address)
    expect(tab.locator("#gg-theirs")).to_be_hidden()
    expect(tab.locator("#gg-mine")).to_contain_text(re.compile(re.escape(translate("web.shared.mine", date="")[:-2])))
    tab.get_by_role("button", name=translate("web.share.end")).click()
    expect(tab.locator("#gg-mine")).to_have_text(translate("web.shared.ended"))
    assert tab.request.get(address).status == 404


def share(tab: Page) -> str:
    """Share the answer that a tab shows, and give its address."""
    tab.locator("[data-panel=share] summary").click()
    tab.locator("[data-share]").click()
    link = tab.locator("#gg-share-link")
    expect(link).to_have_value(re.compile("/shared/"))
    return str(link.input_value())


def test_who_shares_in_two_tabs_can_take_both_back(visit: Visit, song: Path) -> None:
    first = visit()
    second = first.context.new_page()
    second.goto(first.url)
    for tab in (first, second):  # both are open before either shares
        ask(tab, song)
    addresses = [share(tab) for tab in (first, second)]
    for address in addresses:
        first.goto(address)
        first.get_by_role("button", name=translate("web.share.end")).click()
        expect(first.locator("#gg-mine")).to_have_text(translate("web.shared.ended"))


def test_who_cannot_take_an_answer_back_reads_why(browser: Browser, page: PageProcess, song: Path) -> None:
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    tab.goto(page.address)
    ask(tab, song)
    address, answer = share(tab), tab.url
    kept = tab.evaluate("localStorage.getItem('genregenie-shared')")
    tab.evaluate(
        "kept => localStorage.setItem('genregenie-shared', kept)", json.dumps(dict.fromkeys(json.loads(kept), "x"))
    )
    tab.goto(address)
    stop = tab.get_by_role("button", name=translate("web.share.end"))
    stop.click()
    expect(tab.locator("#gg-not-ended")).to_have_text(translate("web.share.refused"))
    tab.route("**/end", lambda route: route.abort())
    stop.click()
    expect(tab.locator("#gg-not-ended")).to_have_text(translate("web.lost"))
    tab.unroute("**/end")
    tab.goto(answer)
    stop.click()
    expect(tab.locator("[data-panel=share] .gg-said")).to_have_text(translate("web.share.refused"))
    assert tab.request.get(address).status == 200
    context.close()


def test_a_correction_is_thanked_for(visit: Visit, page: PageProcess, song: Path) -> None:
    tab = visit()
    ask(tab, song)
    tab.locator("[data-panel=wrong] summary").press("Enter")
    expect(tab.get_by_text(translate("web.correct.consent"))).to_be_visible()
    tab.get_by_label(translate("web.correct.ask")).select_option("blues")
    tab.get_by_role("button", name=translate("web.correct.send")).click()
    thanks = translate("web.correct.thanks", genre=translate("genre.blues"))
    expect(tab.locator("[data-correct] [role=status]")).to_have_text(thanks)
    kept = (page.data / "page-corrections.jsonl").read_text("utf-8").splitlines()
    assert json.loads(kept[-1])["corrected"] == "blues"


def test_the_picture_and_the_json_are_downloaded(visit: Visit, song: Path) -> None:
    tab = visit()
    ask(tab, song)
    for name, suffix in (("web.download.picture", "png"), ("web.download.json", "json")):
        with tab.expect_download() as download:
            tab.get_by_role("link", name=translate(name)).click()
        assert download.value.suggested_filename == f"{song.stem}-genre.{suffix}"


def test_the_example_is_classified_and_plays(visit: Visit) -> None:
    tab = visit()
    tab.get_by_role("button", name=translate("web.example")).click()
    done(tab)
    tab.wait_for_function("() => document.getElementById('gg-audio').duration > 30")


def test_a_recording_shows_its_level_and_can_be_discarded(visit: Visit) -> None:
    tab = visit(permissions=["microphone"])
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    tab.get_by_role("button", name=translate("web.record")).click()
    expect(tab.locator("#gg-sending-text")).to_have_text(translate("web.recording-short", n=3))
    stop = tab.locator("#gg-sending-stop")
    assert stop.get_attribute("aria-disabled") == "true"
    stop.click(force=True)  # too early: it goes on
    tab.wait_for_function("() => document.getElementById('gg-level').value > 0.3")
    expect(tab.locator("#gg-sending-text")).to_have_text(translate("web.recording-enough"), timeout=WAIT_MS)
    assert stop.get_attribute("aria-disabled") == "false"
    tab.get_by_role("button", name=translate("web.discard")).click()
    expect(tab.locator("#gg-drop")).to_be_visible()
    assert sent == []
    assert tab.evaluate("document.activeElement.id") == "gg-file"


MICROPHONES = """
    () => {
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        window.microphones = [];
        window.allowed = Promise.resolve();
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await window.allowed;
            const stream = await ask(wanted);
            window.microphones.push(...stream.getTracks());
            return stream;
        };
    }
"""
"""Notes each microphone that is switched on, once `allowed` resolves, as a visitor answers the browser's question."""


def microphones(tab: Page) -> list[str]:
    return tab.evaluate("window.microphones.map((one) => one.readyState)")


def test_a_second_press_on_record_switches_on_no_second_microphone(visit: Visit) -> None:
    tab = visit(permissions=["microphone"])
    tab.evaluate(MICROPHONES)
    tab.evaluate("for (let press = 0; press < 2; press += 1) document.getElementById('gg-record').click()")
    expect(tab.locator("#gg-discard")).to_be_visible(timeout=WAIT_MS)
    tab.wait_for_timeout(500)
    assert microphones(tab) == ["live"]
    tab.get_by_role("button", name=translate("web.discard")).click()
    expect(tab.locator("#gg-drop")).to_be_visible()
    assert microphones(tab) == ["ended"]


def test_a_microphone_that_is_allowed_when_a_song_is_under_way_is_switched_off(visit: Visit, hour: Path) -> None:
    tab = visit(permissions=["microphone"])
    tab.evaluate(MICROPHONES)
    tab.evaluate("() => { window.allowed = new Promise((resolve) => { window.allow = resolve; }); }")
    tab.get_by_role("button", name=translate("web.record")).click()
    tab.set_input_files("#gg-file", hour)
    tab.wait_for_selector('#gg-state[data-state="working"]')
    tab.evaluate("window.allow()")
    tab.wait_for_function("() => window.microphones.length")
    tab.wait_for_timeout(500)
    assert microphones(tab) == ["ended"]
    expect(tab.locator("#gg-discard")).to_be_hidden()
    tab.get_by_role("button", name=translate("web.cancel")).click()
    expect(tab.locator("#gg-drop")).to_be_visible(timeout=WAIT_MS)


def test_a_microphone_that_cannot_be_recorded_is_switched_off(visit: Visit) -> None:
    tab = visit(permissions=["microphone"])
    tab.evaluate(MICROPHONES)
    tab.evaluate("() => { window.MediaRecorder = class { constructor() { throw new Error('no such format'); } }; }")
    tab.get_by_role("button", name=translate("web.record")).click()
    expect(tab.locator("#gg-local-error")).to_have_text(translate("web.no-microphone"), timeout=WAIT_MS)
    assert microphones(tab) == ["ended"]


def test_a_reload_keeps_all_songs_of_the_visit(visit: Visit, song: Path, long_song: Path) -> None:
    tab = visit()
    tab.set_input_files("#gg-file", [song, long_song])
    rows = tab.locator("#gg-songs button")
    expect(rows.nth(1)).to_contain_text("%", timeout=WAIT_MS)
    done(tab)
    before = rows.all_inner_texts()
    tab.reload()
    expect(rows).to_have_count(2, timeout=WAIT_MS)
    assert rows.all_inner_texts() == before
    rows.nth(0).click()
    expect(tab.locator(".gg-song")).to_contain_text(song.name, timeout=WAIT_MS)
    expect(tab.locator("#gg-gone")).to_have_text(translate("web.gone-file"))


def test_what_changes_is_said_to_screen_readers(visit: Visit, hour: Path) -> None:
    tab = visit()
    live = tab.locator("[aria-live], [role=status], [role=alert]").evaluate_all("all => all.map((one) => one.id)")
    assert {"gg-status", "gg-sending-text", "gg-local-error"} <= set(live)
    tab.set_input_files("#gg-file", hour)
    tab.wait_for_selector('#gg-state[data-state="working"]')
    wait_until(lambda: tab.locator("#gg-status-text").inner_text(), what="the words")
    assert tab.get_by_role("progressbar").get_attribute("aria-labelledby") == "gg-status-text"
    tab.locator("[data-cancel]").click()
