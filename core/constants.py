"""The audio parameters and the ten genres, in one place for training and serving."""

from typing import Final

GENRES: Final = (
    "blues",
    "classical",
    "country",
    "disco",
    "hiphop",
    "jazz",
    "metal",
    "pop",
    "reggae",
    "rock",
)

GENRE_COLOURS: Final = {
    "blues": (102, 119, 251),
    "classical": (151, 253, 248),
    "country": (157, 119, 23),
    "disco": (255, 142, 249),
    "hiphop": (222, 179, 95),
    "jazz": (65, 170, 161),
    "metal": (238, 236, 208),
    "pop": (127, 116, 172),
    "reggae": (168, 255, 20),
    "rock": (206, 95, 100),
}
"""One colour a genre. Any two differ by a CIEDE2000 of 10 or more, also to eyes that lack one kind of cones."""

SAMPLE_RATE: Final = 22_050
"""Hz, mono."""

N_FFT: Final = 2_048
HOP_LENGTH: Final = 914
"""Samples between two frames: the frame rate of the training archive (723 frames in 30 s)."""

N_MELS: Final = 128
FMIN: Final = 0.0
FMAX: Final = 11_025.0
"""Hz, the Nyquist frequency of `SAMPLE_RATE`."""

DB_FLOOR: Final = -80.0
"""dB below the loudest bin of the section; everything quieter is this."""

POWER_MIN: Final = 1e-10
"""Power that stands for silence, as in librosa's `power_to_db`."""

SILENCE_DBFS: Final = -60.0
"""A recording in which nothing is louder than this is silent."""

SEGMENT_SECONDS: Final = 3.0
SEGMENT_SAMPLES: Final = 66_150
SEGMENT_FRAMES: Final = 72
SEGMENT_TOLERANCE_SECONDS: Final = 0.05
"""How much of a segment's 3 s may be missing at the end of a recording (GTZAN's 30 s are 29.996 s)."""

SECTION_SEGMENTS: Final = 10
SECTION_SECONDS: Final = 30.0
SECTION_FRAMES: Final = 723

FRONT_END_VERSION: Final = "2"
"""Changes with anything that changes a spectrogram: what is kept of an older one is not used again."""

TRAINED_FRONT_ENDS: Final = ("1", FRONT_END_VERSION)
"""The versions that a model may have been trained on. Version 1 had no high-pass filter and lost what channels cancel.

Of other music it gives the same spectrogram, and so does the training archive, which was made without a filter."""


def segment_frame(index: int) -> int:
    """First frame of segment `index`, counted from the first frame of its section."""
    return round(index * SEGMENT_SAMPLES / HOP_LENGTH)


def seconds_to_frame(seconds: float) -> int:
    """Frame nearest to a time in seconds."""
    return round(seconds * SAMPLE_RATE / HOP_LENGTH)


def frame_to_seconds(frame: int) -> float:
    """Time in seconds of the centre of a frame."""
    return frame * HOP_LENGTH / SAMPLE_RATE
