"""The JavaScript runtime in yt-dlp's sandbox: threads, memory and pipes are left to it, called as yt-dlp calls it."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.fetch.ytdlp_install import javascript_runtime, readable_paths
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, sandboxed_command

CALL = """
import sys
from yt_dlp import YoutubeDL
from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

class Quiet:
    def __getattr__(self, name):
        return lambda *_, **__: None

ydl = YoutubeDL({"js_runtimes": {"deno": {"path": sys.argv[1]}}, "quiet": True, "proxy": "http://x:y@127.0.0.1:9"})
provider = DenoJCP(ydl.get_info_extractor("Youtube"), Quiet(), {})
script = '''
const many = Array.from({length: 1e6}, (_, i) => "a" + i);
const reach = await fetch("http://127.0.0.1:9/").then(() => "reached", () => "refused");
console.log(many.length, reach);
'''
print(provider._run_deno(script, [*provider._DENO_BASE_OPTIONS, "--no-npm", "--cached-only"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(javascript_runtime() is None, reason="deno is not installed")
def test_deno_runs_in_yt_dlps_sandbox(tmp_path: Path) -> None:
    deno = str(javascript_runtime())
    policy = SandboxPolicy(
        read=readable_paths(deno),
        write=[tmp_path],
        ports=[9],
        guarded=True,
        limits=ResourceLimits(cpu_seconds=120, file_size=2**20),
    )
    done = subprocess.run(
        sandboxed_command([sys.executable, "-I", "-B", "-c", CALL, deno], policy),
        cwd=tmp_path,
        env=minimal_environment(tmp_path, PATH=str(tmp_path), DENO_DIR=str(tmp_path), DENO_NO_UPDATE_CHECK="1"),
        capture_output=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.split() == [b"1000000", b"refused"]
