"""Whether a file ends before what it announces: cut off in a download, a copy or a recording.

Containers that announce the length of their parts are walked from part to part; streams of frames or pages are looked
at from the end, where a last one that is not whole shows the cut. Nothing is read but headers and the file's end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from typing import Final, Literal

from core.audio.frames import HEADER_BYTES, find_chain

TAIL_BYTES: Final = 1 << 17
"""Longer than any page or packet: an Ogg page has at most 65,307 bytes, a packet of an MPEG program stream 65,541."""

SLACK_BYTES: Final = 256
"""Some writers announce a few bytes too many, their own headers for instance: nobody hears what is missing."""

_MOST_CHUNKS: Final = 4_096

_ENDLESS_32: Final = 0x7F00_0000
"""Lengths from here on are what is written into pipes, where nobody knows the length: no file of ours is as long."""

_GSM_BYTES: Final = 33
_AMR_BYTES: Final = (13, 14, 16, 18, 20, 21, 27, 32, 6)
_AMR_WB_BYTES: Final = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6)
"""Bytes of a frame of each kind."""

_ENDLESS_64: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """How a container's chunks announce themselves.

    Attributes:
        first: byte of the first chunk.
        name: bytes of a chunk's name.
        size: bytes of its length.
        order: of the bytes in the length.
        name_first: whether the name comes before the length.
        inclusive: whether the length counts name and length too.
        align: chunks begin at multiples of this.
    """

    first: int
    name: int
    size: int
    order: Literal["little", "big"]
    name_first: bool = True
    inclusive: bool = False
    align: int = 1


_LAYOUTS: Final = {
    "wav": ChunkLayout(12, 4, 4, "little", align=2),
    "avi": ChunkLayout(12, 4, 4, "little", align=2),
    "aiff": ChunkLayout(12, 4, 4, "big", align=2),
    "w64": ChunkLayout(40, 16, 8, "little", inclusive=True, align=8),
    "caf": ChunkLayout(8, 4, 8, "big"),
    "asf": ChunkLayout(0, 16, 8, "little", inclusive=True),
    "mov": ChunkLayout(0, 4, 4, "big", name_first=False, inclusive=True),
}
"""ffmpeg's name of a container → how it is made."""


def is_cut_off(source: FileIO, container: str, start: int = 0) -> bool:
    """Return whether bytes of a file are missing at its end, as far as its container tells.

    Args:
        source: the file.
        container: ffmpeg's name of it, as `wav` or `mov,mp4,m4a,3gp,3g2,mj2`.
        start: byte at which it begins.
    """
    name = container.split(",")[0]
    size = source.seek(0, 2)
    layout = _LAYOUTS.get(name)
    if layout is not None:
        return _chunk_is_cut_off(source, layout, start, size)
    if name == "gsm":
        return (size - start) % _GSM_BYTES != 0
    if name == "amr":
        return _amr_is_cut_off(_read(source, start, size - start))
    check = _TAILS.get(name)
    if check is None:
        return False
    tail_start = max(start, size - TAIL_BYTES)
    return check(_read(source, tail_start, TAIL_BYTES))


def _chunk_is_cut_off(source: FileIO, layout: ChunkLayout, start: int, size: int) -> bool:
    header = layout.name + layout.size
    at = layout.first
    long_length = _ENDLESS_64
    for _ in range(_MOST_CHUNKS):
        head = _read(source, start + at, header + 16)
        if len(head) < header:
            return False
        at_size = layout.name if layout.name_first else 0
        length = int.from_bytes(head[at_size : at_size + layout.size], layout.order)
        name = head[:4] if layout.name_first else head[layout.size : header]
        if layout.name == 4 and not name.isascii():  # what follows is none of the container's
            return False
        own = header
        if length == 1 and not layout.name_first:  # MP4's long boxes: the length follows the name, in eight bytes
            length, own = int.from_bytes(head[header : header + 8], "big"), header + 8
        if name == b"ds64":  # EBU Tech 3306: the lengths of RIFF and of data, where those have no room
            long_length = int.from_bytes(head[header + 8 : header + 16], "little")
        if name == b"data" and length == 0xFFFF_FFFF:
            length = min(length, long_length)
        if length >= (_ENDLESS_32 if layout.size == 4 and own == header else _ENDLESS_64):
            return False
        body = length - own if layout.inclusive else length
        if body < 0 or (body == 0 and name in (b"data", b"mdat")):  # unknown, or to the end of the file
            return False
        end = at + own + body
        if start + end > size + SLACK_BYTES:
            return True
        at = end + -end % layout.align
    return False


