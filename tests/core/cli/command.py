"""The command in a process of its own, as a shell starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.data import ROOT

COMMAND = (sys.executable, str(ROOT / "genregenie.py"), "classify")


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, and a few variables more."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def run(
    *arguments: str | Path, cwd: Path | None = None, options: dict[str, Any] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `genregenie classify` to its end.

    Args:
        arguments: of the command.
        cwd: where it runs.
        options: more for `subprocess.run`.
        variables: more of the environment.
    """
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        text=True,
        timeout=240,
        cwd=cwd,
        env=environment(**variables),
        check=False,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | (options or {})),
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What it printed as JSON lines.

    Raises:
        AssertionError: it printed a trace.
    """
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
