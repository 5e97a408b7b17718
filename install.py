"""Makes `.venv` and installs GenreGenie into it: `python3 install.py`, or with everything that tests need: `--dev`.

`make demo` and `make test` call it, and it can be called where there is no make. It goes on where an earlier try broke
off, does nothing where nothing is to be done, and says what is missing before anything is downloaded. It uses the
standard library only, and is written so that Python 3.6 can read it, to be able to say that it is too old.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
FINISHED = VENV / "installed.json"
"""What is installed: `runtime` or `dev` → the digest of what it was installed from."""
UNFINISHED = VENV / "unfinished"
"""Is there while something is being installed."""

OLDEST = (3, 11)
NEWEST = {"runtime": (3, 14), "dev": (3, 13)}
"""LiteRT has wheels for Python up to 3.14, TensorFlow, which training and its tests use, up to 3.13."""
PROBE = """
import sys
from importlib.util import find_spec
print(*sys.version_info[:2], *(name for name in ("pip", "genregenie") if find_spec(name)))
"""


class MissingError(Exception):
    """Something is missing that this script cannot put there: the message names it, and the command that does."""


def main() -> int:
    """Install; the exit status is 0 where everything is there, 1 where something is missing or went wrong."""
    parser = argparse.ArgumentParser(description="Install GenreGenie into .venv, in this folder.")
    parser.add_argument("--dev", action="store_true", help="everything: training, the page, tests and tools")
    kind = "dev" if parser.parse_args().dev else "runtime"
    os.chdir(str(ROOT))
    try:
        check_platform()
        if not fits(sys.version_info[:2], kind):
            other = fitting_python(kind)
            print(f"{sys.executable} is Python {version()}, which does not fit: going on with {other}", flush=True)
            return subprocess.call([other, *sys.argv])
        install(kind)
    except MissingError as problem:
        print(f"\n{problem}\n", file=sys.stderr)
    except PermissionError as problem:
        print(f"\n{problem.filename} is another user's. Delete it, or work on a copy of your own.\n", file=sys.stderr)
    except subprocess.CalledProcessError:
        print("\nThe installation broke off, for the reason above. The same command goes on with it.", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on.", file=sys.stderr)
    else:
        return 0
    return 1


def version() -> str:
    """Give the version of this Python: `3.11`."""
    return "{}.{}".format(*sys.version_info)


def check_platform() -> None:
    """Refuse machines for which LiteRT, which runs the models, has no wheels.

    Raises:
        MissingError: this is one.
    """
    why = ""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        why = "an Intel Mac"
    elif platform.libc_ver()[0] != "glibc" and any(Path("/lib").glob("ld-musl-*")):
        why = "a Linux with musl instead of glibc, such as Alpine"
    elif sys.maxsize < 2**32:
        why = "a 32-bit Python"
    if why:
        raise MissingError(f"GenreGenie cannot run on {why}: LiteRT, which runs its models, is not built for it.")


def fits(found: "tuple[int, ...]", kind: str) -> bool:
    """Whether everything that `kind` needs can be installed for a version of Python."""
    return OLDEST <= found <= NEWEST[kind]


def minors(kind: str) -> "list[int]":
    """Give the versions of Python 3 that fit, the newest first."""
    return list(range(NEWEST[kind][1], OLDEST[1] - 1, -1))


def fitting_python(kind: str) -> str:
    """Give the path of another Python on this machine that fits.

    Raises:
        MissingError: there is none.
    """
    for minor in minors(kind):
        command = ["py", f"-3.{minor}"] if os.name == "nt" else [f"python3.{minor}"]
        # A name may be there and lead nowhere, as those of pyenv do.
        path = output_of([*command, "-c", "import sys; print(sys.executable)"]).strip()
        if path:
            return path
    oldest, newest = ("{}.{}".format(*limit) for limit in (OLDEST, NEWEST[kind]))
    what = "The tests need" if kind == "dev" else "GenreGenie needs"
    raise MissingError(f"{what} Python {oldest} to {newest}, and this is {version()}. {python_remedy(kind)}")


def python_remedy(kind: str) -> str:
    """Say how a Python that fits is installed here."""
    newest = "{}.{}".format(*NEWEST["dev"])
    command = ""
    if sys.platform == "darwin":
        command = f"brew install python@{newest}"
    elif os.name == "nt":
        command = f"winget install Python.Python.{newest}"
    elif shutil.which("apt-cache"):
        policy = output_of(["apt-cache", "policy", *(f"python3.{minor}-venv" for minor in minors(kind))])
        offered = re.findall(r"^(\S+):\n.*\n +Candidate: \d", policy, re.MULTILINE)
        command = apt_install(offered[0]) if offered else ""
    elif shutil.which("dnf"):
        command = f"{sudo()}dnf install -y python{newest}"
    if command:
        return f"Install one and try again; it will be found:\n\n    {command}"
    return f"Install one, and name it:\n\n    make {'test' if kind == 'dev' else 'demo'} PYTHON=/path/to/python{newest}"


def apt_install(package: str) -> str:
    """Give the command that installs a package of Debian's or Ubuntu's."""
    return f"{sudo()}apt-get update && {sudo()}apt-get install -y {package}"


def sudo() -> str:
    """Give what a command for root begins with."""
    return "" if os.geteuid() == 0 else "sudo "


def output_of(command: "list[str]") -> str:
    """Give what a command prints, or nothing where it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def install(kind: str) -> None:
    """Bring `.venv` to what `requirements/<kind>.txt` and `pyproject.toml` say.

    Raises:
        MissingError: it cannot be made.
        subprocess.CalledProcessError: pip failed, and has said why.
    """
    found = output_of([str(PYTHON), "-I", "-c", PROBE]).split()
    sound = "pip" in found and fits((int(found[0]), int(found[1])), kind) and not UNFINISHED.exists()
    finished = read_finished() if sound and "genregenie" in found else {}
    if finished.get(kind) == digest(kind):
        return
    if not sound:
        make_venv()
    UNFINISHED.touch()
    print("Installing into .venv; the first time this takes a minute or more ...", flush=True)
    pip("-m", "pip", "install", "--quiet", "--require-hashes", "-r", f"requirements/{kind}.txt")
    pip("-m", "pip", "install", "--quiet", "--no-deps", "--editable", ".")
    # dev.txt has the same versions of all that the program needs.
    finished.update({name: digest(name) for name in ("runtime", kind)})
    FINISHED.write_text(json.dumps(finished))
    UNFINISHED.unlink()


