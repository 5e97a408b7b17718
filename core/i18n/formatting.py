"""What every face shows alike: times and colours. Imports nothing, so that any of them may."""

from typing import Final

GENRE_COLOURS: Final = {
    "blues": (66, 133, 244),
    "classical": (214, 196, 140),
    "country": (176, 125, 72),
    "disco": (233, 92, 178),
    "hiphop": (245, 166, 35),
    "jazz": (0, 168, 150),
    "metal": (150, 158, 172),
    "pop": (174, 120, 230),
    "reggae": (96, 186, 70),
    "rock": (226, 74, 68),
}
"""One colour a genre; the name always stands beside it, so that nobody has to tell colours apart."""


def clock(seconds: float) -> str:
    """Write a time as `1:02`, or `1:02:03` from an hour on."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
