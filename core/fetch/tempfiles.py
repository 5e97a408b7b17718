"""One private directory for each job, removed when the job ends, however it ends.

Each process has a directory of its own under the root, with a lock that it holds as long as it lives. The kernel
releases a killed process's lock; what is not locked is removed at the next start.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock

from core.errors import ErrorCode, GenreGenieError
from core.private_files import make_private_directory

LINK_COPIES: Final = 3
"""A link's song may be on disk as segments, as the file that they are joined to, and as what a retry left."""

_LOCK: Final = "lock"


class TemporaryFiles:
    """Directories for jobs' files; use as a context manager, or `open()` and `close()` it.

    Args:
        root: created where it is missing; other processes may use it at the same time.
        quota: bytes that all jobs of this process may reserve together.
        min_free: bytes of the disk that always stay free.
    """

    def __init__(self, root: Path, *, quota: int, min_free: int) -> None:
        self._root = root.absolute()  # children run in other directories
        self._quota = quota
        self._min_free = min_free
        self._reserved: dict[Path, int] = {}
        self._own: Path | None = None
        self._lock: FileLock | None = None

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
    def quota(self) -> int:
        """Bytes that all jobs may reserve together."""
        return self._quota

    @property
    def reserved(self) -> int:
        """Bytes that the running jobs have reserved."""
        return sum(self._reserved.values())

    def open(self) -> None:
        """Remove what killed processes left and create this process's directory.

        Raises:
            OSError: the root cannot be written.
        """
        make_private_directory(self._root)
        # Held while directories come and go: a new directory is not locked for a moment.
        with FileLock(self._root / _LOCK, mode=0o600):
            for entry in self._root.iterdir():
                if entry.is_dir() and not entry.is_symlink() and not _is_held(entry / _LOCK):
                    _remove(entry)
            own = Path(tempfile.mkdtemp(dir=self._root))
            lock = FileLock(own / _LOCK, mode=0o600, thread_local=False)  # another thread may close
            lock.acquire(blocking=False)
        self._own, self._lock = own, lock

    def close(self) -> None:
        """Remove this process's directory with everything in it."""
        if self._own is not None and self._lock is not None:
            self._lock.release()
            _remove(self._own)
            self._own = self._lock = None

    @contextlib.contextmanager
    def job(self, max_bytes: int) -> Iterator[Path]:
        """Create a directory for one job, which only this user may enter, and remove it when the context ends.

        Args:
            max_bytes: how many bytes the job may write.

        Raises:
            GenreGenieError: `busy`: the quota is used up, the disk is nearly full, or nothing can be written to it.
        """
        if self._own is None:
            raise RuntimeError("the temporary files have not been opened")
        reserved = self.reserved + max_bytes
        try:
            free = shutil.disk_usage(self._own).free
            if reserved > self._quota or free - reserved < self._min_free:
                raise GenreGenieError(ErrorCode.BUSY)
            directory = Path(tempfile.mkdtemp(dir=self._own))
        except OSError:  # no room for a directory, or the disk is gone
            raise GenreGenieError(ErrorCode.BUSY) from None
        self._reserved[directory] = max_bytes
        try:
            yield directory
        finally:
            _remove(directory)
            del self._reserved[directory]

    def give_back(self, directory: Path, written: int) -> None:
        """Reserve no more for a job than it has written: it has ended writing.

        Args:
            directory: the job's own.
            written: bytes in it.
        """
        self._reserved[directory] = min(self._reserved[directory], written)


def _remove(directory: Path) -> None:
    """Remove a directory, also one in which a child has made folders that nobody may enter."""
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        return
    for folder, names, _ in os.walk(directory):
        for path in (Path(folder) / name for name in names):
            if not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _is_held(path: Path) -> bool:
    """Return whether a live process holds a lock, or whether that cannot be known."""
    try:
        with FileLock(path, blocking=False):
            return False
    except OSError:  # filelock.Timeout is one
        return True
