"""What happens when yt-dlp hangs, lies, swells, is missing, or loses its parent.

Programs of our own take its place: they run in the same sandbox, with the same input.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import ErrorCode, GenreGenieError
from core.fetch import ytdlp
from core.fetch.discord_cdn import fetch_attachment
from core.fetch.ytdlp_install import javascript_runtime
from core.i18n.catalog import error_sentence
from core.proxy.proxy import FetchProxy
from core.sandbox.landlock import landlock_abi
from core.sandbox.supervisor import used_bytes
from core.settings import Settings
from tests.core.fetch.servers import Exchange, Server
from tests.support.processes import disregard_others, living_children

SONG = 'print(\'{"song": {"title": "x"}}\', flush=True)\n'

Pretend = Callable[[str], None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Put a Python program in yt-dlp's place; what it reads on standard input is what yt-dlp would."""
    return lambda code: monkeypatch.setattr(ytdlp, "YTDLP", (sys.executable, "-I", "-c", code))


@pytest.fixture(autouse=True)
async def no_process_is_left() -> AsyncIterator[None]:
    disregard_others()
    yield
    assert not living_children()


async def failure(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, path: str = "/song.mp3"
) -> ErrorCode:
    with pytest.raises(GenreGenieError) as caught:
        await ytdlp.fetch_link(server.url(path), directory, proxy=proxy, settings=settings)
    return caught.value.code


async def test_one_that_hangs_meets_the_deadline(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path, pretend: Pretend
) -> None:
    pretend("import time; time.sleep(600)")
    assert await failure(server, proxy, make(job_timeout_s=1.0), directory) == "timeout"


async def test_one_that_does_not_read_meets_the_deadline_too(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path, pretend: Pretend
) -> None:
    pretend("import os, time; os.close(0); os.close(1); os.close(2); time.sleep(600)")
    assert await failure(server, proxy, make(job_timeout_s=1.0), directory) == "timeout"


async def test_what_it_started_ends_with_it(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path, pretend: Pretend
) -> None:
    pretend(
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "time.sleep(600)"
    )
    assert await failure(server, proxy, make(job_timeout_s=2.0), directory) == "timeout"


async def test_what_it_left_running_ends_when_it_is_done(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend
) -> None:
    pretend(
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=2)\n"
        "sys.exit(1)"
    )
    async with asyncio.timeout(120):
        assert await failure(server, proxy, settings, directory) == "internal"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("print('what?')", "internal"),
        ("print('[1, 2]')", "internal"),
        ('print(\'{"song": {"title": ["x"]}}\')', "internal"),
        ('print(\'{"song": {"duration": -5}}\')', "internal"),
        ('print(\'{"song": {"duration": NaN}}\')', "internal"),
        ('print(\'{"song": {}, "more": 1}\')', "internal"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 9)", "internal"),
        ("print('x' * 10_000_000)", "unsupported-link"),
        ("print('[' * 100_000)", "internal"),
        ("import sys; sys.exit(3)", "internal"),
        ("import os; os.kill(os.getpid(), 9)", "internal"),
        ("import sys; sys.stderr.write('x' * 10_000_000); sys.exit(1)", "internal"),
        (SONG, "unsupported-link"),
        (SONG + "open('other', 'w').write('x')", "unsupported-link"),
        (SONG + "import os; os.symlink('/etc/passwd', 'media')", "unsupported-link"),
        (SONG + "import os; os.mkdir('media')", "unsupported-link"),
        (SONG + "import os; os.mkfifo('media')", "unsupported-link"),
        ('print(\'{"song": {"is_live": true}}\')', "live-stream"),
        ('print(\'{"song": {"live_status": "is_upcoming"}}\')', "live-stream"),
        ('print(\'{"song": {"duration": 99999}}\')', "too-long"),
        ('print(\'{"progress": {"total_bytes": 99999999999}}\')', "too-large"),
    ],
)
async def test_nonsense_is_not_believed(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend, program: str, code: str
) -> None:
    pretend(program)
    assert await failure(server, proxy, settings, directory) == code


