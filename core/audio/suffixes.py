"""Suffixes of the files that are decoded. They are a hint only: what is in a file is decided by its bytes."""

from typing import Final

_AUDIO: Final = """
    3g2 3ga 3gp aac ac3 adts aif aifc aiff amr ape au awb caf eac3 ec3 flac m4a m4b m4r mka mp1 mp2 mp3 mpga oga ogg
    opus snd tta w64 wav wave weba wma wv
"""
_VIDEO: Final = "asf avi f4v flv m2ts m4v mkv mov mp4 mpe mpeg mpg mts ogv qt ts vob webm wmv"

AUDIO_SUFFIXES: Final = tuple(f".{suffix}" for suffix in _AUDIO.split())
"""Phones record sound into `.3gp` and `.3g2`, and video too."""

VIDEO_SUFFIXES: Final = tuple(f".{suffix}" for suffix in _VIDEO.split())

MEDIA_SUFFIXES: Final = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES)
