"""What GenreGenie is measured against: the study's own way, all in one process.

`librosa.load`, and for each three seconds librosa's mel spectrogram, a picture of it and `keras.Model.predict`. The
weights are random: they change the answer and not the time. `--batched` predicts a song's ten pictures at once, which
is how one would write it after a look at the clock.
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


def hear(model: Any, path: Path, batched: bool) -> str:  # noqa: ANN401 - see study_model
    """Give the genre that most of a song's segments name."""
    drawn = pictures(path)
    step = len(drawn) if batched else 1
    votes: Counter[int] = Counter()
    for first in range(0, len(drawn), step):
        votes.update(model.predict(drawn[first : first + step], verbose=0).argmax(axis=1).tolist())
    return GENRES[votes.most_common(1)[0][0]]


def main() -> None:
    """Hear the files named, one after another, and print how many seconds that took, warm, as JSON."""
    batched = "--batched" in sys.argv
    paths = [Path(name) for name in sys.argv[1:] if not name.startswith("--")]
    model = study_model()
    # The first call of each library builds what later calls use.
    hear(model, paths[0], batched)
    began = time.perf_counter()
    genres = [hear(model, path, batched) for path in paths]
    print(json.dumps({"seconds": time.perf_counter() - began, "genres": genres}))


if __name__ == "__main__":
    main()
