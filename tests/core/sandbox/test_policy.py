import json
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.audio.decode import CHANNELS
from core.audio.ffmpeg import FFMPEG_VARIABLE, ffmpeg_path
from core.errors import ErrorCode, GenreGenieError
from core.sandbox.landlock import landlock_abi
from core.sandbox.launcher import EXIT_NOT_STARTED
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, protections, sandboxed_command
from core.sandbox.processes import group_options, kill_group
from core.workers.pool import WORKER_POLICY
from tests.core.conftest import OpenPool
from tests.support.audio import make_song
from tests.support.data import ROOT
from tests.support.processes import is_alive, living_children, wait_until

pytestmark = [
    pytest.mark.usefixtures("leaves_nothing"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is complete on Linux only"),
]

needs_landlock = pytest.mark.skipif(landlock_abi() < 1, reason="this kernel has no Landlock")
needs_landlock_net = pytest.mark.skipif(landlock_abi() < 4, reason="this kernel's Landlock knows no TCP")
needs_landlock_signals = pytest.mark.skipif(landlock_abi() < 6, reason="this kernel's Landlock knows no signals")

PYTHON = (Path(sys.prefix), Path(sys.base_prefix))


def run(script: str, *arguments: object, policy: SandboxPolicy, **environment: str) -> Any:
    """Run Python in a sandbox and parse its output as JSON."""
    done = subprocess.run(
        sandboxed_command([sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], policy),
        capture_output=True,
        timeout=60,
        env=minimal_environment(Path("/dev"), **environment),
        check=False,
        **group_options(),
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


TRY = """
    import json, sys

    def possible(work):
        try:
            work()
        except OSError:
            return False
        return True
"""


class TestFiles:
    SCRIPT = (
        TRY
        + """
    import os
    own, other = sys.argv[1:3]
    print(json.dumps({
        "read own": possible(lambda: open(own).read()),
        "read other": possible(lambda: open(other).read()),
        "list other": possible(lambda: os.listdir(os.path.dirname(other))),
        "write own": possible(lambda: open(own, "a").write("x")),
        "truncate own": possible(lambda: os.truncate(own, 0)),
        "write beside": possible(lambda: open(other + ".new", "w").write("x")),
        "write temporary": possible(lambda: open("/tmp/genregenie-sandbox-test", "w").write("x")),
        "remove": possible(lambda: os.remove(other)),
        "rename": possible(lambda: os.rename(own, own + ".moved")),
        "link": possible(lambda: os.symlink(own, own + ".link")),
        "run": possible(lambda: os.execv("/bin/false-nonesuch", ["x"])),
        "read passwords": possible(lambda: open("/etc/shadow").read()),
        "read processes": possible(lambda: open("/proc/%d/environ" % os.getppid()).read()),
        "write nowhere": possible(lambda: open("/dev/null", "w").write("x")),
    }))
    """
    )

    @needs_landlock
    def test_a_child_reads_its_input_and_nothing_else(self, tmp_path: Path) -> None:
        own, other = tmp_path / "own.txt", tmp_path / "other" / "secret.txt"
        other.parent.mkdir()
        own.write_text("own")
        other.write_text("secret")
        possible = run(self.SCRIPT, own, other, policy=SandboxPolicy(read=(own, *PYTHON)))
        assert {name for name, can in possible.items() if can} == {"read own", "write nowhere"}
        assert own.read_text() == "own"

    @needs_landlock
    def test_a_worker_reads_everything_and_writes_nothing(self, tmp_path: Path) -> None:
        own, other = tmp_path / "own.txt", tmp_path / "other.txt"
        own.write_text("own")
        other.write_text("other")
        possible = run(self.SCRIPT, own, other, policy=WORKER_POLICY)
        assert possible["read own"]
        assert possible["read other"]
        for name in ("write own", "truncate own", "write beside", "write temporary", "remove", "rename", "link"):
            assert not possible[name], name
        assert sorted(path.name for path in tmp_path.glob("*.txt*")) == ["other.txt", "own.txt"]

    @needs_landlock
    def test_a_child_writes_where_it_may(self, tmp_path: Path) -> None:
        place = tmp_path / "place"
        place.mkdir()
        script = """
            import os, sys
            path = sys.argv[1] + "/deep/file"
            os.mkdir(os.path.dirname(path))
            open(path, "w").write("x" * 10)
            os.truncate(path, 5)
            os.rename(path, path + "2")
            print(1)
        """
        run(script, place, policy=SandboxPolicy(read=PYTHON, write=(place,)))
        assert (place / "deep" / "file2").read_text() == "x" * 5

    @needs_landlock
    def test_a_link_leads_nowhere_else(self, tmp_path: Path) -> None:
        secret, place = tmp_path / "secret.txt", tmp_path / "place"
        secret.write_text("secret")
        place.mkdir()
        (place / "link").symlink_to(secret)
        script = TRY + "    print(json.dumps(possible(lambda: open(sys.argv[1]).read())))"
        assert run(script, place / "link", policy=SandboxPolicy(read=(*PYTHON, place))) is False


class TestNetwork:
    SCRIPT = (
        TRY
        + """
    import socket
    allowed, other = map(int, sys.argv[1:3])
    def listen():
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
    print(json.dumps([
        possible(lambda: socket.create_connection(("127.0.0.1", allowed), 5).close()),
        possible(lambda: socket.create_connection(("127.0.0.1", other), 5).close()),
        possible(listen),
    ]))
    """
    )

    @needs_landlock_net
    @pytest.mark.parametrize("policy", [SandboxPolicy(read=PYTHON), WORKER_POLICY], ids=["child", "worker"])
    def test_there_is_none(self, policy: SandboxPolicy) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert run(self.SCRIPT, port, port, policy=policy) == [False, False, False]

    @needs_landlock_net
    def test_a_port_that_is_named_can_be_reached(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            ports = one.getsockname()[1], two.getsockname()[1]
            assert run(self.SCRIPT, *ports, policy=SandboxPolicy(read=PYTHON, ports=ports[:1])) == [
                True,
                False,
                False,
            ]


class TestLimits:
    def test_they_are_set(self) -> None:
        script = """
            import json, resource
            print(json.dumps({n: resource.getrlimit(getattr(resource, "RLIMIT_" + n))
                              for n in ("AS", "CPU", "FSIZE", "NOFILE", "CORE")}))
        """
        limits = ResourceLimits(address_space=2**30, cpu_seconds=7, file_size=1_000, open_files=64)
        limits_set = run(script, policy=SandboxPolicy(read=PYTHON, limits=limits))
        expected = {"AS": 2**30, "CPU": 7, "FSIZE": 1_000, "NOFILE": 64, "CORE": 0}
        assert limits_set == {name: [value, value] for name, value in expected.items()}

    def test_one_that_is_not_named_stays(self) -> None:
        script = "import json, resource; print(json.dumps(resource.getrlimit(resource.RLIMIT_AS)))"
        import resource

        assert run(script, policy=SandboxPolicy(read=PYTHON)) == list(resource.getrlimit(resource.RLIMIT_AS))

    def test_too_much_memory_is_refused(self) -> None:
        script = """
            try:
                x = bytearray(2**30)
                print(1)
            except MemoryError:
                print(0)
        """
        policy = SandboxPolicy(read=PYTHON, limits=ResourceLimits(address_space=2**29))
        assert run(script, policy=policy) == 0


class TestEnvironment:
    def test_nothing_of_ours_is_in_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DISCORD_TOKEN", "planted")
        monkeypatch.setenv("GENREGENIE_DATABASE_URL", "planted")
        monkeypatch.setenv("https_proxy", "planted")
        environment = minimal_environment(tmp_path, EXTRA="1")
        assert "planted" not in environment.values()
        assert environment.keys() <= {"PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LANG", "EXTRA"}

    @needs_landlock_signals
    def test_a_child_cannot_signal_others(self) -> None:
        script = TRY + "    import os\n    print(json.dumps(possible(lambda: os.kill(os.getppid(), 0))))"
        assert run(script, policy=SandboxPolicy(read=PYTHON)) is False
        assert run(script, policy=WORKER_POLICY) is False

    def test_a_child_gains_no_rights(self) -> None:
        script = "print(int([l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')][0].split()[1]))"
        assert run(script, policy=WORKER_POLICY) == 1


class TestEnd:
    def test_a_child_dies_with_its_parent(self) -> None:
        script = f"""
            import subprocess, sys
            sys.path.insert(0, {str(ROOT)!r})
            from core.sandbox.policy import SandboxPolicy, sandboxed_command
            from core.sandbox.processes import group_options
            child = subprocess.Popen(sandboxed_command(["/bin/sleep", "600"], SandboxPolicy()), **group_options())
            print("started", flush=True)
            child.wait()
        """
        parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        wait_until(lambda: [child.name() for child in living_children(parent.pid)] == ["sleep"], what="sleep")
        (child,) = living_children(parent.pid)
        parent.kill()
        parent.communicate()
        wait_until(lambda: not is_alive(child), 10, "the end of the child")

    def test_a_group_is_killed_whole(self) -> None:
        argv = sandboxed_command(["/bin/sh", "-c", "sleep 600 & sleep 600 & wait"], SandboxPolicy())
        process = subprocess.Popen(argv, **group_options())
        wait_until(lambda: len(living_children(process.pid)) == 2, what="two sleeps")
        children = living_children(process.pid)
        kill_group(process.pid)
        assert process.wait() == -signal.SIGKILL
        wait_until(lambda: not any(map(is_alive, children)), 10, "the end of the group")
        kill_group(process.pid)  # one that is gone is fine

    @pytest.mark.parametrize("program", ["/nonesuch", "/etc/hostname"])
    def test_a_program_that_cannot_start_says_so(self, program: str) -> None:
        assert subprocess.run(sandboxed_command([program], SandboxPolicy()), check=False).returncode == EXIT_NOT_STARTED


class TestAnFfmpegThatMeansHarm:
    """A program in ffmpeg's place that tries what a taken-over ffmpeg would."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    async def classify(
        self, open_pool: OpenPool, place: Path, script: str, monkeypatch: pytest.MonkeyPatch, timeout_s: float = 20
    ) -> None:
        program = place / "ffmpeg"
        program.write_text(f"#!/bin/bash\nprintf '\\nOutput #0\\n' >&2\n{script}\n")
        program.chmod(0o755)
        song = place / "song.mp3"
        song.write_bytes(np.repeat(make_song(4), CHANNELS).tobytes())
        monkeypatch.setenv(FFMPEG_VARIABLE, str(program))
        ffmpeg_path.cache_clear()
        try:
            async with open_pool(job_timeout_s=timeout_s) as pool:
                await pool.classify_file(song)
        finally:
            monkeypatch.undo()
            ffmpeg_path.cache_clear()

    LOUD = "cat /dev/fd/0"
    """The file that is decoded holds samples: a verdict says that it was read."""

    SILENT = "head -c 1000000 /dev/zero"

    async def test_it_reads_the_song(self, open_pool: OpenPool, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        await self.classify(open_pool, place, self.LOUD, monkeypatch)

    @needs_landlock
    async def test_it_reads_nothing_else_and_writes_nothing(
        self, open_pool: OpenPool, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = place / "secret.txt"
        secret.write_text("secret")
        tries = f"cat {secret} || cat /etc/passwd || echo x > {place}/written || echo x >> {secret} || ls {place}"
        script = f"if {tries} || echo x > /tmp/genregenie-sandbox-test; then {self.LOUD}; else {self.SILENT}; fi 2>&-"
        with pytest.raises(GenreGenieError) as raised:
            await self.classify(open_pool, place, script, monkeypatch)
        assert raised.value.code is ErrorCode.SILENT
        assert not (place / "written").exists()
        assert secret.read_text() == "secret"

    @needs_landlock_net
    async def test_it_reaches_no_server(
        self, open_pool: OpenPool, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.1)
            port = server.getsockname()[1]
            script = f"if echo x > /dev/tcp/127.0.0.1/{port}; then {self.LOUD}; else {self.SILENT}; fi"
            with pytest.raises(GenreGenieError) as raised:
                await self.classify(open_pool, place, script, monkeypatch)
            assert raised.value.code is ErrorCode.SILENT
            with pytest.raises(TimeoutError):
                server.accept()

    async def test_it_may_say_whatever_it_likes(
        self, open_pool: OpenPool, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = f"head -c 5000000 /dev/urandom >&2; echo 'Output #0' >&2; {self.LOUD}"
        await self.classify(open_pool, place, script, monkeypatch)

    async def test_one_that_says_nothing_and_stays_is_ended(
        self, open_pool: OpenPool, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(GenreGenieError) as raised:
            await self.classify(open_pool, place, "exec 1>&- 2>&-; sleep 600", monkeypatch, timeout_s=1)
        assert raised.value.code is ErrorCode.TIMEOUT

    async def test_its_children_end_with_it(
        self, open_pool: OpenPool, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.classify(open_pool, place, f"sleep 600 >&- 2>&- & {self.LOUD}", monkeypatch)
        wait_until(lambda: not living_children(), 10, "the end of all")


def test_what_is_on_is_reported() -> None:
    report = protections()
    assert len(report) >= 4
    for what, on, how in report:
        assert what
        assert on or how, f"{what} is off without a reason"


@needs_landlock_signals
def test_all_of_it_is_reported_where_all_is_on() -> None:
    assert [what for what, on, _ in protections() if not on] == []


def test_what_is_reported_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any kernel: a sandbox that does nothing is reported to do nothing."""
    monkeypatch.setattr("core.sandbox.policy.sandboxed_command", lambda argv, _: list(argv))
    assert [what for what, on, _ in protections() if on] == ["limits on processor, memory and files"]
    monkeypatch.setattr("core.sandbox.policy.sandboxed_command", lambda argv, _: ["/bin/false"])
    assert [on for _, on, _ in protections()] == [True, False]