@pytest.mark.parametrize("program", [("/nowhere/python", "-m", "yt_dlp"), (sys.executable, "-I", "-m", "yt_dlp_gone")])
async def test_a_missing_yt_dlp_is_internal(
    server: Server,
    proxy: FetchProxy,
    settings: Settings,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    program: tuple[str, ...],
) -> None:
    monkeypatch.setattr(ytdlp, "YTDLP", program)
    assert await failure(server, proxy, settings, directory) == "internal"
    assert "yt-dlp" in caplog.text


NO_SOUND = 'print(\'{"failure": {"errors": ["NoSoundError"], "extractor": "youtube"}}\'); raise SystemExit(1)'


async def test_youtube_without_a_javascript_runtime_is_said_as_it_is(
    server: Server,
    proxy: FetchProxy,
    settings: Settings,
    directory: Path,
    pretend: Pretend,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ytdlp, "javascript_runtime", lambda: None)
    pretend(NO_SOUND)
    with pytest.raises(GenreGenieError) as caught:
        await ytdlp.fetch_link(server.url("/watch"), directory, proxy=proxy, settings=settings)
    assert (caught.value.code, caught.value.params) == ("unavailable", {"site": "YouTube"})
    assert "YouTube" in error_sentence(caught.value, "es")
    assert "doctor" in caplog.text


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://cdn.discordapp.com/attachments/1/2/a.mp3?ex=1", "expired-link"),
        ("https://example.com/a", "unavailable"),
    ],
)
async def test_a_file_that_discord_no_longer_gives_has_expired(
    proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend, url: str, code: str
) -> None:
    pretend('print(\'{"failure": {"errors": ["HTTPError"], "status": 404}}\'); raise SystemExit(1)')
    with pytest.raises(GenreGenieError) as caught:
        await ytdlp.fetch_link(url, directory, proxy=proxy, settings=settings)
    assert caught.value.code == code


RUNTIME = """
import json, shlex, subprocess, sys, yt_dlp
from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP
options = yt_dlp.parse_options(shlex.split(sys.stdin.read())).ydl_opts
with yt_dlp.YoutubeDL(options) as downloader:
    runtime = downloader._js_runtimes["deno"].info
command = [runtime.path, "run", *DenoJCP._DENO_BASE_OPTIONS, "-"]
done = subprocess.run(command, input="console.log(6 * 7)", capture_output=True, text=True)
print(json.dumps({"song": {"title": f"{runtime.supported} {done.stdout.strip()}"}}))
open("media", "w").close()
"""


@pytest.mark.skipif(javascript_runtime() is None, reason="deno is not installed")
async def test_yt_dlp_can_run_the_javascript_runtime_in_its_sandbox(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend
) -> None:
    pretend(RUNTIME)
    fetched = await ytdlp.fetch_link(server.url("/watch"), directory, proxy=proxy, settings=settings)
    assert fetched.title == "True 42"


async def test_one_that_swells_is_killed(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend
) -> None:
    pretend("import time; hoard = [bytearray(b'x' * 2**26) for _ in range(12)]; time.sleep(600)")
    async with asyncio.timeout(120):
        assert await failure(server, proxy, settings, directory) == "unsupported-link"


async def test_what_it_starts_counts_as_its_own(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend
) -> None:
    pretend(
        "import subprocess, sys\n"
        "hoard = 'import time; hoard = bytearray(b\"x\" * 2**28); time.sleep(600)'\n"
        "for child in [subprocess.Popen([sys.executable, '-c', hoard]) for _ in range(3)]: child.wait()"
    )
    async with asyncio.timeout(120):
        assert await failure(server, proxy, settings, directory) == "unsupported-link"


