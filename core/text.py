"""Text from strangers, made safe to show."""

import unicodedata
from typing import Final

MOST_MARKS: Final = 4
"""Accents on one character: more than any language writes, and few enough to leave the lines above and below alone."""

BLANKS: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs by Unicode's classes, which show nothing (Hangul fillers, the empty Braille pattern)."""


def one_line(text: str, limit: int) -> str:
    """Return the text as one line of at most `limit` characters, without control and direction characters.

    A title is a stranger's text: it must not forge a second line of a log, reverse the words around it, or cover them.
    """
    visible: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if character.isspace() or character in BLANKS:
            visible.append(" ")
        elif category[0] != "C" and marks <= MOST_MARKS:
            visible.append(character)
    line = " ".join("".join(visible).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
