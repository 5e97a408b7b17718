import numpy as np

from training.baseline import fit_baseline, statistics
from training.data.gtzan import Gtzan
from training.data.splits import SplitName, make_split


def test_statistics_are_of_each_band(made_gtzan: Gtzan) -> None:
    mel = np.full((2, 128, 72), 255, np.uint8)
    mel[:, 5, ::2] = 0
    mean, deviation, change = np.split(statistics(mel)[0], 3)
    np.testing.assert_allclose((mean[5], deviation[5], change[5]), (-40, 40, 80), atol=1e-4)
    np.testing.assert_allclose((mean[6], deviation[6], change[6]), (0, 0, 0), atol=1e-4)


def test_the_baseline_separates_genres_that_differ_in_their_bands(made_gtzan: Gtzan) -> None:
    split = make_split(SplitName.TRACK, made_gtzan)
    scores = fit_baseline(made_gtzan, split.train).predict(split.test.segments(made_gtzan))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == split.test.labels(made_gtzan)).mean() > 0.95