async def test_one_that_fills_the_disk_is_killed(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path, pretend: Pretend
) -> None:
    pretend("import time\nfor i in range(9): open(f'{i}', 'wb').write(b'x' * 2**20)\ntime.sleep(600)")
    async with asyncio.timeout(120):
        assert await failure(server, proxy, make(max_file_mb=1), directory) == "too-large"


async def test_one_file_over_the_limit_is_not_written(
    server: Server, proxy: FetchProxy, make: Callable[..., Settings], directory: Path, pretend: Pretend
) -> None:
    pretend("import signal; open('media', 'wb').write(b'x' * 2**24)")
    assert await failure(server, proxy, make(max_file_mb=1), directory) == "internal"  # it says nothing
    assert used_bytes(directory) <= 2 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("fetch", [ytdlp.fetch_link, fetch_attachment])
async def test_a_full_disk_is_busy(
    server: Server, proxy: FetchProxy, settings: Settings, small_disk: Path, fetch: Callable[..., Awaitable[object]]
) -> None:
    url = server.serve("/song.mp3", b"\xff\xfb" * 2**20, "audio/mpeg")
    with pytest.raises(GenreGenieError) as caught:
        await fetch(url, small_disk, proxy=proxy, settings=settings)
    assert caught.value.code == "busy"


async def test_cancelling_ends_it(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend
) -> None:
    pretend("import time; open('here', 'w').close(); time.sleep(600)")
    fetching = asyncio.create_task(ytdlp.fetch_link(server.url("/song.mp3"), directory, proxy=proxy, settings=settings))
    await started(directory / "out" / "here")
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.005, 0.01, 0.03, 0.1, 0.3])
async def test_cancelling_at_any_moment_leaves_nothing(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend, seconds: float
) -> None:
    pretend("import time; time.sleep(600)")
    fetching = asyncio.create_task(ytdlp.fetch_link(server.url("/song.mp3"), directory, proxy=proxy, settings=settings))
    await asyncio.sleep(seconds)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def started(sign: Path) -> None:
    """Wait for a file that the child makes."""
    async with asyncio.timeout(120):
        while not await asyncio.to_thread(sign.exists):  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(0.02)


LOOK = """
import json, os, socket, sys
config = sys.stdin.read()
def attempt(action):
    try:
        action()
        return "done"
    except OSError as error:
        return type(error).__name__
def connect(port):
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
port = int(config.split("@127.0.0.1:")[1].split()[0].strip("'"))
seen = {
    "environment": dict(os.environ), "arguments": open("/proc/self/cmdline").read() if LANDLOCK < 1 else sys.argv,
    "config": config, "cwd": os.getcwd(), "group": os.getpgid(0) == os.getpid(),
    "passwd": attempt(lambda: open("/etc/passwd").read()), "project": attempt(lambda: os.listdir(PROJECT)),
    "data": attempt(lambda: open(DATA).read()), "write": attempt(lambda: open(DATA, "a").write("x")),
    "parent": attempt(lambda: open(f"/proc/{os.getppid()}/environ").read()),
    "kill": attempt(lambda: os.kill(os.getppid(), 0)),
    "forbidden": attempt(lambda: connect(FORBIDDEN)), "proxy": attempt(lambda: connect(port)),
    "listen": attempt(lambda: socket.create_server(("127.0.0.1", 0)).close()),
}
json.dump(seen, open("seen.json", "w"))
"""


@pytest.fixture
async def seen(
    server: Server,
    forbidden: Server,
    proxy: FetchProxy,
    settings: Settings,
    directory: Path,
    tmp_path: Path,
    pretend: Pretend,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, object]:
    """What a child of ours sees of this machine."""
    monkeypatch.setenv("DISCORD_TOKEN", "planted-token")
    monkeypatch.setenv("GENREGENIE_DATABASE_URL", "postgresql://planted-password@db/x")
    monkeypatch.setenv("HTTPS_PROXY", "http://planted-proxy:1")
    monkeypatch.setenv("NO_PROXY", "*")
    data = tmp_path / "bot.sqlite"
    data.write_text("planted-row", "utf-8")
    known = {"LANDLOCK": landlock_abi(), "PROJECT": os.getcwd(), "DATA": str(data), "FORBIDDEN": forbidden.port}
    pretend("".join(f"{name} = {value!r}\n" for name, value in known.items()) + LOOK)
    await failure(server, proxy, settings, directory)
    found: dict[str, object] = json.loads((directory / "out" / "seen.json").read_text("utf-8"))
    return found


