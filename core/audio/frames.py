"""Frames of sound that carry no container: MPEG audio, AAC in ADTS, AC-3 and E-AC-3.

Each frame begins with a header that says how long it is, so that several in a row cannot be chance.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

HEADER_BYTES: Final = 6
"""Enough of a frame to know its length."""

CHAIN_FRAMES: Final = 5
"""So many frames in a row, alike in kind and rate, are no chance: in random bytes, fewer than one in 10^15."""

MOST_CANDIDATES: Final = 20_000
"""Bytes that look like a header are followed so many times at most; random bytes have 500 in each MiB."""

_SYNC: Final = re.compile(rb"\xff[\xe2-\xff]|\x0b\x77")

_MPEG_1_KBPS: Final = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG_2_KBPS: Final = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AC3_KBPS: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame's header says.

    Attributes:
        demuxer: ffmpeg's name of the format.
        kind: what all frames of one stream have in common.
        length: bytes, the header included.
    """

    demuxer: str
    kind: int
    length: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Frames in a row: where they begin and end, and the format."""

    start: int
    end: int
    demuxer: str
    kind: int


def read_frame(data: bytes, at: int) -> Frame | None:
    """Read the header of a frame; None where there is none, or not all of it."""
    header = data[at : at + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        return None
    if header[:2] == b"\x0b\x77":
        return _ac3_frame(header)
    if header[0] != 0xFF or header[1] < 0xE0:
        return None
    return _mpeg_frame(header) if header[1] & 0x06 else _adts_frame(header)


def _mpeg_frame(header: bytes) -> Frame | None:
    """ISO/IEC 11172-3, 2.4.1.3, and 13818-3 for half the rates; MPEG 2.5 halves them again."""
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, kbps_index, padding = header[2] >> 2 & 3, header[2] >> 4, header[2] >> 1 & 1
    if version == 1 or rate_index == 3 or not 1 <= kbps_index <= 14:
        return None
    rate = (44_100, 48_000, 32_000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    kbps = (_MPEG_1_KBPS if version == 3 else _MPEG_2_KBPS)[layer][kbps_index - 1]
    if layer == 1:
        length = (12_000 * kbps // rate + padding) * 4
    else:
        samples = 576 if layer == 3 and version != 3 else 1_152
        length = samples // 8 * 1_000 * kbps // rate + padding
    return Frame("mp3", version << 4 | layer << 2 | rate_index, length)


def _adts_frame(header: bytes) -> Frame | None:
    """ISO/IEC 13818-7, 6.2."""
    rate_index = header[2] >> 2 & 15
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if header[1] < 0xF0 or rate_index > 12 or length < 8:
        return None
    return Frame("aac", 1 << 8 | rate_index, length)


def _ac3_frame(header: bytes) -> Frame | None:
    """ETSI TS 102 366, 4.4.1 and E.1.2."""
    rate_index = header[4] >> 6
    if header[5] >> 3 > 10:
        length = ((header[2] & 7) << 8 | header[3]) * 2 + 2
        return Frame("eac3", 2 << 8 | rate_index, length) if header[5] >> 3 <= 16 and length > 16 else None
    size_index = header[4] & 63
    if rate_index == 3 or size_index >= 2 * len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[size_index // 2]
    words = (2 * kbps, 320 * kbps // 147 + size_index % 2, 3 * kbps)[rate_index]
    return Frame("ac3", 3 << 8 | rate_index, 2 * words)


def find_chain(data: bytes, start: int = 0) -> Chain | None:
    """Find the first frames in a row, at least `CHAIN_FRAMES`, from byte `start` on.

    The chain ends at the first byte that begins no complete header of the same kind: its last frame may reach beyond
    the end of `data`.
    """
    for match in islice(_SYNC.finditer(data, start), MOST_CANDIDATES):
        first = read_frame(data, match.start())
        frame, at, count = first, match.start(), 0
        while first is not None and frame is not None and frame.kind == first.kind:
            at += frame.length
            count += 1
            frame = read_frame(data, at)
        if first is not None and count >= CHAIN_FRAMES:
            return Chain(match.start(), at, first.demuxer, first.kind)
    return None
