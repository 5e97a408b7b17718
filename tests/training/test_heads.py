from dataclasses import replace

import keras
import numpy as np
import pytest

from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from training import heads, networks
from training.data.other_sounds import Recordings
from training.heads import ProbeData, fit_probe
from training.networks import HEAD_SCALE, Dense


@pytest.fixture
def student() -> keras.Model:
    keras.utils.set_random_seed(1)
    return networks.student_network(5, 3, embedding=4, filters=4, widths=(8, 8), hidden=16)


def test_a_probe_predicts_what_the_features_hold() -> None:
    generator = np.random.default_rng(0)
    genre = generator.integers(0, 10, 600)
    hidden = np.eye(12)[genre] + generator.normal(0, 0.1, (600, 12))
    data = ProbeData(hidden.astype(np.float32), np.eye(10, dtype=np.float32)[genre], np.arange(600) % 2 == 0)
    dense = fit_probe(data, songs=0.5, penalty=1e-3)
    assert ((hidden @ dense.kernel + dense.bias).argmax(axis=1) == genre).mean() > 0.98


def test_a_probe_follows_the_songs_as_much_as_their_share_says() -> None:
    hidden = np.ones((200, 2), np.float32)
    is_song = np.arange(200) < 150
    genre = np.eye(10, dtype=np.float32)[np.where(is_song, 3, 7)]
    dense = fit_probe(ProbeData(hidden, genre, is_song), songs=0.3, penalty=1e-3)
    logits = hidden[0] @ dense.kernel + dense.bias
    shares = np.exp(logits) / np.exp(logits).sum()
    assert shares[3] == pytest.approx(0.3, abs=0.02)
    assert shares[7] == pytest.approx(0.7, abs=0.02)


def test_a_trained_head_gives_the_logits_that_the_student_was_trained_with(student: keras.Model) -> None:
    db = np.random.default_rng(0).uniform(-80, 0, (3, N_MELS, SEGMENT_FRAMES)).astype(np.float32)
    outputs = {name: value.numpy() for name, value in student(db, training=False).items()}
    for name in ("genre", "embedding"):
        dense = heads.trained_head(student, name)
        np.testing.assert_allclose(outputs["hidden"] @ dense.kernel + dense.bias, outputs[name], atol=1e-4)
    assert HEAD_SCALE != 1


def test_a_served_network_has_the_heads_that_it_is_given_in_order(student: keras.Model) -> None:
    zeros = np.zeros((16, len(GENRES)), np.float32)
    bias = np.arange(10, dtype=np.float32)
    tags = Dense(np.zeros((16, 2), np.float32), np.array([0, 50], np.float32))
    music = networks.music_head(3 * 8 + 16)
    given = networks.Heads(Dense(zeros, bias), music, tags, heads.trained_head(student, "embedding"))
    db = np.random.default_rng(0).uniform(-80, 0, (3, N_MELS, SEGMENT_FRAMES)).astype(np.float32)
    model = networks.served_network(student, given)
    outputs = model(db, training=False)
    assert list(model.output) == ["genre", "music", "tags", "embedding"]
    np.testing.assert_allclose(outputs["genre"][0], np.exp(bias) / np.exp(bias).sum(), atol=1e-5)
    np.testing.assert_allclose(outputs["tags"][0], [0.5, 1], atol=1e-5)
    assert outputs["music"].shape == (3, 1)
    assert list(networks.served_network(student, replace(given, music=None, tags=None)).output) == [
        "genre",
        "embedding",
    ]


def test_a_music_head_separates_music_from_other_sounds(student: keras.Model, recordings: Recordings) -> None:
    mel = recordings.mel.copy()
    mel[recordings.is_music, :, ::6] = 255
    mel[~recordings.is_music] = np.minimum(mel[~recordings.is_music], 120)
    train = replace(recordings, mel=mel)
    head = heads.fit_music_head(student, train, seed=0, crops=1_024)
    segments, recording = train.segments()
    outputs = networks.trunk(student)(segments, training=False)
    features = np.concatenate([outputs["pooled"], outputs["hidden"]], axis=1)
    probability = head.predict(features, verbose=0)[:, 0]
    is_music = train.is_music[recording]
    assert probability[is_music].min() > probability[~is_music].max()
