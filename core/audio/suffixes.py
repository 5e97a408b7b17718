"""Suffixes of the files that are decoded. They are a hint only: what is in a file is decided by its bytes."""

from pathlib import PurePath
from typing import Final

_AUDIO: Final = """
    3g2 3ga 3gp aac ac3 adts aif aifc aiff amr ape au awb caf dff dsf dts dtshd eac3 ec3 flac g722 g723_1 g726 g729 gsm
    m4a m4b m4r mka mlp mp1 mp2 mp3 mpc mpga mpp oga ogg opus snd spx thd truehd tta w64 wav wave weba wma wv
"""
_VIDEO: Final = "asf avi f4v flv m2ts m4v mkv mov mp4 mpe mpeg mpg mts ogv qt ts vob webm wmv"

AUDIO_SUFFIXES: Final = tuple(f".{suffix}" for suffix in _AUDIO.split())
"""Phones record sound into `.3gp` and `.3g2`, and video too."""

VIDEO_SUFFIXES: Final = tuple(f".{suffix}" for suffix in _VIDEO.split())

MEDIA_SUFFIXES: Final = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES)


def media_suffix(name: str | None) -> str:
    """Return a name's suffix where it is one of ours (`.gsm`), else nothing: safe in a path, whatever the name was."""
    suffix = PurePath(name or "").suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ""
