"""The page as it is served: `genregenie web` as a real process, spoken to over HTTP."""

import contextlib
import json
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from core.i18n.languages import locales
from tests.support.processes import wait_until
from tests.web.page import PageProcess
from web.static import FOLDER

pytestmark = pytest.mark.xdist_group("web")

WAIT_S = 60.0


@pytest.fixture
def client(page: PageProcess) -> httpx.Client:
    return httpx.Client(base_url=page.address, timeout=WAIT_S)


def start(client: httpx.Client, data: Any, locale: str = "en") -> str:
    """Send a request as the page's script does, and give its key."""
    answer = client.post(f"/{locale}/jobs", json=data)
    assert answer.status_code == 200
    return answer.json()["job"]


def submit(client: httpx.Client, data: Any, locale: str = "en") -> str:
    """Send a request as the page's script does, and give the whole stream of what is to be shown as text."""
    with client.stream("GET", f"/{locale}/jobs/{start(client, data, locale)}/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        updates = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line]
    return "".join(str(value) for update in updates for value in update.values())


def upload(client: httpx.Client, song: Path, locale: str = "en") -> str:
    answer = client.post(f"/{locale}/song", params={"name": song.name}, content=song.read_bytes())
    assert answer.status_code == 200
    return answer.json()["song"]


@pytest.mark.parametrize(
    ("wanted", "locale"), [("es-MX,es;q=0.9", "es"), ("en-GB", "en"), ("pt-BR", "pt"), ("nl", "en")]
)
def test_a_visitor_is_redirected_to_their_language(client: httpx.Client, wanted: str, locale: str) -> None:
    answer = client.get("/", headers={"Accept-Language": wanted})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/{locale}/")
    assert client.get(f"/{locale}/").status_code == 200


@pytest.mark.parametrize("locale", locales())
def test_an_uploaded_song_gets_a_verdict(client: httpx.Client, page: PageProcess, song: Path, locale: str) -> None:
    shown = submit(client, {"song": upload(client, song, locale)}, locale)
    assert "gg-verdict" in shown
    assert song.name in shown
    assert page.temporary_files() == []


def test_a_bad_file_gets_an_error_in_the_visitor_s_language(client: httpx.Client, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"no sound" * 100)
    shown = submit(client, {"song": upload(client, bad, "es")}, "es")
    assert error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO), "es") in shown


@pytest.mark.parametrize("data", [None, [], "song", {"song": 7}, {"link": {"a": 1}}, {"song": "../../etc/passwd"}])
def test_a_malformed_request_gets_an_error(client: httpx.Client, data: Any) -> None:
    shown = submit(client, data)
    assert error_sentence(GenreGenieError(ErrorCode.NOT_FOUND)) in shown


def test_a_link_to_a_private_address_is_refused(client: httpx.Client, page: PageProcess) -> None:
    shown = submit(client, {"link": f"{page.address}song.mp3"})
    assert error_sentence(GenreGenieError(ErrorCode.BLOCKED_ADDRESS)) in shown


def test_a_request_is_logged_in_one_line_without_the_song_s_name(
    client: httpx.Client, page: PageProcess, song: Path
) -> None:
    named = song.with_name(f"{secrets.token_hex(8)}.wav")
    named.hardlink_to(song)
    before = len(page.log)
    submit(client, {"song": upload(client, named)})
    wait_until(lambda: "verdict" in page.log[before:], what="the line")
    (line,) = (json.loads(line) for line in page.log[before:].splitlines())
    assert line.items() >= {"message": "request", "kind": "page-file", "outcome": "verdict"}.items()
    assert line["seconds"] > 0
    assert named.stem not in page.log


def test_responses_contain_no_path_of_this_machine(client: httpx.Client, page: PageProcess, song: Path) -> None:
    shown = submit(client, {"song": upload(client, song)}) + client.get("/en/").text
    assert str(page.data) not in shown
    assert str(Path(__file__).parents[2]) not in shown
    assert str(Path.home()) + "/" not in shown
    assert "Traceback" not in shown


def test_the_page_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    html = client.get("/en/").text
    loaded = re.findall(r"<(?:script|img|iframe|source|audio|video)\b[^>]*\ssrc=[\"']([^\"']+)", html)
    loaded += re.findall(r"<link\b[^>]*\shref=[\"']([^\"']+)", html)
    loaded += re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", html + client.get("/static/page.css").text)
    assert loaded
    assert [one for one in loaded if urlsplit(one).netloc] == []


