"""What GenreGenie is measured against: the study's own way, all in one process.

`librosa.load`, librosa's mel spectrogram of each three seconds, a picture of it, and `keras.Model.predict`. The weights
are random: they change the answer and not the time. The ten pictures of a song are predicted at once, which is the
faster way to write it.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.constants import GENRES

if TYPE_CHECKING:
    import numpy as np

SEGMENT_SAMPLES = 66_150
PICTURE = (128, 130)
"""Mel bands × frames of three seconds at librosa's own hop of 512."""


def study_model() -> Any:  # noqa: ANN401 - a keras.Model; TensorFlow is loaded when it is needed
    """Build the study's CNN on pictures of 128×130 RGB."""
    import keras
    from keras import layers

    stack = [keras.Input((*PICTURE, 3))]
    for filters in (32, 64, 128):
        stack += [
            layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
        ]
    stack += [
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(len(GENRES), activation="softmax"),
    ]
    return keras.Sequential(stack)


def pictures(path: Path) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Draw a song's segments.

    Returns:
        float32 `(n, 128, 130, 3)` from 0 to 1, ten at most.
    """
    import librosa
    import numpy as np
    from matplotlib import colormaps

    samples, rate = librosa.load(path)
    drawn = []
    for start in range(0, min(len(samples), 10 * SEGMENT_SAMPLES) - SEGMENT_SAMPLES // 2, SEGMENT_SAMPLES):
        segment = librosa.util.fix_length(samples[start : start + SEGMENT_SAMPLES], size=SEGMENT_SAMPLES)
        mel = librosa.feature.melspectrogram(y=segment, sr=rate)
        db = librosa.power_to_db(mel, ref=np.max)
        drawn.append(colormaps["magma"](1 + db / 80)[:, :, :3])
    return np.asarray(drawn, np.float32)


def main() -> None:
    """Hear the files named, one after another, and print the seconds of each stage as JSON."""
    began = time.perf_counter()
    model = study_model()
    paths = [Path(name) for name in sys.argv[1:]]
    # The first call of each library builds what later calls use.
    model.predict(pictures(paths[0]), verbose=0)
    warm = time.perf_counter()
    genres = []
    for path in paths:
        votes = model.predict(pictures(path), verbose=0).argmax(axis=1)
        genres.append(GENRES[Counter(votes.tolist()).most_common(1)[0][0]])
    seconds = time.perf_counter() - warm
    print(json.dumps({"warm_up": warm - began, "seconds": seconds, "genres": genres}))


if __name__ == "__main__":
    main()
