import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from core.constants import GENRES, N_MELS, SEGMENT_FRAMES
from core.inference.classifier import Classifier
from training import export, networks


def small_genie(
    filters: int = 4, widths: Sequence[int] = (8, 16), hidden: int = 16, tags: int = 3, embedding: int = 4
) -> keras.Model:
    """A network with all four outputs, with heads at random."""
    generator = np.random.default_rng(5)

    def dense(size: int) -> networks.Dense:
        kernel = generator.normal(0, 0.3, (hidden, size)).astype(np.float32)
        return networks.Dense(kernel, generator.normal(0, 0.3, size).astype(np.float32))

    student = with_trained_statistics(networks.student_network(0, 0, 0, filters=filters, widths=widths, hidden=hidden))
    music = with_trained_statistics(networks.music_head(3 * widths[-1] + hidden, 8))
    return networks.served_network(student, networks.Heads(dense(10), music, dense(tags), dense(embedding)))


OUTPUTS = ("genre", "music", "tags", "embedding")
FIELDS = export.CardFields(
    "small", "2", {}, "filtered", 0, {}, threshold=0.5, outputs=OUTPUTS, details={"tags": ["a", "b", "c"]}
)


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


def test_an_exported_model_predicts_what_the_network_does(segments: np.ndarray) -> None:
    keras.utils.set_random_seed(3)
    model = with_trained_statistics(networks.study_cnn())
    fields = export.CardFields("study", "1", {}, "track", 0, {})
    expected = model.predict(segments, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.02, "the probabilities must differ for the comparison to mean anything"
    for precision, tolerance in (("float32", 1e-4), ("float16", 0.01), ("int8", 0.15)):
        outputs = export.run_as_served(export.convert(model, precision), fields, segments)
        np.testing.assert_allclose(outputs.genre, expected, atol=tolerance)


def test_several_outputs_are_served_by_their_names(segments: np.ndarray) -> None:
    model = small_genie()
    expected = model.predict(segments, verbose=0)
    for precision, tolerance in (("float32", 1e-4), ("float16", 0.01), ("int8", 0.15)):
        outputs = export.run_as_served(export.convert(model, precision), FIELDS, segments)
        np.testing.assert_allclose(outputs.genre, expected["genre"], atol=tolerance)
        np.testing.assert_allclose(outputs.music, expected["music"][:, 0], atol=tolerance)
        np.testing.assert_allclose(outputs.tags, expected["tags"], atol=tolerance)
        assert np.corrcoef(outputs.embedding.ravel(), expected["embedding"].ravel())[0, 1] > 0.99


def test_a_file_has_its_outputs_in_order_and_under_their_names(segments: np.ndarray) -> None:
    content = export.convert(small_genie(), "int8")
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    assert [detail["shape_signature"][1] for detail in interpreter.get_output_details()] == [10, 1, 3, 4]
    by_name = interpreter.get_signature_runner("serving_default")(db=segments)
    np.testing.assert_allclose(by_name["genre"].sum(axis=1), 1, atol=1e-5)
    assert {name: value.shape[1] for name, value in by_name.items()} == dict(zip(OUTPUTS, (10, 1, 3, 4), strict=True))


@pytest.mark.parametrize(
    ("build", "most"),
    [
        (networks.study_cnn, 4_300_000),
        (lambda: networks.student_network(104, 50), 2_000_000),
    ],
)
def test_a_network_is_small_enough_to_be_shipped(build: Callable[[], keras.Model], most: int) -> None:
    assert build().count_params() <= most


def test_mixed_precision_computes_the_same_function(segments: np.ndarray) -> None:
    exact = networks.study_cnn((2, 4, 8), 8)
    mixed = networks.study_cnn((2, 4, 8), 8, mixed_precision=True)
    mixed.set_weights(exact.get_weights())
    assert {str(weight.dtype) for weight in mixed.weights if "seed" not in weight.path} == {"float32"}
    computed = {layer.compute_dtype for layer in mixed.layers if isinstance(layer, keras.layers.Conv2D)}
    assert computed == {"bfloat16"}
    first, second = (model.predict(segments, verbose=0) for model in (exact, mixed))
    assert second.dtype == np.float32
    np.testing.assert_allclose(second.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(first, second, atol=0.03)
    assert not np.array_equal(first, second)


def test_the_level_of_a_recording_does_not_change_what_genie_predicts(segments: np.ndarray) -> None:
    model = small_genie()
    quieter = np.maximum(segments[3:] * 0.5 - 30, -80)
    loud = segments[3:] * 0.5
    first, second = (model.predict(db, verbose=0)["genre"] for db in (quieter, loud))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_serving_takes_the_card_and_its_temperature(tmp_path: Path, segments: np.ndarray) -> None:
    content = export.convert(small_genie(), "int8")
    fields = replace(FIELDS, split="track", temperature=2.0)
    classifier = Classifier(export.write_model(tmp_path, fields, content))
    assert classifier.card.temperature == 2.0
    written = json.loads((tmp_path / "small.json").read_text())
    assert written["genres"] == list(GENRES)
    assert written["split"] == "track"
    assert written["outputs"] == list(OUTPUTS)
    assert written["tags"] == ["a", "b", "c"]
    plain = export.genre_as_served(content, FIELDS, segments)
    softer = np.sqrt(plain) / np.sqrt(plain).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.probabilities(segments), softer, atol=1e-4)


def test_int8_is_taken_only_where_it_costs_little(segments: np.ndarray) -> None:
    model = small_genie()
    unquantised = model.predict(segments, batch_size=64, verbose=0)["genre"]
    _, precision = export.convert_smallest(model, FIELDS, segments, lambda probabilities: 0.7)
    assert precision == "int8"
    _, precision = export.convert_smallest(
        model, FIELDS, segments, lambda probabilities: 0.7 - 0.1 * (not np.array_equal(probabilities, unquantised))
    )
    assert precision == "float16"