async def test_a_child_gets_its_secret_on_standard_input_only(seen: dict[str, object], directory: Path) -> None:
    outside = json.dumps([seen["environment"], seen["arguments"]])
    assert "planted" not in json.dumps(seen)
    assert "genregenie:" in str(seen["config"])
    assert "genregenie:" not in outside
    assert "song.mp3" not in outside
    assert not any(name.upper().endswith("PROXY") for name in seen["environment"])  # type: ignore[union-attr]
    assert seen["cwd"] == str(directory / "out")
    assert seen["group"]


@pytest.mark.skipif(landlock_abi() < 1, reason="this kernel has no Landlock")
async def test_a_child_sees_no_files_but_its_own(seen: dict[str, object]) -> None:
    assert [seen[what] for what in ("passwd", "project", "data", "write", "parent")] == ["PermissionError"] * 5


@pytest.mark.skipif(landlock_abi() < 4, reason="this kernel's Landlock knows no TCP")
async def test_a_child_reaches_the_proxy_and_nothing_else(seen: dict[str, object]) -> None:
    assert seen["proxy"] == "done"
    assert seen["forbidden"] == seen["listen"] == "PermissionError"


@pytest.mark.skipif(landlock_abi() < 6, reason="this kernel's Landlock knows no signals")
async def test_a_child_cannot_signal_the_bot(seen: dict[str, object]) -> None:
    assert seen["kill"] == "PermissionError"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has such a score")
async def test_the_bot_outlives_its_children_when_memory_is_short(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, pretend: Pretend
) -> None:
    pretend("import time; open('here', 'w').close(); time.sleep(600)")
    fetching = asyncio.create_task(ytdlp.fetch_link(server.url("/song.mp3"), directory, proxy=proxy, settings=settings))
    await started(directory / "out" / "here")
    guard, child = living_children()
    assert score(child.pid) == 1000
    assert score(guard.pid) < 1000
    assert score(os.getpid()) < 1000
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text("ascii"))


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_a_clock_that_jumps_ends_no_job(
    server: Server, proxy: FetchProxy, settings: Settings, directory: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    async def jumping(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsong")
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + jump)
        await asyncio.sleep(0.2)
        await exchange.send(b"song")

    server.routes["/song.mp3"] = jumping
    fetched = await fetch_attachment(server.url("/song.mp3"), directory, proxy=proxy, settings=settings)
    assert fetched.path.read_bytes() == b"songsong"


PARENT = """
import asyncio, sys
from pathlib import Path
from core.fetch import ytdlp
from core.fetch.discord_cdn import fetch_attachment
from core.sandbox.supervisor import used_bytes
from core.proxy.proxy import FetchProxy
from core.settings import Settings
ytdlp.YTDLP = (sys.executable, "-I", "-c", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)")
async def main():
    async with FetchProxy() as proxy:
        await ytdlp.fetch_link("https://example.com/", Path(sys.argv[1]), proxy=proxy, settings=Settings())
asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux kills orphans for us")
def test_a_killed_bot_takes_its_child_along(directory: Path) -> None:
    sign = directory / "out" / "pid"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(directory)]) as parent:
        deadline = time.monotonic() + 60
        while not (sign.exists() and sign.read_text("ascii")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child = psutil.Process(int(sign.read_text("ascii")))
        parent.send_signal(signal.SIGKILL)
        parent.wait(60)
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