def _amr_is_cut_off(data: bytes) -> bool:
    """Follow the frames (RFC 4867, 5.3), some tens of bytes each, from the first: nothing else marks them."""
    is_wide = data.startswith(b"#!AMR-WB\n")
    lengths = _AMR_WB_BYTES if is_wide else _AMR_BYTES
    at = 9 if is_wide else 6
    while at < len(data):
        kind = data[at] >> 3 & 15
        at += lengths[kind] if kind < len(lengths) else 1
    return at > len(data)


def _dts_is_cut_off(tail: bytes) -> bool:
    """Look at the last core frame (ETSI TS 102 114, 5.3.1)."""
    at = tail.rfind(b"\x7f\xfe\x80\x01")
    if at < 0 or len(tail) < at + 8:
        return at >= 0
    length = ((tail[at + 5] & 3) << 12 | tail[at + 6] << 4 | tail[at + 7] >> 4) + 1
    return at + length > len(tail)


def _ogg_is_cut_off(tail: bytes) -> bool:
    """Look at the last page (RFC 3533)."""
    page = tail.rfind(b"OggS\0")
    if page < 0:
        return False
    head = tail[page : page + 27]
    if len(head) < 27:
        return True
    lengths = tail[page + 27 : page + 27 + head[26]]
    return len(tail) < page + 27 + head[26] + sum(lengths) or len(lengths) < head[26]


def _frame_is_cut_off(tail: bytes) -> bool:
    """Look at the last frame; tags and anything else may follow the frames."""
    chain = find_chain(tail)
    last = chain
    while chain is not None:
        last, chain = chain, find_chain(tail, chain.end)
    if last is None:
        return False
    rest = len(tail) - last.end
    header_begun = 0 < rest < HEADER_BYTES and tail[last.end] == tail[last.start]
    return rest < 0 or header_begun


def _transport_stream_is_cut_off(tail: bytes) -> bool:
    """Look for half a packet at the end (ISO/IEC 13818-1, 2.4.3: packets of 188 bytes begin with 0x47)."""
    for length in (188, 192, 204):
        for first in range(length):
            if all(tail[at : at + 1] == b"\x47" for at in range(first, first + 8 * length, length)):
                # In front of each packet of 192 bytes stand 4 bytes of its time.
                return (len(tail) - first + (4 if length == 192 else 0)) % length != 0
    return False


def _program_stream_is_cut_off(tail: bytes) -> bool:
    """Follow the packets from a pack on (ISO/IEC 13818-1, 2.5.3)."""
    at = tail.find(b"\0\0\1\xba")
    if at < 0:
        return False
    while tail[at : at + 3] == b"\0\0\1" and at + 6 <= len(tail):
        code = tail[at + 3]
        if code == 0xB9:  # the end
            return False
        if code == 0xBA:
            is_mpeg_2 = len(tail) > at + 13 and tail[at + 4] >> 6 == 1
            at += 14 + (tail[at + 13] & 7) if is_mpeg_2 else 12
        elif code >= 0xBB:
            at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
        else:
            return False
    return at > len(tail) or 0 < len(tail) - at < 6


_TAILS: Final[dict[str, Callable[[bytes], bool]]] = {
    "ogg": _ogg_is_cut_off,
    "mp3": _frame_is_cut_off,
    "aac": _frame_is_cut_off,
    "ac3": _frame_is_cut_off,
    "dts": _dts_is_cut_off,
    "eac3": _frame_is_cut_off,
    "mpegts": _transport_stream_is_cut_off,
    "mpeg": _program_stream_is_cut_off,
}


def _read(source: FileIO, start: int, size: int) -> bytes:
    source.seek(start)
    data = bytearray()
    while len(data) < size and (chunk := source.read(size - len(data))):
        data += chunk
    return bytes(data)
