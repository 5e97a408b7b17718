from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from librosa import mel_frequencies

from core.constants import GENRES, N_MELS, SECTION_FRAMES, SEGMENT_FRAMES
from training.data.augment import AugmentConfig, Augmenter, WindowAugmenter, shift_table
from training.data.gtzan import Gtzan

NOTHING = AugmentConfig(
    stretch=1.0,
    semitones=0.0,
    equaliser_db=0.0,
    floors_db=(80.0, 80.0),
    dynamics=1.0,
    narrow=0.0,
    bands=0,
    frames=0,
    mixup=0.0,
)


def crops(data: Gtzan, config: AugmentConfig, seed: int = 1, n: int = 16) -> tuple[np.ndarray, np.ndarray]:
    tracks = np.arange(n) * 5 % len(data)
    targets = np.eye(len(GENRES), dtype=np.float32)[data.labels[tracks]]
    db, mixed = Augmenter(data.frames, config)(tf.constant(tracks), tf.constant(targets), tf.constant([seed, 0]))
    return db.numpy(), mixed.numpy()


def test_the_same_seed_gives_the_same_crops(made_gtzan: Gtzan) -> None:
    first, again, other = (crops(made_gtzan, AugmentConfig(), seed)[0] for seed in (1, 1, 2))
    assert first.shape == (16, N_MELS, SEGMENT_FRAMES)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1


@pytest.fixture
def rising() -> Gtzan:
    """Three tracks that grow louder by a third of a stored step with each frame."""
    ramp = (np.arange(SECTION_FRAMES) / 3).astype(np.uint8)
    mel = np.broadcast_to(ramp, (3, N_MELS, SECTION_FRAMES)).copy()
    return Gtzan(mel, ("blues.00000", "jazz.00000", "rock.00000"), "archive", Path(), {})


@pytest.mark.parametrize("stretch", [1.0, 1.35])
def test_a_crop_covers_three_seconds_of_the_track_as_it_is_played(rising: Gtzan, stretch: float) -> None:
    db, _ = crops(rising, replace(NOTHING, stretch=stretch), n=200)
    frames = (db[:, 0, -1] - db[:, 0, 0]) * 3 * 255 / 80
    assert frames.min() >= 71 / stretch - 3
    assert frames.max() <= 71 * stretch + 3
    assert np.ptp(frames) > 70 * (stretch - 1 / stretch) * 0.9 - 3
    starts = (db[:, 0, 0] + 80) * 3 * 255 / 80
    assert np.ptp(starts) > 500, "from anywhere in the track"


def test_mixing_keeps_the_shares_of_the_genres_at_one(made_gtzan: Gtzan) -> None:
    _, targets = crops(made_gtzan, AugmentConfig())
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-5)
    assert ((targets > 0.01) & (targets < 0.99)).any()


def test_without_mixing_the_targets_stay(made_gtzan: Gtzan) -> None:
    _, targets = crops(made_gtzan, NOTHING)
    assert set(np.unique(targets)) == {0.0, 1.0}


def test_a_shift_by_an_octave_takes_a_band_from_half_its_frequency() -> None:
    table = shift_table(12.0)
    centres = mel_frequencies(N_MELS + 2, fmin=0, fmax=11_025)[1:-1]
    band = int(np.argmin(np.abs(centres - 2_000)))
    source = table[-1, band]
    assert np.interp(source, np.arange(N_MELS), centres) == pytest.approx(centres[band] / 2, rel=0.01)
    np.testing.assert_allclose(table[len(table) // 2], np.arange(N_MELS), atol=1e-3)


def test_the_floor_rises_to_the_configured_level(made_gtzan: Gtzan) -> None:
    config = replace(NOTHING, floors_db=(30.0, 30.0), narrow=0.0)
    db, _ = crops(made_gtzan, config)
    np.testing.assert_allclose(db.max(axis=(1, 2)) - db.min(axis=(1, 2)), 30, atol=1e-3)


def test_narrow_crops_lose_their_upper_bands(made_gtzan: Gtzan) -> None:
    config = replace(NOTHING, floors_db=(60.0, 60.0), narrow=1.0)
    db, _ = crops(made_gtzan, config)
    floor = db.min(axis=(1, 2), keepdims=True)
    lost = (db == floor).all(axis=2).sum(axis=1)
    assert lost.max() > 20
    assert not (db == floor).all(axis=2)[:, :60].any(axis=1).all()


def test_dynamics_are_widened_and_narrowed_about_the_mean(made_gtzan: Gtzan) -> None:
    before, _ = crops(made_gtzan, NOTHING, n=100)
    after, _ = crops(made_gtzan, replace(NOTHING, dynamics=1.5, floors_db=(300.0, 300.0)), n=100)
    np.testing.assert_allclose(after.mean(axis=(1, 2)), before.mean(axis=(1, 2)), atol=1e-2)
    factor = after.std(axis=(1, 2)) / before.std(axis=(1, 2))
    assert 1 / 1.501 <= factor.min() < 0.8
    assert 1.25 < factor.max() <= 1.501


def test_only_the_given_share_of_crops_is_mixed(made_gtzan: Gtzan) -> None:
    _, targets = crops(made_gtzan, replace(NOTHING, mixup=8.0, mixed=0.3), n=100)
    mixed = (targets.max(axis=1) < 0.999).mean()
    assert 0.1 < mixed < 0.45


def test_a_window_is_the_crop_that_its_target_belongs_to() -> None:
    frames = np.repeat(np.arange(200, dtype=np.uint8)[:, np.newaxis], N_MELS, axis=1)
    as_is = replace(NOTHING, floors_db=(200.0, 200.0))
    windows = np.array([[100, 84, 83], [0, 200, 2 * 20 + SEGMENT_FRAMES - 1]], np.int64)
    db, _ = WindowAugmenter(frames, as_is, jitter=0.0)(windows, np.zeros((2, 1), np.float32), np.array([1, 2]))
    columns = (np.asarray(db)[:, 0] + 80) / 80 * 255
    np.testing.assert_allclose(columns[0], 106 + np.arange(SEGMENT_FRAMES), atol=0.01)
    np.testing.assert_allclose(columns[1], 20 + np.arange(SEGMENT_FRAMES), atol=0.01)
