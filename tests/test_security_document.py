"""SECURITY.md: what it names is there."""

import re

import pytest

from tests.support.data import ROOT

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests|core|bot|web|benchmarks)/[\w./]+(?:::\w+)?)`", TEXT)))


@pytest.mark.parametrize("named", NAMED)
def test_what_it_names_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    assert (ROOT / path).exists()
    if name:
        assert re.search(rf"^(?:class|(?:async )?def) {name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_every_defence_says_where_and_every_promise_by_which_test() -> None:
    rows = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]
    defences = [row for row in rows if len(row) == 3][1:]
    promises = [row for row in rows if len(row) == 2][1:]
    assert len(defences) > 20
    assert len(promises) > 20
    assert all(re.search(r"`(?:core|bot|web)/", where) for _, _, where in defences)
    assert all("`tests/" in test for _, test in promises)
    assert "Reporting a vulnerability" in TEXT
