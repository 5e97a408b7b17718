import json
from pathlib import Path

import keras
import numpy as np
import pytest

from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from core.inference.classifier import Classifier
from training import export, networks
from training.recipes import RECIPES

NETWORKS = {
    "study": networks.study_cnn,
    "genie": lambda: networks.averaged([with_trained_statistics(networks.genie_network()) for _ in RECIPES["genie"]]),
    "music": networks.music_network,
}


def with_trained_statistics(model: keras.Model) -> keras.Model:
    """Give a network's batch normalisation the statistics of a trained one."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    gamma,
                    beta + generator.normal(0, 0.2, beta.shape),
                    mean + generator.normal(0, 0.2, mean.shape),
                    variance * generator.uniform(0.5, 2, variance.shape),
                ]
            )
    return model


@pytest.fixture(scope="module")
def segments() -> np.ndarray:
    """Twelve segments in dB, with silence and full scale in them."""
    db = np.random.default_rng(1).uniform(-80, 0, (12, N_MELS, SEGMENT_FRAMES)).astype(np.float32)
    db[0] = -80
    db[1, :, 30:] = -80
    db[2] = 0
    return db


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_model_predicts_what_the_network_does(name: str, segments: np.ndarray) -> None:
    keras.utils.set_random_seed(3)
    model = with_trained_statistics(NETWORKS[name]())
    threshold = 0.5 if name == "music" else None
    fields = export.CardFields(name, "1", {}, "track", 0, {}, threshold=threshold)
    expected = model.predict(segments, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.02, "the probabilities must differ for the comparison to mean anything"
    np.testing.assert_allclose(
        export.run_as_served(export.convert(model, "float32"), fields, segments), expected, atol=1e-4
    )
    np.testing.assert_allclose(
        export.run_as_served(export.convert(model, "float16"), fields, segments), expected, atol=0.01
    )
    np.testing.assert_allclose(
        export.run_as_served(export.convert(model, "int8"), fields, segments), expected, atol=0.15
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_small_enough_to_be_shipped(name: str) -> None:
    parameters = NETWORKS[name]().count_params()
    assert parameters <= {"study": 4_300_000, "genie": 2_000_000, "music": 250_000}[name]


def test_the_level_of_a_recording_does_not_change_what_genie_predicts(segments: np.ndarray) -> None:
    model = with_trained_statistics(networks.genie_network(4, (8, 16)))
    quieter = np.maximum(segments[3:] * 0.5 - 30, -80)
    loud = segments[3:] * 0.5
    np.testing.assert_allclose(model.predict(quieter, verbose=0), model.predict(loud, verbose=0), atol=1e-3)


def test_serving_takes_the_card_and_its_temperature(tmp_path: Path, segments: np.ndarray) -> None:
    model = with_trained_statistics(networks.genie_network(4, (8, 16)))
    content = export.convert(model, "int8")
    fields = export.CardFields("small", "1", {"name": "made"}, "track", 0, {"track": {}}, temperature=2.0)
    classifier = Classifier(export.write_model(tmp_path, fields, content))
    assert classifier.card.temperature == 2.0
    written = json.loads((tmp_path / "small.json").read_text())
    assert written["genres"] == list(GENRES)
    assert written["split"] == "track"
    plain = export.run_as_served(content, export.CardFields("small", "1", {}, "track", 0, {}), segments)
    softer = np.sqrt(plain) / np.sqrt(plain).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(segments), softer, atol=1e-4)


def test_int8_is_taken_only_where_it_costs_little(segments: np.ndarray) -> None:
    model = with_trained_statistics(networks.genie_network(4, (8, 16)))
    fields = export.CardFields("small", "1", {}, "track", 0, {})
    unquantised = model.predict(segments, batch_size=64, verbose=0)
    _, precision = export.convert_smallest(model, fields, segments, lambda probabilities: 0.7)
    assert precision == "int8"
    _, precision = export.convert_smallest(
        model, fields, segments, lambda probabilities: 0.7 - 0.1 * (not np.array_equal(probabilities, unquantised))
    )
    assert precision == "float16"
