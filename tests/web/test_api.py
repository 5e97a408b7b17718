"""The HTTP API of a real page."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from tests.support.processes import wait_until
from tests.web.page import PageProcess

pytestmark = pytest.mark.xdist_group("web")

TOKEN = "a token that is hard to guess"
PATH = "/api/v1/classify"
AS_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(model: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageProcess, httpx.Client]]:
    """A page that strangers may see with a password only, and a program that has the token."""
    settings = {"WEB_API_TOKEN": TOKEN, "WEB_PASSWORD": "open sesame", "MAX_FILE_MB": "1"}
    with PageProcess(tmp_path_factory.mktemp("api"), **settings) as page:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=page.address, headers=headers, timeout=60) as client:
            yield page, client


def test_a_file_is_answered_like_on_the_command_line(api: tuple[PageProcess, httpx.Client], song: Path) -> None:
    page, client = api
    answer = client.post(PATH, params={"name": "my song.wav"}, content=song.read_bytes())
    assert answer.status_code == 200
    verdict = answer.json()
    assert verdict["source"] == "my song.wav"
    assert verdict["genre"] in GENRES
    assert set(verdict["probabilities"]) == set(GENRES)
    assert len(verdict["segments"]) == sum(verdict["votes"].values())
    assert page.temporary_files() == []
    documented = client.get("/api/v1/openapi.json").json()["components"]["schemas"]["Verdict"]["properties"]
    assert set(documented) <= set(verdict)


def test_progress_is_streamed_where_it_is_asked_for(api: tuple[PageProcess, httpx.Client], song: Path) -> None:
    _, client = api
    answer = client.post(PATH, content=song.read_bytes(), headers={"Accept": "text/event-stream"})
    events = re.findall(r"event: (\w+)\ndata: (.*)\n\n", answer.text)
    assert [name for name, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    assert len(events) > 1
    assert json.loads(events[0][1])["step"]
    assert events[-1][0] == "result"
    assert json.loads(events[-1][1])["genre"] in GENRES


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"content": b"words, no sound. " * 50}, 422, ErrorCode.NOT_AUDIO),
        ({"content": bytes(2**20 + 1)}, 413, ErrorCode.TOO_LARGE),
        ({"json": {"link": "http://127.0.0.1/song.mp3"}}, 422, ErrorCode.BLOCKED_ADDRESS),
        ({"json": {"link": 7}}, 422, ErrorCode.UNSUPPORTED_LINK),
        ({"content": b'{"link": "\\ud800"}', "headers": AS_JSON}, 422, ErrorCode.UNSUPPORTED_LINK),
    ],
)
def test_what_has_no_verdict_says_why(
    api: tuple[PageProcess, httpx.Client], sent: dict[str, Any], status: int, code: ErrorCode
) -> None:
    _, client = api
    answer = client.post(PATH, **(sent | {"headers": {"Accept-Language": "es", **sent.get("headers", {})}}))
    assert answer.status_code == status
    error = GenreGenieError(code, **({"limit_mb": 1} if status == 413 else {}))
    assert answer.json()["error"] == {"code": code, "message": error_sentence(error, "es")}


def test_a_file_that_there_is_no_room_for_is_not_kept(model: str | None, tmp_path: Path, song: Path) -> None:
    with PageProcess(tmp_path, WEB_API_TOKEN=TOKEN, WEB_COOLDOWN_S="600") as page:
        with httpx.Client(base_url=page.address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            answers = [client.post(PATH, content=song.read_bytes()) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert page.temporary_files() == []


def test_what_is_refused_before_it_is_read_is_answered_as_documented(model: str | None, tmp_path: Path) -> None:
    limits = {"WEB_API_TOKEN": TOKEN, "WEB_REQUESTS_PER_MINUTE": "10", "MAX_FILE_MB": "1"}
    with PageProcess(tmp_path, **limits) as page:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Language": "es", "Accept": "text/html"}
        with httpx.Client(base_url=page.address, headers=headers, timeout=60) as client:
            documented = client.get("/api/v1/openapi.json").json()["paths"][PATH]["post"]["responses"]
            answers = [
                client.post(PATH, content=iter([b"of unknown length"])),
                client.post(PATH, content=b"x", headers={"Host": "evil.example"}),
                client.post(PATH, params={"name": "my song"}, content=bytes(2**20 + 1)),
            ]
            while len(answers) < 20 and answers[-1].status_code != 429:
                answers.append(client.post(PATH, json={"link": 7}))
    assert [answer.status_code for answer in answers[:3]] == [411, 421, 413]
    assert {str(answer.status_code) for answer in answers} <= set(documented)
    assert answers[2].json()["source"] == "my song"
    last = answers[-1]
    wait_s = int(last.headers["Retry-After"])
    sentence = error_sentence(GenreGenieError(ErrorCode.COOLDOWN, retry_after=wait_s), "es")
    assert (last.status_code, last.json()["error"]) == (429, {"code": ErrorCode.COOLDOWN, "message": sentence})


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer guess", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN])
def test_without_the_token_nothing_is_answered(api: tuple[PageProcess, httpx.Client], header: str) -> None:
    page, _ = api
    answer = httpx.post(page.address + PATH[1:], headers={"Authorization": header}, content=b"x")
    assert (answer.status_code, answer.headers["WWW-Authenticate"], answer.text) == (401, "Bearer", "")


def test_who_hangs_up_leaves_no_work(api: tuple[PageProcess, httpx.Client], song: Path) -> None:
    page, client = api
    headers = {"Accept": "text/event-stream"}
    with client.stream("POST", PATH, content=song.read_bytes(), headers=headers) as answer:
        next(answer.iter_lines())
    wait_until(lambda: not page.temporary_files() and not page.ffmpegs(), 10, "the end of the work")


def test_the_token_is_not_in_the_log(api: tuple[PageProcess, httpx.Client]) -> None:
    page, _ = api
    assert TOKEN not in page.log


def test_a_page_that_is_closed_meanwhile_is_busy(model: str | None, tmp_path: Path) -> None:
    """The link leads to a server that takes the request and never answers."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent.settimeout(240)
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        client = stack.enter_context(httpx.Client(headers=headers, timeout=60))
        threads = stack.enter_context(ThreadPoolExecutor())
        with PageProcess(tmp_path, WEB_API_TOKEN=TOKEN, ALLOWED_HOSTS=host) as page:
            path, link = page.address + PATH[1:], {"link": f"http://{host}/song.mp3"}
            whole = threads.submit(client.post, path, json=link)
            streamed = threads.submit(client.post, path, json=link, headers={"Accept": "text/event-stream"})
            for _ in range(2):
                stack.enter_context(silent.accept()[0])
        answer = whole.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, ErrorCode.BUSY)
        assert int(answer.headers["Retry-After"]) > 0
        *_, last = re.findall(r"event: result\ndata: (.*)\n\n", streamed.result().text)
        assert json.loads(last)["error"] == answer.json()["error"]
