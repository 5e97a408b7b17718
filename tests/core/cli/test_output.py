"""What becomes of a command whose output cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data import ROOT

COMMANDS = ("--version", "--help", "classify --help", "classify {song}", "classify --json {song}", "doctor")
BUFFERING = ("", "1")
"""Unbuffered output fails at once, buffered output at its end."""


def run_shell(line: str, unbuffered: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of shell, in which `$genregenie` is the command."""
    return subprocess.run(
        ["sh", "-c", line],
        env=os.environ
        | {"genregenie": f"{sys.executable} {ROOT / 'genregenie.py'}", "PYTHONPATH": str(ROOT)}
        | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", BUFFERING)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_said_in_one_line(song: Path, command: str, unbuffered: str) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this platform has no /dev/full")
    done = run_shell(f"$genregenie {command.format(song=song)} > /dev/full", unbuffered)
    assert done.returncode == 1
    assert done.stderr == "genregenie: standard output cannot be written to: No space left on device\n"


@pytest.mark.parametrize("unbuffered", BUFFERING)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_output_is_said_in_one_line(song: Path, command: str, unbuffered: str) -> None:
    done = run_shell(f"$genregenie {command.format(song=song)} >&-", unbuffered)
    assert done.returncode == 1
    assert done.stderr == "genregenie: standard output cannot be written to: Bad file descriptor\n"


def test_everything_closed_ends_all_the_same(song: Path) -> None:
    assert run_shell(f"$genregenie classify {song} <&- >&- 2>&-", "").returncode == 1
    assert run_shell(f"$genregenie classify {song} <&- 2>&-", "").returncode == 0


@pytest.mark.parametrize("unbuffered", BUFFERING)
def test_a_reader_that_has_gone_is_no_error_to_speak_of(song: Path, unbuffered: str) -> None:
    done = run_shell(f"{{ $genregenie classify {song} {song}; echo $? >&2; }} | true", unbuffered)
    assert done.stderr == "1\n"
