"""Jobs' directories: private, bounded, and gone whatever happens."""

import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import GenreGenieError
from core.fetch.tempfiles import TemporaryFiles

HOLDER = """
import sys, time
from pathlib import Path
from core.fetch.tempfiles import TemporaryFiles
with TemporaryFiles(Path(sys.argv[1]), quota=1000, min_free=0) as files, files.job(10) as directory:
    (directory / "song").write_bytes(b"x")
    print(directory, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tmp"


@pytest.fixture
def files(root: Path) -> Iterator[TemporaryFiles]:
    with TemporaryFiles(root, quota=1000, min_free=0) as opened:
        yield opened


@pytest.fixture
def holder(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has a job under way, and that job's directory."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_jobs_directory_is_private_and_goes_with_the_job(files: TemporaryFiles) -> None:
    with files.job(10) as directory:
        (directory / "deep").mkdir()
        (directory / "deep" / "song").write_bytes(b"x")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    assert not directory.exists()


def test_a_job_that_fails_leaves_nothing(files: TemporaryFiles) -> None:
    seen = []

    def fail() -> None:
        with files.job(10) as directory:
            (directory / "song").write_bytes(b"x")
            seen.append(directory)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not seen[0].exists()
    assert files.reserved == 0


def test_jobs_over_the_quota_are_busy(files: TemporaryFiles) -> None:
    with files.job(600):
        with pytest.raises(GenreGenieError) as caught, files.job(600):
            pass
        assert caught.value.code == "busy"
        with files.job(400):
            pass
    with files.job(1000):
        pass


def test_what_a_job_has_not_written_is_there_for_others(files: TemporaryFiles) -> None:
    with files.job(600) as directory:
        files.give_back(directory, 200)
        assert files.reserved == 200
        with files.job(800):
            pass
        files.give_back(directory, 300)
        assert files.reserved == 200, "nothing is reserved twice"
    assert files.reserved == 0


def test_folders_that_nobody_may_enter_go_too(files: TemporaryFiles) -> None:
    with files.job(10) as directory:
        hidden = directory / "hidden"
        (hidden / "deeper").mkdir(parents=True)
        (hidden / "deeper" / "song").write_bytes(b"x")
        (hidden / "deeper").chmod(0o300)
        hidden.chmod(0o300)
    assert not directory.exists()


def test_a_short_disk_is_busy(root: Path) -> None:
    free = shutil.disk_usage(root.parent.parent).free
    with TemporaryFiles(root, quota=10 * free, min_free=free // 2) as files:
        with files.job(10):
            pass
        with pytest.raises(GenreGenieError) as caught, files.job(free):
            pass
    assert caught.value.code == "busy"


def test_a_disk_that_takes_nothing_is_busy_and_costs_no_quota(files: TemporaryFiles, tmp_path: Path) -> None:
    with files.job(10) as directory:
        own, moved = directory.parent, tmp_path / "moved"
    own.rename(moved)
    own.touch()  # nobody can make a directory in it
    for _ in range(3):
        with pytest.raises(GenreGenieError) as caught, files.job(600):
            pass
        assert caught.value.code == "busy"
    own.unlink()
    moved.rename(own)
    assert files.reserved == 0
    with files.job(1000):
        pass


def test_what_a_killed_process_left_goes_at_the_next_start(
    root: Path, holder: tuple[subprocess.Popen[str], Path]
) -> None:
    process, left = holder
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert (left / "song").exists()
    with TemporaryFiles(root, quota=1000, min_free=0):
        assert not left.exists()
        assert not left.parent.exists()


def test_a_live_process_keeps_its_files(root: Path, holder: tuple[subprocess.Popen[str], Path]) -> None:
    _, kept = holder
    for _ in range(3):
        with TemporaryFiles(root, quota=1000, min_free=0) as files, files.job(10):
            assert (kept / "song").exists()
    assert (kept / "song").exists()


def test_closing_removes_all_of_this_process(root: Path) -> None:
    with TemporaryFiles(root, quota=1000, min_free=0) as files, files.job(10):
        assert [entry for entry in root.iterdir() if entry.is_dir()]
    assert not [entry for entry in root.iterdir() if entry.is_dir()]


def test_a_link_among_the_leftovers_is_not_followed(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"x")
    root.mkdir(parents=True)
    (root / "left").symlink_to(precious)
    with TemporaryFiles(root, quota=1000, min_free=0):
        pass
    assert (precious / "file").exists()


RACER = """
import sys, time
from pathlib import Path
from core.fetch.tempfiles import TemporaryFiles
for _ in range(25):
    with TemporaryFiles(Path(sys.argv[1]), quota=1000, min_free=0) as files, files.job(10) as directory:
        (directory / "song").write_bytes(b"x")
        time.sleep(0.002)
        assert (directory / "song").exists()
"""


def test_processes_that_start_at_the_same_time_keep_their_directories(root: Path) -> None:
    racers = [subprocess.Popen([sys.executable, "-c", RACER, str(root)]) for _ in range(4)]
    assert [racer.wait(120) for racer in racers] == [0] * 4
    assert not [entry for entry in root.iterdir() if entry.is_dir()]


def test_two_in_one_process_keep_their_directories(root: Path, files: TemporaryFiles) -> None:
    with files.job(10) as directory:
        with TemporaryFiles(root, quota=1000, min_free=0) as others, others.job(10) as other:
            assert other.exists()
            assert directory.exists()
        assert directory.exists()


def test_another_thread_may_close(root: Path) -> None:
    files = TemporaryFiles(root, quota=1000, min_free=0)
    files.open()
    thread = threading.Thread(target=files.close)
    thread.start()
    thread.join(30)
    assert not [entry for entry in root.iterdir() if entry.is_dir()]