def test_nothing_is_inline_so_that_nothing_inline_need_be_allowed(
    client: httpx.Client, page: PageProcess, song: Path
) -> None:
    answer = client.get("/en/")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    html = answer.text + submit(client, {"song": upload(client, song)})
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", html) == []


def test_the_page_is_light() -> None:
    assert sum((FOLDER / name).stat().st_size for name in ("page.css", "page.js", "icon.svg")) < 100_000


def test_the_spectrogram_has_an_address_of_its_own(client: httpx.Client, long_song: Path) -> None:
    job = start(client, {"song": upload(client, long_song)})
    wait_until(lambda: client.get(f"/en/jobs/{job}").json()["state"] == "done", WAIT_S, "the answer")
    answer = client.get(f"/en/jobs/{job}")
    address = re.search(r'<img src="([^"]+)"', answer.json()["details"])[1]
    picture = client.get(address)
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")
    assert "base64" not in answer.text
    assert len(answer.content) + len(picture.content) < 150_000


def test_a_request_that_is_not_known_is_said_to_be(client: httpx.Client) -> None:
    assert client.get("/en/jobs/never").json() == {"state": "unknown"}
    assert client.get("/en/jobs/never/events").status_code == 204
    assert client.get("/en/jobs/never/spectrogram.png").status_code == 404
    assert client.post("/en/jobs/never/cancel", json={}).status_code == 204


def test_a_visitor_has_three_streams_and_polls_for_the_rest(client: httpx.Client, hour: Path) -> None:
    jobs = [start(client, {"song": upload(client, hour)}) for _ in range(4)]
    with contextlib.ExitStack() as stack:
        for job in jobs[:3]:
            stream = stack.enter_context(client.stream("GET", f"/en/jobs/{job}/events"))
            assert stream.status_code == 200
        assert client.get(f"/en/jobs/{jobs[3]}/events").status_code == 204
        assert client.get(f"/en/jobs/{jobs[3]}").json()["state"] == "working"
        for job in jobs:
            assert client.post(f"/en/jobs/{job}/cancel", json={}).status_code == 204


def test_the_page_s_process_asks_nobody_outside(page: PageProcess, client: httpx.Client, song: Path) -> None:
    submit(client, {"song": upload(client, song)})
    process = psutil.Process(page.process.pid)
    for one in [process, *process.children(recursive=True)]:
        for connection in one.net_connections("inet"):
            assert not connection.raddr or connection.raddr.ip.startswith(("127.", "::1")), connection


def test_a_visitor_who_hangs_up_while_sending_leaves_nothing(page: PageProcess, client: httpx.Client) -> None:
    import socket

    target = urlsplit(page.address)
    with socket.create_connection((target.hostname, target.port)) as sending:
        head = f"POST /en/song HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: 1000000\r\n\r\n"
        sending.sendall(head.encode() + bytes(100_000))
        wait_until(page.temporary_files, what="the file")
    wait_until(lambda: not page.temporary_files(), what="its end")


def test_a_browser_that_stays_open_does_not_hold_up_the_page(
    model: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As BROWSER names one, it is waited for until it is closed."""
    shown, closed = tmp_path / "shown", tmp_path / "closed"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shown}\nwhile [ ! -e {closed} ]; do sleep 0.1; done\n')
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    with PageProcess(tmp_path, arguments=["--open"]) as page:
        wait_until(lambda: shown.exists() and shown.read_text(), what="the browser")
        try:
            assert shown.read_text().strip() == page.address
            assert httpx.get(f"{page.address}en/", timeout=20).status_code == 200
        finally:
            closed.touch()


@pytest.mark.slow
def test_ending_the_page_ends_the_work_that_is_under_way(model: str | None, tmp_path: Path, hour: Path) -> None:
    with PageProcess(tmp_path, MAX_DURATION_S="7200") as page:
        client = httpx.Client(base_url=page.address, timeout=WAIT_S)
        start(client, {"song": upload(client, hour)})
        wait_until(page.ffmpegs, 60, "the start of ffmpeg")
    # PageProcess looks for what is left.
