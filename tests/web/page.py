"""`genregenie web` as a real process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.data import ROOT
from tests.support.processes import ffmpegs, wait_until

START_S = 240.0
"""Ceiling for a start, seconds: it takes long where all cores are busy."""

STOP_S = 30.0
ADDRESS = re.compile(r"listens on (http://\S+/)")


def environment(data: Path, **settings: str) -> dict[str, str]:
    """This process's environment without its GenreGenie settings, and with those given (`MAX_FILE_MB="5"`)."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DISCORD_", "GENREGENIE_")) or key == "GENREGENIE_MODEL"
    }
    given = {f"GENREGENIE_{key}": value for key, value in settings.items()}
    return {**kept, "GENREGENIE_DATA_DIR": str(data), "PYTHONPATH": str(ROOT), **given}


class PageProcess:
    """One page, as `with PageProcess(...) as page`; it is ended by SIGTERM, and its log must then hold no traceback."""

    def __init__(self, data: Path, port: int = 0, arguments: Sequence[str] = (), **settings: str) -> None:
        self.data = data
        self._arguments = ["--port", str(port), *arguments]
        self._killed = False
        self.log = ""
        self._settings = settings

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genregenie", "web", *self._arguments],
            cwd=self.data,
            env=environment(self.data, **self._settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            wait_until(lambda: ADDRESS.search(self.log) or self.process.poll() is not None, START_S, "the start")
            found = ADDRESS.search(self.log)
            assert found, f"it ended at once:\n{self.log}"
        except AssertionError:
            self.process.kill()
            raise
        self.address = found[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if self._killed:
            self._reader.join()
            return
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(STOP_S) == 0, self.log
        finally:
            self.process.kill()
            self._reader.join()
        _, left = psutil.wait_procs(children, timeout=10)
        assert not left
        assert "Traceback" not in self.log, self.log
        assert self.temporary_files(kept=True) == []

    def kill(self) -> None:
        """End it as no signal handler can notice, and its workers with it, as systemd and Docker do."""
        self._killed = True
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(STOP_S)
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.log += line.decode(errors="replace")

    def temporary_files(self, *, kept: bool = False) -> list[str]:
        """Songs that are on the disk, with those of links that are `kept` for their visitors where that is asked for.

        A folder that is deleted meanwhile holds none.
        """
        found = (name for _, _, names in os.walk(self.data / "tmp") for name in names)
        return [name for name in found if name != "lock" and (kept or name != "sound")]

    def ffmpegs(self) -> list[psutil.Process]:
        """The ffmpeg processes that work for it."""
        return ffmpegs(self.process.pid)
