import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from tests.core.files import BAD, make_bad
from tests.support.audio import make_song, write_wav
from tests.support.data import ROOT
from tests.support.processes import ffmpegs, heed_interrupts, is_alive, living_children, wait_until

pytestmark = pytest.mark.usefixtures("leaves_nothing")

COMMAND = (sys.executable, str(ROOT / "genregenie.py"), "classify")


def run(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_bad_input_has_its_error_and_the_good_are_answered_in_order(tmp_path: Path, song: Path) -> None:
    made = {name: make_bad(tmp_path, name) for name in BAD if name != "directory.mp3"}
    inputs = [song, *(path for path, _ in made.values()), song]
    done = run("--json", *inputs)
    assert done.returncode == 1
    printed = lines(done)
    assert [one["source"] for one in printed] == [str(path) for path in inputs]
    assert printed[0]["genre"] == printed[-1]["genre"] in GENRES
    for (path, code), one in zip(made.values(), printed[1:-1], strict=True):
        assert one == {"source": str(path), "error": {"code": code.value, "message": one["error"]["message"]}}
        assert one["error"]["message"].endswith(".")
        assert "\n" not in one["error"]["message"]


def test_the_json_contract(song: Path) -> None:
    done = run("--json", song)
    assert done.returncode == 0
    (printed,) = lines(done)
    assert set(printed) == {
        *("source", "title", "duration", "music", "genre", "confidence", "votes", "probabilities", "section"),
        *("segments", "model", "elapsed"),
    }
    assert printed["duration"] == 12.0
    assert sum(printed["votes"].values()) == len(printed["segments"]) == 4
    assert tuple(printed["probabilities"]) == GENRES
    assert printed["section"] == {"start": 0.0, "end": 12.0}
    assert set(printed["elapsed"]) == {"fetch", "decode", "features", "classify", "total"}


def test_people_get_a_table_of_80_columns_without_colours_in_a_pipe(song: Path, tmp_path: Path) -> None:
    bad, _ = make_bad(tmp_path, "text.mp3")
    done = run(song, bad)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "votes" in done.stdout
    assert f"{error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO))} [not-audio]" in done.stdout
    assert "Traceback" not in done.stderr


def test_names_of_strangers_do_no_harm(tmp_path: Path) -> None:
    names = ("line\nbreak.wav", "-i.wav", "\x1b[31mred.wav", "x" * 200 + ".wav", "bytes\udcff.wav", "[bold]ä你.wav")
    for name in names:
        write_wav(tmp_path / name, make_song(4))
    printed = lines(run("--json", tmp_path))
    assert sorted(Path(one["source"]).name for one in printed) == sorted(names)
    assert all("genre" in one for one in printed)
    table = run(tmp_path)
    assert table.returncode == 0
    assert "\x1b" not in table.stdout
    assert "Traceback" not in table.stderr
    dashed = run("--json", "--", "-i.wav", cwd=tmp_path)
    assert lines(dashed)[0]["genre"] in GENRES


def test_a_folder_is_walked_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("b.wav", "a.wav", "deep/er/c.WAV", "notes.txt", ".hidden.wav", "cover.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, make_song(4))
    printed = lines(run("--json", tmp_path))
    assert [str(Path(one["source"]).relative_to(tmp_path)) for one in printed] == ["a.wav", "b.wav", "deep/er/c.WAV"]


def test_a_folder_without_sound_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to hear")
    done = run("--json", tmp_path)
    assert done.returncode == 1
    assert lines(done)[0]["error"]["code"] == "not-audio"


def test_the_whole_and_a_part(long_song: Path) -> None:
    (whole,) = lines(run("--json", "--whole", long_song))
    assert len(whole["segments"]) == 30
    (part,) = lines(run("--json", "--start", "40.5", long_song))
    assert part["section"]["start"] == pytest.approx(40.5, abs=0.03)
    assert len(part["segments"]) == 10


def test_a_picture_is_drawn(song: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    assert run("--picture", picture, song).returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--start", "-1", "song.wav"),
        ("--start", "soon", "song.wav"),
        ("--whole", "--start", "3", "song.wav"),
        ("--model", "nonesuch", "song.wav"),
        ("--picture", "x.png", "a.wav", "b.wav"),
        ("--picture", "/nowhere/x.png", "a.wav"),
        ("--nonesuch", "song.wav"),
        ("--workers", "0", "song.wav"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], song: Path) -> None:
    done = run(*arguments, cwd=song.parent)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_an_impossible_start_has_no_verdict(song: Path) -> None:
    done = run("--json", "--start", "100", song)
    assert done.returncode == 1
    assert lines(done)[0]["error"]["code"] == "too-short"


def test_a_wrong_setting_is_named(song: Path) -> None:
    done = run(song, GENREGENIE_MAX_DURATION_S="soon")
    assert done.returncode == 2
    assert "GENREGENIE_MAX_DURATION_S" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupting_it_leaves_nothing_at_work(hours: Path, sign: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(hours)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "GENREGENIE_MAX_DURATION_S": "21600"},
        preexec_fn=heed_interrupts,
    )
    wait_until(lambda: ffmpegs(process.pid), 60, "ffmpeg's start")
    children = living_children(process.pid)
    process.send_signal(sign)
    _, printed = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"Traceback" not in printed
    wait_until(lambda: not any(map(is_alive, children)), 10, "the end of all")


def test_a_reader_that_has_seen_enough_is_no_error(song: Path) -> None:
    copies = " ".join([str(song)] * 6)
    done = subprocess.run(
        f"{' '.join(COMMAND)} --json {copies} | head -n 1", shell=True, capture_output=True, text=True, timeout=240
    )
    assert json.loads(done.stdout)["genre"] in GENRES
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
