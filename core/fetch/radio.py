"""Radio stations without a length or a sign in their headers: they arrive at the pace at which they are played."""

import time
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Final

_DECIDED_SECONDS: Final = 5.0
"""After so long the pace is judged: by then, what stations send ahead for the player's buffer has passed."""

_WINDOW_SECONDS: Final = 4.0
_LONGEST_GAP_SECONDS: Final = 1.5
"""A station's data come steadily; where they stop for longer, a connection is slow for a while."""

_LIVE_PACE: Final = 2.0
"""Seconds of sound a second. A song that arrives at less would not be there before a job's deadline."""

_LIVE_BYTES_PER_SECOND: Final = 128 * 1024
"""Where the bytes do not say how long they play: twice the pace of the dearest MP3, or that of FLAC."""

_JUDGED_EVERY_SECONDS: Final = 1.0
"""The bytes are looked at in the event loop: no more often than somebody would notice."""

_SAMPLE_BYTES: Final = 128 * 1024

_MOST_HEADERS: Final = 2_000
"""Headers that are read of one sample. Sound of any kind needs far fewer; bytes that a server chose to look like the
beginnings of frames, and are none, would need one each."""

_KBITS: Final = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of MPEG audio by (MPEG-1, layer); ISO/IEC 11172-3, 2.4.2.3, and 13818-3."""

_MPEG_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_ADTS_RATES: Final = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
_ADTS_SAMPLES: Final = 1_024
_MIN_FRAMES: Final = 8


class StreamPace:
    """Judges whether what arrives without a length is a radio station.

    Args:
        path: the file that grows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began: float | None = None
        self._arrived: deque[tuple[float, int]] = deque()
        self._judged_at = float("-inf")

    def is_endless(self, received: int) -> bool:
        """Whether it is a station, now that so many bytes are there; False as long as that is too early to say."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        self._arrived.append((now, received))
        while len(self._arrived) > 1 and self._arrived[1][0] <= now - _WINDOW_SECONDS:
            self._arrived.popleft()
        since, before = self._arrived[0]
        if now - self._began < _DECIDED_SECONDS or now - since < _WINDOW_SECONDS:
            return False
        times = [moment for moment, _ in self._arrived]
        if max(later - earlier for earlier, later in pairwise(times)) > _LONGEST_GAP_SECONDS:
            return False
        rate = (received - before) / (now - since)
        if rate > _LIVE_BYTES_PER_SECOND:
            return False
        if now - self._judged_at < _JUDGED_EVERY_SECONDS:
            return False
        self._judged_at = now
        played = bytes_per_second(self._latest())
        return played is None or rate / played <= _LIVE_PACE

    def _latest(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - _SAMPLE_BYTES))
                return file.read(_SAMPLE_BYTES)
        except OSError:
            return b""


def bytes_per_second(data: bytes) -> float | None:
    """Give the pace at which a piece of MP3, MP2 or AAC (ADTS) is played; None for anything else.

    None as well where no frames follow each other among the first `_MOST_HEADERS` headers.

    Args:
        data: from anywhere in the stream.
    """
    start, headers = 0, 0
    while (start := data.find(b"\xff", start)) >= 0 and headers < _MOST_HEADERS:
        position, frames, seconds = start, 0, 0.0
        while headers < _MOST_HEADERS and (frame := _frame(data, position)):
            size, duration = frame
            position, frames, seconds = position + size, frames + 1, seconds + duration
            headers += 1
        headers += 1
        if frames >= _MIN_FRAMES:
            return (position - start) / seconds
        start = position if frames > 1 else start + 1
    return None


def _frame(data: bytes, position: int) -> tuple[int, float] | None:
    """Read the header of the frame at a position: its bytes and seconds; None where there is none."""
    header = data[position : position + 6]
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    if header[1] & 0xF6 == 0xF0:
        rate_index = header[2] >> 2 & 15
        size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        if rate_index >= len(_ADTS_RATES) or size < 7:
            return None
        return size, _ADTS_SAMPLES / _ADTS_RATES[rate_index]
    kbit_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or not 0 < kbit_index < 15 or rate_index == 3:
        return None
    first = version == 3
    rate, bits = _MPEG_RATES[version][rate_index], _KBITS[first, layer][kbit_index - 1] * 1_000
    if layer == 1:
        return (12 * bits // rate + padding) * 4, 384 / rate
    samples = 1_152 if first or layer == 2 else 576
    return samples // 8 * bits // rate + padding, samples / rate