def read_finished() -> "dict[str, str]":
    """Read what has been installed; nothing where that is not known."""
    try:
        known = json.loads(FINISHED.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def digest(kind: str) -> str:
    """Give the digest of what decides what is installed; of the folder too, since scripts name it."""
    content = hashlib.sha256(str(ROOT).encode())
    for name in (f"requirements/{kind}.txt", "pyproject.toml"):
        content.update((ROOT / name).read_bytes())
    return content.hexdigest()


def make_venv() -> None:
    """Make `.venv` anew, whatever is in its place.

    Raises:
        MissingError: this Python has neither ensurepip nor pip.
    """
    ensurepip = can_import("ensurepip")
    if not ensurepip and not can_import("pip"):
        remedy = f"install pip for {sys.executable}"
        if shutil.which("apt-get"):
            remedy = apt_install(f"python{version()}-venv")
        raise MissingError(f"Python {version()} is here, its pip is not. Install it and try again:\n\n    {remedy}")
    clear(VENV)
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    command = [sys.executable, "-m", "venv", str(VENV)]
    if ensurepip:
        subprocess.run(command, check=True)
    else:
        # Debian has ensurepip in a package of its own, python3-venv. Its pip can do the same from outside.
        subprocess.run([*command, "--without-pip"], check=True)
        pip("-m", "pip", "--python", str(PYTHON), "install", "--quiet", "pip", python=sys.executable)


def can_import(name: str) -> bool:
    """Whether this Python has a module."""
    return subprocess.call([sys.executable, "-c", f"import {name}"], stderr=subprocess.DEVNULL) == 0


def clear(place: Path) -> None:
    """Empty a folder, or delete what stands in its place; a link to a folder stays."""
    if not place.is_dir():
        if place.exists() or place.is_symlink():
            place.unlink()
        return
    for path in place.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        else:
            path.unlink()


def pip(*arguments: str, python: str = str(PYTHON)) -> None:
    """Run pip, wherever the user's own settings have packages go.

    Raises:
        subprocess.CalledProcessError: it failed, and has said why.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PIP_TARGET", "PIP_PREFIX")}
    environment.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    subprocess.run([python, *arguments], check=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())
