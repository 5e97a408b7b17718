"""A support vector machine on statistics of the mel bands: what a network must beat."""

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from core.constants import GENRES
from training.data.gtzan import Gtzan, to_db
from training.data.splits import Subset


def statistics(mel: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean, deviation and mean change of each band.

    Args:
        mel: uint8 `(n, N_MELS, SEGMENT_FRAMES)`, as of `Gtzan.mel`.

    Returns:
        float32 `(n, 3 * N_MELS)`, dB.
    """
    db = to_db(mel)
    change = np.abs(np.diff(db, axis=2)).mean(axis=2)
    return np.concatenate([db.mean(axis=2), db.std(axis=2), change], axis=1)


class Baseline:
    """A fitted support vector machine with a radial kernel."""

    def __init__(self, machine: Pipeline) -> None:
        self._machine = machine

    def predict(self, mel: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shares of the genres `(n, 10)`: the softmax of the decision values, which are no true probabilities."""
        decided = self._machine.decision_function(statistics(mel))
        if decided.ndim == 1:  # of two genres scikit-learn gives one value
            decided = np.stack([-decided, decided], axis=1)
        values = np.full((len(mel), len(GENRES)), -np.inf)
        values[:, self._machine.classes_] = decided
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        shares: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def fit_baseline(data: Gtzan, part: Subset, seed: int = 0) -> Baseline:
    """Fit it to the segments of a part."""
    machine = make_pipeline(StandardScaler(), SVC(C=10.0, random_state=seed))
    machine.fit(statistics(part.segments(data)), part.labels(data))
    return Baseline(machine)
