"""install.py on a project of three files: with the real venv and the real pip, and without a network."""

import ensurepip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.data import ROOT
from tests.support.processes import wait_until

BACKEND = """
import os, time, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    if os.path.exists("slow"):
        open("started", "w").close()
        time.sleep(600)
    name = "genregenie-0-py3-none-any.whl"
    info = "genregenie-0.dist-info/"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("genregenie.pth", os.getcwd())
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: genregenie\\nVersion: 0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "genregenie"
version = "0"
"""
VERSION = "{}.{}".format(*sys.version_info)
AS_IF_OLD = """
import runpy, sys
sys.version_info = (3, 9, 2)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder, with a blank in its name, of a project that needs nothing from anywhere."""
    folder = tmp_path / "my project"
    (folder / "requirements").mkdir(parents=True)
    for kind in ("runtime", "dev"):
        (folder / "requirements" / f"{kind}.txt").write_text("# nothing\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "genregenie.py").touch()
    shutil.copy(ROOT / "install.py", folder)
    return folder


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), "PIP_NO_INDEX": "1"} | variables


def install(project: Path, *arguments: str, old: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run install.py from another folder."""
    command = [sys.executable, *(("-c", AS_IF_OLD) if old else ()), str(project / "install.py"), *arguments]
    return subprocess.run(
        command,
        cwd=project.parent,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def assert_installed(project: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    for command in (["-c", "import genregenie"], ["-m", "pip", "--version"]):
        subprocess.run([str(project / ".venv" / PYTHON), *command], cwd=project.parent, check=True, timeout=120)


def lacking(folder: Path, *modules: str) -> str:
    """Make a PYTHONPATH on which these modules cannot be imported."""
    folder.mkdir()
    for module in modules:
        (folder / f"{module}.py").write_text("raise ImportError")
    return str(folder)


def without_pip(venv: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)


def empty_folder(venv: Path) -> None:
    venv.mkdir()


def without_python(venv: Path) -> None:
    without_pip(venv)
    shutil.rmtree((venv / PYTHON).parent)


def of_a_python_that_is_gone(venv: Path) -> None:
    without_python(venv)
    (venv / PYTHON).parent.mkdir()
    (venv / PYTHON).symlink_to(venv / "gone")


def with_the_marks_of_finished_work(venv: Path) -> None:
    without_pip(venv)
    for name in ("runtime.done", "dev.done"):
        (venv / name).touch()
    (venv / "installed.json").write_text('{"runtime": "0"}')


def a_file(venv: Path) -> None:
    venv.write_text("?")


def a_link_to_nowhere(venv: Path) -> None:
    venv.symlink_to(venv.parent / "nowhere")


@pytest.mark.parametrize(
    "leave",
    [
        without_pip,
        # Each makes an environment, which takes seconds: one stands for all where time counts.
        *(
            pytest.param(leave, marks=pytest.mark.slow)
            for leave in (
                empty_folder,
                without_python,
                of_a_python_that_is_gone,
                with_the_marks_of_finished_work,
                a_file,
                a_link_to_nowhere,
            )
        ),
    ],
)
def test_it_goes_on_where_an_earlier_try_broke_off(project: Path, leave: Callable[[Path], None]) -> None:
    leave(project / ".venv")
    assert_installed(project, install(project))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills a process group")
def test_it_goes_on_where_it_was_killed_while_it_installed(project: Path) -> None:
    (project / "slow").touch()
    with subprocess.Popen(
        [sys.executable, str(project / "install.py")], env=environment(), start_new_session=True
    ) as process:
        wait_until((project / "started").exists, 240, "the build")
        os.killpg(process.pid, signal.SIGKILL)
    (project / "slow").unlink()
    (project / ".venv" / "half of something").touch()
    assert_installed(project, install(project))
    assert not (project / ".venv" / "half of something").exists()


@pytest.mark.slow
def test_it_installs_what_has_changed_and_nothing_else(project: Path) -> None:
    assert_installed(project, install(project, "--dev"))
    own = project / ".venv" / "a developer's own"
    own.touch()
    for kind in ((), ("--dev",)):
        assert install(project, *kind).stdout == "", "everything is there already"
    (project / "requirements" / "runtime.txt").write_text("# nothing else\n")
    assert install(project, "--dev").stdout == ""
    assert "Installing" in install(project).stdout
    (project / "pyproject.toml").write_text(PYPROJECT + "# changed\n")
    assert "Installing" in install(project, "--dev").stdout
    assert own.exists()


@pytest.mark.slow
def test_an_environment_that_was_made_by_hand_is_kept(project: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(project / ".venv")], check=True, timeout=240)
    own = project / ".venv" / "own"
    own.touch()
    assert_installed(project, install(project, PIP_USER="1"))
    assert own.exists()


@pytest.mark.slow
def test_pip_alone_is_enough(project: Path, tmp_path: Path) -> None:
    wheels = Path(ensurepip.__file__).parent / "_bundled"
    if not list(wheels.glob("pip-*.whl")):
        pytest.skip("this Python carries no wheel of pip to install offline")
    path = lacking(tmp_path / "lacking", "ensurepip")
    assert_installed(project, install(project, PYTHONPATH=path, PIP_FIND_LINKS=str(wheels)))


def test_a_missing_pip_is_told_with_one_command_before_anything_is_made(project: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text("#!/bin/sh\n")
    (programs / "apt-get").chmod(0o755)
    path = lacking(tmp_path / "lacking", "ensurepip", "pip")
    done = install(project, PYTHONPATH=path, PATH=str(programs))
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"apt-get install -y python{VERSION}-venv" in done.stderr
    assert not (project / ".venv").exists()
    without_pip(project / ".venv")  # as Debian's own venv leaves it
    assert install(project, PYTHONPATH=path, PATH=str(programs)).returncode == 1
    assert_installed(project, install(project))


def test_an_old_python_is_told_with_the_remedy(project: Path, tmp_path: Path) -> None:
    done = install(project, old=True, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "GenreGenie needs Python 3.11 to 3.14, and this is 3.9. " in done.stderr
    assert "PYTHON=" in done.stderr or "install" in done.stderr
    assert not (project / ".venv").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows finds its Pythons by `py`")
def test_an_old_python_gives_way_to_one_that_fits(project: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for minor in range(11, 15):
        (programs / f"python3.{minor}").write_text("#!/bin/sh\nexit 127\n")  # as pyenv's names that lead nowhere
        (programs / f"python3.{minor}").chmod(0o755)
    (programs / f"python{VERSION}").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    done = install(project, old=True, PATH=str(programs))
    assert_installed(project, done)
    assert "3.9, which does not fit: going on with" in done.stdout


def test_a_folder_of_somebody_else_is_told_in_one_line(project: Path) -> None:
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("may write everywhere")
    (project / ".venv").mkdir(mode=0o500)
    done = install(project)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ".venv" in done.stderr
