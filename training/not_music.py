"""The output for music: on what it is trained, from which probability on a recording is music, what it refuses."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.data.augment import AugmentConfig
from training.data.other_sounds import Recordings

AUGMENT: Final = AugmentConfig(
    stretch=1.2, semitones=2.0, equaliser_db=9.0, floors_db=(40.0, 80.0), narrow=0.5, bands=20, frames=8, mixup=0.0
)
MUSIC_SHARES: Final = {"gtzan/archive": 0.35, "songs/as-is": 0.35}
"""Share of each kind of music that is as it was recorded, relative to `OTHER_MUSIC_SHARE`."""

OTHER_MUSIC_SHARE: Final = 0.15
"""Share of what went through codecs, is synthetic, or has other sounds in the background."""

MAX_MUSIC_REFUSED: Final = 0.01
"""Share of the validation music that may be refused."""


def sampling_weights(recordings: Recordings) -> NDArray[np.float64]:
    """Give the share of draws of each recording, `(n,)`: half is music, each class of other sounds alike."""
    classes = recordings.classes
    weights = np.zeros(len(recordings))
    others = np.unique(classes[~recordings.is_music])
    for name in others:
        # Speech is what is posted most.
        share = 0.2 if name == "speech" else 0.3 / max(len(others) - 1, 1)
        weights[classes == name] = share / (classes == name).sum()
    kinds = [(np.array([name == label for name in recordings.labels]), share) for label, share in MUSIC_SHARES.items()]
    kinds.append((recordings.is_music & ~np.any([kind for kind, _ in kinds], axis=0), OTHER_MUSIC_SHARE))
    present = [(kind, share) for kind, share in kinds if kind.any()]
    for kind, share in present:
        weights[kind] = 0.5 * share / sum(share for _, share in present) / kind.sum()
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def recording_probabilities(probabilities: NDArray[np.float32], recording: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average the segments' probabilities of each recording, which is what serving compares with the threshold.

    Args:
        probabilities: of music, `(n_segments, 1)`.
        recording: position of each segment's recording, `(n_segments,)`.
    """
    return np.array([probabilities[recording == i, 0].mean() for i in np.unique(recording)], np.float64)


def choose_threshold(music: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Choose the threshold on validation.

    Where the two overlap, it is the highest that refuses at most `MAX_MUSIC_REFUSED` of the music; where they don't, it
    lies midway between them.

    Args:
        music: probabilities of the music.
        other: probabilities of the other sounds.
    """
    lowest_music = float(np.quantile(music, MAX_MUSIC_REFUSED, method="lower"))
    highest_other = float(np.quantile(other, 1 - MAX_MUSIC_REFUSED, method="higher"))
    return lowest_music if lowest_music <= highest_other else (lowest_music + highest_other) / 2


def refusals(recordings: Recordings, probabilities: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Count the recordings that are refused as not music: in total, by class, and by class and codec."""
    refused = probabilities < threshold
    by_label: dict[str, dict[str, int]] = {}
    by_class: dict[str, dict[str, int]] = {}
    for label, name, is_refused in zip(recordings.labels, recordings.classes, refused, strict=True):
        for row in (
            by_label.setdefault(label, {"recordings": 0, "refused": 0}),
            by_class.setdefault(str(name), {"recordings": 0, "refused": 0}),
        ):
            row["recordings"] += 1
            row["refused"] += int(is_refused)
    return {
        "music_refused": round(float(refused[recordings.is_music].mean()), 4),
        "other_refused": round(float(refused[~recordings.is_music].mean()), 4),
        "by_class": by_class,
        "by_codec": by_label,
    }
