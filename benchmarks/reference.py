"""The reference that GenreGenie is measured against: the original study's method, in one process.

`librosa.load`, then for each three seconds librosa's mel spectrogram, an image of it and `keras.Model.predict`. The
weights are random, which changes the predictions but not the time. `--batched` predicts a song's ten images at once,
the first optimisation that one would make.
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
"""Mel bands × frames of three seconds at librosa's default hop of 512."""


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
    """Draw the mel spectrograms of a song's segments.

    Returns:
        float32 `(n, 128, 130, 3)` from 0 to 1, at most ten.
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


def classify(model: Any, path: Path, batched: bool) -> str:  # noqa: ANN401 - see study_model
    """Classify a song: the genre with the most votes among its segments."""
    drawn = pictures(path)
    step = len(drawn) if batched else 1
    votes: Counter[int] = Counter()
    for first in range(0, len(drawn), step):
        votes.update(model.predict(drawn[first : first + step], verbose=0).argmax(axis=1).tolist())
    return GENRES[votes.most_common(1)[0][0]]


def main() -> None:
    """Classify the files given, one after another, and print the seconds that it took, warm, as JSON."""
    batched = "--batched" in sys.argv
    paths = [Path(name) for name in sys.argv[1:] if not name.startswith("--")]
    model = study_model()
    # The first call of each library builds caches that later calls use.
    classify(model, paths[0], batched)
    began = time.perf_counter()
    genres = [classify(model, path, batched) for path in paths]
    print(json.dumps({"seconds": time.perf_counter() - began, "genres": genres}))


if __name__ == "__main__":
    main()
