"""One private directory for each job, gone when the job is, however that ends.

Each process has a directory of its own under the root, with a lock file that it holds as long as it lives;
what is not locked belonged to a process that was killed, and goes at the next start.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from core.errors import ErrorCode, GenreGenieError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LINK_COPIES: Final = 3
"""A link's song may lie on disk as pieces, as the file that they are put together to, and as what a retry left."""

_LOCK: Final = "lock"


class TemporaryFiles:
    """Where jobs keep files; a context manager, or `open()` and `close()`.

    Args:
        root: made if need be; other live processes may use it too.
        quota: bytes that all jobs of this process may reserve together.
        min_free: bytes of the disk that stay free whatever is asked.
    """

    def __init__(self, root: Path, *, quota: int, min_free: int) -> None:
        self._root = root.absolute()  # children run in other directories
        self._quota = quota
        self._min_free = min_free
        self._reserved = 0
        self._own: Path | None = None
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Open."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def reserved(self) -> int:
        """Bytes that the jobs under way have reserved."""
        return self._reserved

    def open(self) -> None:
        """Remove what killed processes left and make this process's directory.

        Raises:
            OSError: the root cannot be written.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held while directories appear and go: a directory is without its lock for a moment after it is made.
        with (self._root / _LOCK).open("ab") as root_lock:
            _lock(root_lock, wait=True)
            for entry in self._root.iterdir():
                if entry.is_dir() and not entry.is_symlink() and not _is_held(entry / _LOCK):
                    shutil.rmtree(entry, ignore_errors=True)
            own = Path(tempfile.mkdtemp(dir=self._root))
            lock = (own / _LOCK).open("ab")
            _lock(lock, wait=False)
        self._own, self._lock = own, lock

    def close(self) -> None:
        """Remove this process's directory with all that is in it."""
        if self._own is not None and self._lock is not None:
            self._lock.close()
            shutil.rmtree(self._own, ignore_errors=True)
            self._own = self._lock = None

    @contextlib.contextmanager
    def job(self, max_bytes: int) -> Iterator[Path]:
        """Give one job a directory that only this user may enter.

        Args:
            max_bytes: that the job may write.

        Raises:
            GenreGenieError: `busy`: the quota is taken or the disk is short.
        """
        if self._own is None:
            raise RuntimeError("the temporary files have not been opened")
        free = shutil.disk_usage(self._own).free
        reserved = self._reserved + max_bytes
        if reserved > self._quota or free - reserved < self._min_free:
            raise GenreGenieError(ErrorCode.BUSY)
        self._reserved = reserved
        directory = Path(tempfile.mkdtemp(dir=self._own))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            self._reserved -= max_bytes


def _is_held(path: Path) -> bool:
    """Tell whether a live process holds a lock file."""
    try:
        with path.open("ab") as file:
            _lock(file, wait=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _lock(file: IO[bytes], *, wait: bool) -> None:
    """Lock a file until it is closed or its process ends, whichever way.

    Raises:
        OSError: another has it, and we don't wait.
    """
    if sys.platform == "win32":
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
