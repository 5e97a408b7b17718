"""Links in what people write: where each begins and ends, with what surrounds it in Discord's Markdown left out."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from core.audio.suffixes import MEDIA_SUFFIXES

_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_NEXT: Final = re.compile(r"\[[^\[\]\n]*\]\(\s*<?(?=https?://)|https?://", re.IGNORECASE)
"""The text of a Markdown link up to its address, or the scheme of a link that stands alone."""

_OTHER_SCHEME: Final = re.compile(r"\b(?!https?:)[a-z][a-z0-9+.-]*://(?=\w)", re.IGNORECASE)

_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_NAME: Final = rf"(?:{_LABEL}\.)+[^\W\d_](?:[\w-]{{0,61}}[^\W_])"
_BARE: Final = re.compile(
    # Not inside of a word, an address of mail or a path.
    r"(?<![^\W_])(?<![@./:\\-])"
    r"(?:"
    rf"www\.{_NAME}(?::\d{{1,5}})?(?![\w@.-]*@)"
    rf"|(?:{_NAME}|\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?::\d{{1,5}})?(?=[/?#])"
    rf"|{_LABEL}:\d{{1,5}}(?=/)"
    r")",
    re.IGNORECASE,
)
"""A host without a scheme: `www.` and a name, or a name, an address or a host with its port before a path."""

_ALONE: Final = re.compile(rf"{_NAME}|{_LABEL}/\S+", re.IGNORECASE)
"""What is taken for a link where nothing else was given: a name, or a host of a local network before a path."""

_SPOTIFY: Final = re.compile(r"\bspotify:(track|album|playlist|artist|show|episode):(\w+)", re.IGNORECASE)
"""What Spotify's own programs copy instead of a link."""

_STOPS: Final = frozenset('<>|"`\\^')
"""What no URL contains (RFC 3986, appendix A), and what Discord's Markdown puts around links."""

_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_OPENING: Final = frozenset(_CLOSING.values())
_TRAILING: Final = frozenset(".,!?;:'*~")
_IN_WORDS: Final = frozenset("·\u2019")
"""Punctuation of words: Catalan's `col·lecció`, the apostrophe of an article."""

_CONTINUES: Final = frozenset("/=?&#:%+")
"""After these, a second scheme belongs to the same link: an archived page, a redirect's target."""

_EMPHASIS: Final = re.compile(r"(?<!\w)(?P<opens>_{1,3})(?=[^\s_])|(?<=[^\s_])_{1,3}(?!\w)")
_WHOLE_LINK: Final = re.compile(r"https?://\S*", re.IGNORECASE)


def find_links(text: str) -> tuple[str, ...]:
    """Links of a text in order, each once.

    A link ends before white space, before what no URL contains, before a bracket that was opened outside of it, and
    before the punctuation of its sentence. Of `[text](link)` only the link counts, whatever the text looks like.
    """
    return tuple(dict.fromkeys(link for link in _links(text) if _has_host(link)))


def pasted_link(text: str) -> str | None:
    """Find the link in what was given as one, also without its scheme (`https` is assumed); None where there is none.

    Other schemes come back as they are, to be refused for what they are.
    """
    if found := find_links(text):
        return found[0]
    if other := _OTHER_SCHEME.search(text):
        return text[other.start() : _end(text, other.start(), other.end())[0]]
    if spotify := _SPOTIFY.search(text):
        return f"https://open.spotify.com/{spotify[1].lower()}/{spotify[2]}"
    for match in _BARE.finditer(text):
        end, _ = _end(text, match.start(), match.end())
        link = f"https://{text[match.start() : end]}"
        if _has_host(link):
            return link
    alone = text.strip().strip("<>()[]\"'`*_~|.,!?;:")
    if _ALONE.fullmatch(alone) and ("/" in alone) == alone.lower().endswith(MEDIA_SUFFIXES):
        return f"https://{alone}"
    return None


def _links(text: str) -> Iterator[str]:
    position = 0
    while match := _NEXT.search(text, position):
        if match[0].startswith("["):
            position = match.end()
            continue
        end, stop = _end(text, match.start(), match.end())
        position = max(stop, match.end())
        yield text[match.start() : end]


def _end(text: str, begin: int, scan: int) -> tuple[int, int]:
    """Where the link at `begin` ends, without and with the punctuation after it; it is looked at from `scan` on."""
    before = text[:begin]
    open_outside = {opening: before.count(opening) > before.count(closing) for closing, opening in _CLOSING.items()}
    bold = before.endswith("**")
    opened: list[str] = []
    unmatched: list[int] = []
    stop = scan
    while stop < len(text):
        character = text[stop]
        if _ends(character) or (bold and text.startswith("**", stop)):
            break
        if character in _OPENING:
            opened.append(character)
        elif opening := _CLOSING.get(character):
            if opening in opened:
                del opened[len(opened) - 1 - opened[::-1].index(opening) :]
            elif open_outside[opening]:
                break
            else:
                unmatched.append(stop)
        elif text[stop - 1] not in _CONTINUES and _SCHEME.match(text, stop):
            break
        stop += 1
    end = stop
    underscores: int | None = None
    while end > scan:
        last = text[end - 1]
        if last == "_":
            underscores = _open_underscores(before) if underscores is None else underscores
            if underscores == 0:
                break
            underscores -= 1
        elif not (_trails(last) or (unmatched and unmatched[-1] == end - 1)):
            break
        elif last in _CLOSING:
            unmatched.pop()
        end -= 1
    return end, stop


def _ends(character: str) -> bool:
    """Whether a character cannot be inside of a link: it separates, or it is another script's punctuation."""
    if character in _STOPS or character.isspace():
        return True
    category = unicodedata.category(character)
    if character.isascii():
        return category == "Cc"
    return category[0] in "ZC" or category in {"Ps", "Pe", "Pi", "Pf", "Po", "Sm"} and character not in _IN_WORDS


def _trails(character: str) -> bool:
    """Whether a character belongs to the sentence when it is the last one."""
    if character.isascii():
        return character in _TRAILING or character in _OPENING
    return character == "\ufe0f" or unicodedata.category(character)[0] in "PS"


def _open_underscores(before: str) -> int:
    """Count the underscores of emphasis that is open before a link, as in `_U_`; else an id may end in one."""
    still_open = 0
    for match in _EMPHASIS.finditer(_WHOLE_LINK.sub(_as_word, before) + "x"):
        still_open = len(match["opens"] or "")
    return still_open


def _as_word(link: re.Match[str]) -> str:
    """Put a word in a link's place, with the underscores after it: a pattern that finds those takes squared time."""
    return "x" + "_" * (len(link[0]) - len(link[0].rstrip("_")))


def _has_host(link: str) -> bool:
    try:
        host = urlsplit(link).hostname or ""
    except ValueError:
        return False
    return host[:1].isalnum() or ":" in host
