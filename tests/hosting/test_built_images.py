"""The images, built by buildah and run as they are meant to be: as their own user, with a root that cannot be written.

The base image is made here (debootstrap and Debian's Python), since no registry of images is asked; what pip is told on
this machine, it is told in the build. Linux, as root, and only when asked for, in half an hour: `.ci/run images`.
"""

import ctypes
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.hosting.dockerfile import read_stages
from tests.support.data import ROOT

SUITE = "bookworm"
TAG = "of-this-test"
COMMANDS = {
    "bot": (("bot",), "DISCORD_TOKEN"),
    "page": (("web", "--host", "0.0.0.0"), "GENREGENIE_WEB_PASSWORD"),
    "worker": (("worker",), "GENREGENIE_QUEUE_URL"),
}
"""For each image: its command, and the setting without which it does not start."""
CLONE_NEWNS = 0x20000
"""`os.unshare` and its constants came with Python 3.12."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("GENREGENIE_TEST_IMAGES" not in os.environ, reason="takes half an hour: .ci/run images"),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("buildah", "debootstrap", "unshare", "setpriv")),
        reason="needs buildah, debootstrap and util-linux",
    ),
    pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="needs root, for control over file systems"),
]


class Buildah:
    """Buildah with a store of its own."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command; give what it prints."""
        store = ("--root", self._place / "store", "--runroot", self._place / "run", "--storage-driver", self.driver)
        done = subprocess.run(
            list(map(str, ("buildah", *store, *arguments))), capture_output=True, text=True, timeout=1_500, check=False
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"
        return done.stdout.strip()

    @property
    def driver(self) -> str:
        """Overlay where the kernel has it: the other driver copies every layer."""
        return "overlay" if "overlay" in Path("/proc/filesystems").read_text() else "vfs"


def pip_configuration(place: Path) -> list[str]:
    """Options that give a build what pip is configured with on this machine: where its packages come from."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    pairs = [line.partition("=") for line in told.splitlines()]
    settings = {name.rpartition(".")[2]: shlex.split(value)[0] for name, _, value in pairs if value}
    file = place / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    options = ["--volume", f"{file}:/etc/pip.conf:ro"]
    words = {word for value in settings.values() for word in value.split()}
    # An index in a folder leads to packages beside it.
    local = {str(Path(unquote(urlsplit(word).path)).parent) if word.startswith("file:") else word for word in words}
    for path in sorted(path for path in local if path.startswith("/") and Path(path).exists()):
        options += ["--volume", f"{path}:{path}:ro"]
    return options


def is_allowed(place: Path) -> bool:
    """Whether file systems can be mounted here."""
    told = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True, check=False
    )
    return told.returncode == 0


def keep_mounts_to_ourselves() -> None:
    """Leave the machine's namespace of mounts: what is mounted from here on ends with this process in any case."""
    assert ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def unmount_below(place: Path) -> None:
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if (mounted := line.split()[1]).startswith(f"{place}/"):
            subprocess.run(["umount", "--lazy", mounted], check=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The root folder of each image, built from the Dockerfile."""
    place = tmp_path_factory.mktemp("images")
    if not is_allowed(place):
        pytest.skip("file systems cannot be mounted here")
    keep_mounts_to_ourselves()
    buildah, base = Buildah(place), place / "base"
    packages = "--include=python3-minimal,python3-venv,ca-certificates"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", packages, SUITE, str(base)],
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"debootstrap made no base image: {made.stdout.strip().splitlines()[-1:]}")
    (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    try:
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, base, "/")
        buildah("commit", "--quiet", "--rm", container, f"python:{TAG}")
        build = ("build", "--pull-never", "--layers", "--isolation", "chroot", "--build-arg", f"PYTHON={TAG}")
        roots = {}
        for name in COMMANDS:
            buildah(*build, *pip_configuration(place), "--target", name, "--tag", f"genregenie-{name}", ROOT)
            roots[name] = Path(buildah("mount", buildah("from", "--pull-never", f"genregenie-{name}")))
        yield roots
    finally:
        unmount_below(place)  # also after a build that was broken off in the middle
        shutil.rmtree(place)


RUN = """
set -e
mount --rbind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o size=64m,mode=1777,noexec,nosuid,nodev tmpfs "$1/tmp"
mount -t tmpfs -o uid="$2",gid="$2",mode=0700 tmpfs "$1/data"
root=$1 user=$2
shift 2
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set=-all -- "$@"
"""


def run(root: Path, image: str, *arguments: str, song: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run an image's entry point as its user, in a root that cannot be written, with the volume as its only place."""
    stages = read_stages()
    [user] = stages[image].all("USER")
    [entry] = stages["program"].all("ENTRYPOINT")
    variables = {
        "PATH": "/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "GENREGENIE_DATA_DIR": "/data",
        "PYTHONPATH": "/app",
    }
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc"]
        + ["sh", "-c", RUN, "run", str(root), user.partition(":")[0], *json.loads(entry), *arguments],
        env=variables | {"TMPDIR": "/tmp"},
        input=song,
        capture_output=True,
        timeout=600,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


@pytest.mark.parametrize("image", COMMANDS)
def test_an_image_identifies_a_song_and_lacks_nothing(images: dict[str, Path], image: str) -> None:
    doctor = run(images[image], image, "doctor")
    assert (doctor.returncode, doctor.stderr) == (0, ""), doctor.stdout + doctor.stderr
    assert "missing" not in doctor.stdout
    song = run(images[image], image, "classify", "--json", "-", song=(ROOT / "examples" / "demo.ogg").read_bytes())
    assert song.returncode == 0, song.stderr
    assert json.loads(song.stdout)["genre"]


@pytest.mark.parametrize("image", COMMANDS)
def test_an_image_s_command_names_what_it_lacks(images: dict[str, Path], image: str) -> None:
    command, setting = COMMANDS[image]
    done = run(images[image], image, *command)
    assert done.returncode == 2
    assert setting in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_user_of_an_image_can_change_nothing_of_it(images: dict[str, Path]) -> None:
    root = images["bot"]
    loose = [
        path
        for path in (*(root / "app").rglob("*"), *(root / "opt").rglob("*"))
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & 0o002)
    ]
    assert loose == []
