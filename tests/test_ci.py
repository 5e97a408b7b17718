"""`.ci/run`: what it leaves out of the bare clone would come out the same there."""

import re

from tests.support.data import ROOT

SCRIPT = (ROOT / ".ci/run").read_text("utf-8")
DIFFERS = re.compile(r"\b(tracks?|speech|rain|each_ffmpeg): ")
"""Fixtures that give another thing where recordings or a system's ffmpeg are missing."""


def test_what_is_left_out_of_the_bare_clone_uses_nothing_that_differs_there() -> None:
    left_out = re.search(r"^SAME_EVERYWHERE=\((.*?)^\)", SCRIPT, re.MULTILINE | re.DOTALL)
    assert left_out
    places = [place for pattern in re.findall(r"tests/[\w/*.]+", left_out[1]) for place in ROOT.glob(pattern)]
    files = {file for place in places for file in (place.rglob("test_*.py") if place.is_dir() else [place])}
    assert len(files) > 50
    still_run = {ROOT / name for name in re.findall(r"tests/[\w/]+\.py", SCRIPT.partition("\nbare() (")[2])}
    assert still_run <= files
    assert [file for file in files - still_run if DIFFERS.search(file.read_text("utf-8"))] == []
