import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import supply_chain
from benchmarks.supply_chain import PINS, Pin, base_image, pin_ages, read_pins, unsafe

LOOSE = """# a comment
one==1.0 ; python_version > "3" \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via two
Two[extra]==2.0
three>=3
-e .
"""


def test_what_is_not_pinned_with_a_hash_is_named() -> None:
    assert read_pins(LOOSE)[:2] == [Pin("one", "1.0", 2), Pin("two", "2.0", 0)]
    assert unsafe(read_pins(LOOSE)) == ["two", "three>=3", "-e"]


@pytest.mark.parametrize("path", sorted(PINS.parent.glob("*.txt")), ids=lambda path: path.name)
def test_every_pin_of_ours_has_its_hashes(path: Path) -> None:
    pins = read_pins(path.read_text("utf-8"))
    assert len(pins) > 20
    assert unsafe(pins) == []


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_pins_age_is_that_of_its_last_change(tmp_path: Path) -> None:
    path = tmp_path / "pins.txt"

    def commit(content: str, when: int) -> None:
        path.write_text(content, "utf-8")
        stamp = {"GIT_COMMITTER_DATE": f"{when} +0000", "GIT_AUTHOR_DATE": f"{when} +0000", "HOME": str(tmp_path)}
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
            subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, env={"PATH": os.environ["PATH"], **stamp})

    day = 86_400
    commit("one==1\ntwo==1\n", 1_700_000_000)
    commit("one==1\ntwo==2\n", 1_700_000_000 + 10 * day)
    assert pin_ages(path, 1_700_000_000 + 12 * day) == {"one": 12, "two": 2}


def test_advisories_fail_the_look_and_their_absence_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for known, status, text in (
        (None, 0, "advisories: not known"),
        ([], 0, "none known"),
        (["one 1.0: CVE-1"], 1, "one 1.0: CVE-1"),
    ):
        monkeypatch.setattr(supply_chain, "advisories", lambda _, known=known: known)
        assert supply_chain.main() == status
        assert text in capsys.readouterr().out


DOCKERFILE = "# x\nARG PYTHON=3.13-slim\nFROM python:${PYTHON}\n"
DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("environment", "image", "is_pinned"),
    [
        ("", "python:3.13-slim", False),
        ("#BASE_IMAGE=3.12", "python:3.13-slim", False),
        ("A=1\nBASE_IMAGE=3.12-slim\n", "python:3.12-slim", False),
        ("BASE_IMAGE=3.12-slim@sha256:...", "python:3.12-slim@sha256:...", False),
        (f"BASE_IMAGE=3.12-slim@{DIGEST}", f"python:3.12-slim@{DIGEST}", True),
    ],
)
def test_a_base_image_without_a_digest_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: str, image: str, is_pinned: bool
) -> None:
    assert base_image(DOCKERFILE, environment) == image
    monkeypatch.setattr(supply_chain, "base_image", lambda *_: image)
    monkeypatch.setattr(supply_chain, "advisories", lambda _: [])
    supply_chain.main()
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("base image: ")]
    assert image in line
    assert ("has no digest" not in line) == is_pinned
