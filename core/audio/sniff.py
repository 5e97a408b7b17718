"""Where the sound begins in a file, and of which format it is, where ffmpeg's own detection needs help.

ffmpeg looks at the first mebibyte. A cover in an ID3v2 tag, zeros (as of a download that lost its beginning) or the
headers that a radio station sends may be longer than that. Of what is left, the bytes decide as far as they can:
frames in a row are what they are, whatever the file is called. Its name counts only for formats without any header.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Final

from core.audio.frames import find_chain

SCAN_BYTES: Final = 4 * 1024 * 1024
"""So far into the file frames are looked for, behind whatever was skipped."""

HEADERLESS: Final = {
    ".722": "g722",
    ".g722": "g722",
    ".g723": "g723_1",
    ".g723_1": "g723_1",
    ".g726": "g726",
    ".g729": "g729",
    ".gsm": "gsm",
}
"""Suffix → ffmpeg's format, where nothing in the file tells it: any bytes could be of these."""

_CHUNK: Final = 1 << 20
_ZEROS: Final = 16
"""So many zeros at the beginning are none of a header's."""

_MOST_SKIPPED: Final = 16
"""Tags and runs of zeros that are skipped, one after the other."""


@dataclass(frozen=True, slots=True)
class InputGuess:
    """How to open a file.

    Attributes:
        start: byte at which it begins, for ffmpeg.
        demuxer: ffmpeg's name of the format; None has ffmpeg detect it.
    """

    start: int = 0
    demuxer: str | None = None


def guesses(source: FileIO, suffix: str) -> Iterator[InputGuess]:
    """Yield ways to open a file, the likeliest first: each is for a file that could not be opened as before.

    Args:
        source: the file.
        suffix: of its name (`.gsm`), or nothing.
    """
    start = content_start(source)
    yield InputGuess(start)
    chain = find_chain(_read(source, start, SCAN_BYTES))
    if chain is not None:
        yield InputGuess(start + chain.start, chain.demuxer)
    if start:
        yield InputGuess()
    demuxer = HEADERLESS.get(suffix.lower())
    if demuxer is not None and not _read(source, 0, 512).isascii():
        yield InputGuess(0, demuxer)


def content_start(source: FileIO) -> int:
    """Return the byte at which the content begins, behind zeros, ID3v2 tags and a server's headers."""
    size = source.seek(0, 2)
    start = 0
    for _ in range(_MOST_SKIPPED):
        head = _read(source, start, _ZEROS)
        if head == bytes(_ZEROS):
            end = _skip_zeros(source, start)
        elif _is_id3v2(head):  # https://id3.org/id3v2.4.0-structure: the size, seven bits a byte; a footer
            length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            end = start + 10 + length + (10 if head[5] & 0x10 else 0)
        elif head.startswith((b"ICY ", b"HTTP/")):
            end = _skip_reply(source, start)
        else:
            break
        if end >= size or end == start:
            break
        start = end
    return start


def _is_id3v2(head: bytes) -> bool:
    return head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80


def _skip_zeros(source: FileIO, start: int) -> int:
    """Return where the zeros end; zeros that a header begins with (MP4's box size, MPEG's start code) belong to it."""
    while chunk := _read(source, start, _CHUNK):
        rest = chunk.lstrip(b"\0")
        if rest:
            first = start + len(chunk) - len(rest)
            head = _read(source, first, 9)
            for back in (1, 2, 3):
                if head[4 - back : 8 - back] == b"ftyp":
                    return first - back
            return first - 2 if head[:2] in (b"\x01\xba", b"\x01\xb3") else first
        start += len(chunk)
    return start


def _skip_reply(source: FileIO, start: int) -> int:
    """Return where a radio station's or web server's headers end."""
    head = _read(source, start, 1 << 14)
    end = head.find(b"\r\n\r\n")
    return start if end < 0 else start + end + 4


def _read(source: FileIO, start: int, size: int) -> bytes:
    source.seek(start)
    data = bytearray()
    while len(data) < size and (chunk := source.read(size - len(data))):
        data += chunk
    return bytes(data)
