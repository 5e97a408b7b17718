import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from tests.core.cli.command import COMMAND, lines, run
from tests.core.files import BAD, make_bad
from tests.support.audio import make_song, write_wav
from tests.support.data import a_tenth_by_default
from tests.support.processes import ffmpegs, heed_interrupts, is_alive, living_children, wait_until
from tests.support.users import heed_permissions, needs_permissions

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def test_each_bad_input_has_its_error_and_the_good_are_answered_in_order(tmp_path: Path, song: Path) -> None:
    # What is no regular file is read as far as the limits go, where it is named.
    copied = {"pipe.mp3": ErrorCode.TIMEOUT, "device.mp3": ErrorCode.TOO_LARGE}
    made = {name: make_bad(tmp_path, name) for name in BAD if name != "directory.mp3"}
    pipe = {"pipe.mp3": made.pop("pipe.mp3")}
    inputs = [song, *(path for path, _ in made.values()), song]
    done = run("--json", *inputs)
    assert done.returncode == 1
    printed = lines(done)
    assert [one["source"] for one in printed] == [str(path) for path in inputs]
    assert printed[0]["genre"] == printed[-1]["genre"] in GENRES
    # It keeps whoever names it waiting until the deadline, which is short for it alone.
    printed[-1:] = lines(run("--json", tmp_path / "pipe.mp3", GENREGENIE_JOB_TIMEOUT_S="1"))
    for (name, (path, code)), one in zip((made | pipe).items(), printed[1:], strict=True):
        code = copied.get(name, code)
        assert one == {"source": str(path), "error": {"code": code.value, "message": one["error"]["message"]}}
        assert one["error"]["message"].endswith(".")
        assert "\n" not in one["error"]["message"]


def test_the_json_contract(song: Path) -> None:
    done = run("--json", song)
    assert done.returncode == 0
    (printed,) = lines(done)
    assert set(printed) == {
        *("source", "title", "duration", "music", "genre", "confidence", "votes", "probabilities", "section"),
        *("segments", "model", "elapsed", "tags", "outside"),
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


def test_what_a_folder_holds_besides_songs_is_counted_for_people(tmp_path: Path, song: Path) -> None:
    for name in ("b.txt", "deep/cover.png", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no song")
    (tmp_path / "a.wav").symlink_to(song)
    (tmp_path / "elsewhere").symlink_to(song.parent)
    done = run("--json", tmp_path)
    assert done.returncode == 0
    assert [one["source"] for one in lines(done)] == [str(tmp_path / "a.wav")]
    assert done.stderr.splitlines() == [
        f"genregenie: {tmp_path}: passed over 2 files without a known suffix",
        f"genregenie: {tmp_path}: passed over 1 linked folder",
    ]


def test_a_folder_with_songs_alone_leaves_nothing_to_say(tmp_path: Path, song: Path) -> None:
    (tmp_path / "a.wav").symlink_to(song)
    assert run("--json", tmp_path).stderr == ""


def test_links_in_circles_end(tmp_path: Path, song: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/up").symlink_to(tmp_path)
    (tmp_path / "deep/song.wav").symlink_to(song)
    (tmp_path / "itself.wav").symlink_to(tmp_path / "itself.wav")
    done = run("--json", tmp_path)
    assert done.returncode == 1
    itself, found = lines(done)
    assert itself["source"] == str(tmp_path / "itself.wav")
    assert itself["error"]["code"] == "not-found"
    assert (found["source"], found["genre"] in GENRES) == (str(tmp_path / "deep/song.wav"), True)


@needs_permissions
def test_what_cannot_be_read_in_a_folder_is_said(tmp_path: Path, song: Path) -> None:
    for name in ("b", "d"):
        (tmp_path / name).mkdir(mode=0)
    (tmp_path / "a.wav").symlink_to(song)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/closed.wav").write_bytes(song.read_bytes())
    (tmp_path / "c/closed.wav").chmod(0)
    done = run("--json", tmp_path, options={"preexec_fn": heed_permissions})
    assert done.returncode == 1
    codes = [(one["source"], one.get("error", {}).get("code")) for one in lines(done)]
    assert codes == [
        (str(tmp_path / "a.wav"), None),
        (str(tmp_path / "b"), "not-found"),
        (str(tmp_path / "c/closed.wav"), "not-found"),
        (str(tmp_path / "d"), "not-found"),
    ]


@needs_permissions
def test_a_folder_that_cannot_be_read_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    done = run("--json", "closed", cwd=tmp_path, options={"preexec_fn": heed_permissions})
    assert done.returncode == 1
    assert [(one["source"], one["error"]["code"]) for one in lines(done)] == [("closed", "not-found")]


def test_a_source_is_called_as_it_was_given(tmp_path: Path, song: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.wav").symlink_to(song)
    (tmp_path / "bad.wav").write_text("no song")
    given = ("./deep/a.wav", "deep//a.wav", "deep/../deep/a.wav", "./bad.wav", "./nowhere.wav")
    assert [one["source"] for one in lines(run("--json", *given, cwd=tmp_path))] == list(given)
    assert [one["source"] for one in lines(run("--json", "./deep", cwd=tmp_path))] == ["./deep/a.wav"]


NOWHERE = ("no\nsuch.wav", "no\udcffne.wav", "\x1b[2Jnone", "x" * 5_000, "deep/" * 2_000, "x" * 100_000, "\u202enone")


def test_unusual_names_that_lead_nowhere_are_json() -> None:
    done = run("--json", *NOWHERE)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (1, "", len(NOWHERE))
    assert [(one["source"], one["error"]["code"]) for one in lines(done)] == [(name, "not-found") for name in NOWHERE]


@pytest.mark.parametrize("name", a_tenth_by_default(NOWHERE))
def test_an_unusual_name_that_leads_nowhere_is_printed_safely(name: str) -> None:
    done = run("--json", name)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (1, "", 1)
    assert [(one["source"], one["error"]["code"]) for one in lines(done)] == [(name, "not-found")]
    table = run(name)
    assert (table.returncode, table.stderr, len(table.stdout.splitlines())) == (1, "", 2)
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert all(line.isprintable() for line in table.stdout.splitlines())
    assert run("--picture", "x.png", name).returncode == 1


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


def test_a_picture_that_cannot_be_written_costs_its_verdict_nothing(song: Path) -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("this platform has no /dev/full")
    done = run("--json", "--picture", full, song)
    assert done.returncode == 1
    assert lines(done)[0]["genre"] in GENRES
    assert done.stderr.splitlines() == ["genregenie: /dev/full cannot be written: No space left on device"]


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
        ("-", "song.wav", "/dev/stdin"),
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
