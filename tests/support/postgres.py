"""A PostgreSQL of the tests' own: Debian's, on a free port of loopback, as a user without rights."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest

_numbers = count(1)


def programs() -> Path:
    """Folder of `initdb` and `postgres`; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Cluster:
    """One server, with its data in a folder of its own; `start` and `stop` it as often as the test likes."""

    def __init__(self, folder: Path) -> None:
        self.bin = programs()
        self.port = free_port()
        self.data = folder / "data"
        self._log = folder / "log"
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self._user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k '' -h 127.0.0.1 -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self._log), "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is as a crash is."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def process(self) -> psutil.Process:
        """The server's first process."""
        return psutil.Process(int((self.data / "postmaster.pid").read_text().splitlines()[0]))

    def kill(self) -> None:
        """Kill all of it by SIGKILL."""
        server = self.process()
        everyone = [server, *server.children(recursive=True)]
        for process in everyone:
            process.kill()
        psutil.wait_procs(everyone, 20)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Carry a statement out; gives the first value of its first row as text, or nothing."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            done = connection.execute(statement.encode())
            row = done.fetchone() if done.description else None
        return str(row[0]) if row else ""

    def new_database(self) -> str:
        """Make an empty database; gives its name."""
        name = f"test{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            cwd="/",
            timeout=120,
            check=False,
            **self._user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{program}: {done.stderr!r} {self._log.read_text() if self._log.exists() else ''}"


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a server until the context ends."""
    programs()
    # Not pytest's folder, which other users cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="genregenie-postgres-"))
    folder.chmod(0o755)
    cluster = Cluster(folder)
    cluster.start()
    try:
        yield cluster
    finally:
        if (cluster.data / "postmaster.pid").exists():
            cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
