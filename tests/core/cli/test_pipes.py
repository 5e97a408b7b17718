import contextlib
import json
import os
import resource
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.constants import GENRES
from core.settings import MIB
from tests.core.cli.command import COMMAND, environment, lines, run
from tests.support.processes import heed_interrupts, wait_until

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A FIFO that nobody has opened."""
    path = tmp_path / "song.fifo"
    try:
        os.mkfifo(path)
    except (AttributeError, OSError) as error:
        pytest.skip(f"no FIFO can be made here: {error}")
    return path


@contextlib.contextmanager
def writing(data: bytes, fifo: Path, *, stays_open: bool = False) -> Iterator[None]:
    """Write into a FIFO meanwhile, and go on when its reader goes; where it `stays_open`, it has no end meanwhile."""
    over = threading.Event()
    if not stays_open:
        over.set()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), fifo.open("wb", buffering=0) as pipe:
            pipe.write(data)
            over.wait()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
    thread.join(30)
    assert not thread.is_alive()


def shell(command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash, in which `$classify` is the command with --json."""
    return subprocess.run(
        ["bash", "-c", command],
        env=environment(classify=f"{shlex.join(COMMAND)} --json", **variables),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def code(done: "subprocess.CompletedProcess[str]") -> str:
    """The code of the only input's error."""
    (one,) = lines(done)
    assert done.returncode == 1
    assert done.stderr == ""
    return str(one["error"]["code"])


@pytest.fixture(scope="module")
def verdict(song: Path) -> dict[str, object]:
    """What is printed of the song where it is named."""
    (one,) = lines(run("--json", song))
    return one


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("cat {song} | $classify -", "-"),
        ("$classify - < {song}", "-"),
        ("cat {song} | $classify /dev/stdin", "/dev/stdin"),
        ("$classify /dev/stdin < {song}", "/dev/stdin"),
        ("$classify <(cat {song})", "/dev/fd/63"),
        ("$classify /dev/fd/5 5< {song}", "/dev/fd/5"),
        ("(sleep 1; cat {song}) | $classify -", "-"),
    ],
)
def test_a_song_from_a_descriptor_has_the_files_verdict(
    song: Path, verdict: dict[str, object], line: str, source: str
) -> None:
    done = shell(line.format(song=song))
    assert (done.returncode, done.stderr) == (0, "")
    (one,) = lines(done)
    assert one["source"] == source
    assert one["probabilities"] == verdict["probabilities"]


def test_several_pipes_keep_their_order(song: Path, long_song: Path) -> None:
    done = shell(f"$classify <(sleep 2; cat {long_song}) {song} <(cat {song})")
    assert done.returncode == 0
    assert [one["duration"] for one in lines(done)] == [90.0, 12.0, 12.0]


def test_a_fifo_is_read_to_its_end(fifo: Path, song: Path) -> None:
    with writing(song.read_bytes(), fifo):
        done = run("--json", fifo)
    (one,) = lines(done)
    assert (one["source"], one["genre"] in GENRES) == (str(fifo), True)


def test_a_fifo_that_nobody_writes_to_ends_in_timeout(fifo: Path) -> None:
    began = time.monotonic()
    done = run("--json", fifo, GENREGENIE_JOB_TIMEOUT_S="1")
    assert code(done) == "timeout"
    assert time.monotonic() - began < 60


def test_silent_pipes_keep_no_song_waiting(fifo: Path, song: Path) -> None:
    done = run("--json", *[fifo] * 7, song, "--workers", "2", GENREGENIE_JOB_TIMEOUT_S="5")
    assert [one.get("error", {}).get("code") for one in lines(done)] == [*["timeout"] * 7, None]


def test_a_pipe_that_goes_quiet_ends_in_timeout(fifo: Path, song: Path) -> None:
    with writing(song.read_bytes()[:100_000], fifo, stays_open=True):
        assert code(run("--json", fifo, GENREGENIE_JOB_TIMEOUT_S="2")) == "timeout"


def test_a_standard_input_that_stays_open_ends_in_timeout() -> None:
    reading, kept = os.pipe()
    try:
        done = run("--json", "-", options={"stdin": reading}, GENREGENIE_JOB_TIMEOUT_S="1")
    finally:
        os.close(reading)
        os.close(kept)
    assert code(done) == "timeout"


def test_an_endless_pipe_is_too_large() -> None:
    assert code(shell("yes | $classify -", GENREGENIE_MAX_FILE_MB="1")) == "too-large"


def test_an_endless_device_is_too_large() -> None:
    assert code(run("--json", "/dev/zero", GENREGENIE_MAX_FILE_MB="1")) == "too-large"


def test_a_pipe_of_just_the_allowed_size_is_read() -> None:
    line = "head -c {} /dev/zero | $classify -"
    assert code(shell(line.format(MIB), GENREGENIE_MAX_FILE_MB="1")) == "not-audio"
    assert code(shell(line.format(MIB + 1), GENREGENIE_MAX_FILE_MB="1")) == "too-large"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("$classify - < /dev/null", "not-audio"),
        ("$classify /dev/null", "not-audio"),
        ("$classify - <&-", "not-found"),
        ("$classify /dev/fd/77", "not-found"),
        # A pipe or a socket of the program itself, whichever it is by then.
        ("$classify /dev/fd/4", "not-found"),
    ],
)
def test_an_input_without_anything_says_so(line: str, expected: str) -> None:
    assert code(shell(line)) == expected


def test_a_fifo_in_a_folder_is_never_waited_for(fifo: Path) -> None:
    (fifo.parent / "folder").mkdir()
    fifo.rename(fifo.parent / "folder/pipe.wav")
    assert code(run("--json", fifo.parent / "folder")) == "not-audio"


def test_a_disk_without_room_for_the_copy_is_said_in_one_line(song: Path) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with song.open("rb") as file:
        done = run("--json", "-", options={"stdin": file, "preexec_fn": no_room})
    assert done.returncode == 1
    assert lines(done)[0]["error"]["code"] == "busy"
    assert done.stderr == "genregenie: temporary files cannot be written: File too large\n"


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_it_removes_the_copy(sign: signal.Signals, leaves_nothing: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=heed_interrupts,
    )
    assert process.stdin is not None
    process.stdin.write(b"RIFF")
    process.stdin.flush()
    wait_until(lambda: any(leaves_nothing.rglob("song")), 60, "the copy's beginning")
    process.send_signal(sign)
    assert process.wait(30) in (130, 143)
    with process:
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_a_picture_of_a_song_from_a_pipe(song: Path, tmp_path: Path) -> None:
    done = shell(f"cat {song} | $classify - --picture {tmp_path}/out.png")
    assert json.loads(done.stdout)["genre"] in GENRES
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
