"""Strangers' text as one line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a  song ", "a song"),
        ("two\nlines\r\nand\u2028more\u2029still\x85", "two lines and more still"),
        ("turned\u202e round\u200b", "turned round"),
        ("null\x00byte", "nullbyte"),
        ("\ud800\ue000", ""),
        ("\u202e\x00", ""),
        ("\u3164\u2800 \u115f", ""),
        ("a" + "\u0301" * 10_000 + "b", "a" + "\u0301" * 4 + "b"),
        ("Việt שָׁלוֹם", "Việt שָׁלוֹם"),
        ("naïve 🎵 音楽", "naïve 🎵 音楽"),
    ],
)
def test_nothing_breaks_the_line_or_hides_in_it(text: str, line: str) -> None:
    assert one_line(text, 200) == line


@given(st.text(), st.integers(1, 20))
def test_it_is_always_a_short_visible_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert not any(unicodedata.category(character)[0] == "C" for character in line)
    assert len(line.splitlines()) <= 1


def test_what_is_cut_off_is_marked() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
