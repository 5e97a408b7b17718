"""Text from strangers, made safe to show."""

import re
import unicodedata

_SPACES = ("Cc", "Zl", "Zp")
_INVISIBLE = ("Cf", "Cs", "Co", "Cn")


def one_line(text: str, limit: int) -> str:
    """Return the text as one line of at most `limit` characters, without control and direction characters.

    A title is a stranger's text: it must not forge a second line of a log or reverse the words around it.
    """
    categories = ((character, unicodedata.category(character)) for character in text)
    visible = "".join(
        " " if category in _SPACES else character for character, category in categories if category not in _INVISIBLE
    )
    line = re.sub(r"\s+", " ", visible).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
