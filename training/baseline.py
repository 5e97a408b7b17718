"""The baseline: a support vector machine on statistics of the mel bands."""

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.extmath import softmax

from core.constants import GENRES
from training.data.gtzan import Gtzan, to_db
from training.data.splits import Subset


def statistics(mel: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean, standard deviation and mean absolute change of each band.

    Args:
        mel: uint8 `(n, N_MELS, SEGMENT_FRAMES)`, as in `Gtzan.mel`.

    Returns:
        float32 `(n, 3 * N_MELS)`, dB.
    """
    db = to_db(mel)
    change = np.abs(np.diff(db, axis=2)).mean(axis=2)
    return np.concatenate([db.mean(axis=2), db.std(axis=2), change], axis=1)


class Baseline:
    """A fitted support vector machine with a radial kernel."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def predict(self, mel: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores of the genres `(n, 10)`: the softmax of the decision function, which is no probability."""
        decision = self._pipeline.decision_function(statistics(mel))
        if decision.ndim == 1:  # of two classes scikit-learn gives one value
            decision = np.stack([-decision, decision], axis=1)
        values = np.full((len(mel), len(GENRES)), -np.inf)
        values[:, self._pipeline.classes_] = decision
        scores: NDArray[np.float32] = softmax(values).astype(np.float32)
        return scores


def fit_baseline(gtzan: Gtzan, train: Subset, seed: int = 0) -> Baseline:
    """Fit the baseline to the segments of a subset."""
    pipeline = make_pipeline(StandardScaler(), SVC(C=10.0, random_state=seed))
    pipeline.fit(statistics(train.segments(gtzan)), train.labels(gtzan))
    return Baseline(pipeline)
