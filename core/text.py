"""Text from strangers, made safe to show."""

import unicodedata


def one_line(text: str, limit: int) -> str:
    """Return the text as one line of at most `limit` characters, without control and direction characters.

    A title is a stranger's text: it must not forge a second line of a log or reverse the words around it.
    """
    visible = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    line = " ".join(visible.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
