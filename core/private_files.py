"""Folders and files for their owner only, whatever the umask is."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""Permission bits of the group and of everybody else."""


def make_private_directory(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    # `mkdir(parents=True)` would make those above with the umask's permissions.
    for folder in reversed((path, *path.parents)):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Make an empty file for its owner only; from one that exists, others' permissions are taken away.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    close_to_others(path)


def close_to_others(path: Path) -> None:
    """Take others' permissions away from a file, if there is one and it is ours."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS:
            path.chmod(mode & ~OTHERS)


def is_open_to_others(path: Path) -> bool:
    """Return whether other users of this machine have any permission for a file or folder; not known on Windows."""
    if os.name == "nt":
        return False
    try:
        return bool(path.stat().st_mode & OTHERS)
    except OSError:
        return False
