"""One page for all tests in a pytest worker."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest

from core.audio.ffmpeg import ffmpeg_path
from core.errors import ConfigurationError
from core.inference.model_card import model_file
from tests.support.audio import write_wav
from tests.web.page import PageProcess

if TYPE_CHECKING:  # tests without a browser need no Playwright
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
WAIT_MS = 150_000
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


@pytest.fixture(scope="session")
def model() -> str | None:
    """The model that these tests use; skips them where there is none."""
    name = os.environ.get("GENREGENIE_MODEL")
    try:
        model_file(name)
    except ConfigurationError as error:
        pytest.skip(f"needs a model: {error}")
    return name


@pytest.fixture(scope="session")
def song_link(song: Path) -> Iterator[str]:
    """Link to the song, on the one host that links may lead to: an address of this machine."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(song.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{song.name}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def page(model: str | None, song_link: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """A page with small limits, so that they are quick to reach."""
    limits = {
        "MAX_FILE_MB": "32",
        "MAX_DURATION_S": "7200",
        "WEB_MAX_JOBS_PER_VISITOR": "8",
        "WEB_REQUESTS_PER_MINUTE": "10000",
        "ALLOWED_HOSTS": urlsplit(song_link).netloc,
        "LOG_JSON": "true",
    }
    with PageProcess(tmp_path_factory.mktemp("page"), **limits) as process:
        yield process


@pytest.fixture(scope="session")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety minutes of noise: classifying them takes long enough for something to happen meanwhile."""
    folder = tmp_path_factory.mktemp("hour")
    second = np.random.default_rng(0).uniform(-0.3, 0.3, 22_050)
    minute = write_wav(folder / "minute.wav", np.tile(second, 60))
    # MP3's frames stand alone: what is joined is one long song, and a quarter of a WAV's bytes to send.
    encode = [ffmpeg_path(), "-v", "error", "-i", str(minute), "-b:a", "8k", "-write_xing", "0", "-id3v2_version", "0"]
    subprocess.run([*encode, str(folder / "minute.mp3")], check=True)
    path = folder / "hour.mp3"
    path.write_bytes((folder / "minute.mp3").read_bytes() * 90)
    return path


@pytest.fixture(scope="module")
def browser(long_song: Path) -> Iterator["Browser"]:
    """A browser whose microphone records the long song."""
    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the development requirements")
    with playwright.sync_playwright() as driver:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={long_song}"]
        running = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


@pytest.fixture
def visit(browser: "Browser", page: PageProcess) -> Iterator[Callable[..., "Page"]]:
    """Open the page in a window of its own. What it loads must come from the page, and no script may fail."""
    contexts, problems = [], []

    def opened(locale: str = "en-US", width: int = 1_100, height: int = 800, **options: object) -> "Page":
        context = browser.new_context(locale=locale, viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        tab.on("request", lambda request: problems.append(request.url) if is_foreign(request.url, page) else None)
        tab.goto(page.address)
        tab.wait_for_selector("#gg-file", state="attached")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def is_foreign(url: str, page: PageProcess) -> bool:
    return not url.startswith((page.address, "data:", f"blob:{page.address}"))
