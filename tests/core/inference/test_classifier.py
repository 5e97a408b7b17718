import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.audio.spectrogram import FloatArray, log_mel, segments_db
from core.constants import DB_FLOOR, GENRES, N_MELS, SEGMENT_FRAMES
from core.errors import ConfigurationError
from core.inference import model_card as module
from core.inference.classifier import Classifier, apply_temperature
from core.inference.model_card import front_end, model_file, read_card
from tests.support.audio import make_song


@pytest.fixture(scope="module")
def shipped() -> Path:
    return model_file("plain")


@pytest.fixture(scope="module")
def plain(shipped: Path) -> Classifier:
    return Classifier(shipped)


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    """A model of which the card may be changed."""
    for suffix in (".tflite", ".json"):
        shutil.copy(shipped.with_suffix(suffix), tmp_path / f"copy{suffix}")
    return tmp_path / "copy.tflite"


def change_card(path: Path, **changes: Any) -> None:
    card = json.loads(path.with_suffix(".json").read_text())
    card.update(changes)
    path.with_suffix(".json").write_text(json.dumps({k: v for k, v in card.items() if v is not ...}))


def song_segments(seconds: float = 30) -> FloatArray:
    recording = log_mel([make_song(seconds)])
    return segments_db(recording, recording.segment_starts())


def test_each_segment_gets_ten_probabilities(plain: Classifier) -> None:
    probabilities = plain.probabilities(song_segments())
    assert probabilities.shape == (10, len(GENRES))
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)


def test_a_segments_probabilities_do_not_depend_on_its_company(plain: Classifier) -> None:
    segments = song_segments(100)
    together = plain.probabilities(segments)
    assert together.shape == (33, len(GENRES))
    for index in (0, 7, 32):
        # Dynamic-range quantisation scales by the batch.
        np.testing.assert_allclose(plain.probabilities(segments[index : index + 1])[0], together[index], atol=0.05)
    np.testing.assert_array_equal(plain.probabilities(segments), together)


def test_no_segments_give_no_probabilities(plain: Classifier) -> None:
    assert plain.probabilities(song_segments()[:0]).shape == (0, len(GENRES))


def test_extremes_have_finite_probabilities(plain: Classifier) -> None:
    for value in (0.0, DB_FLOOR):
        segments = np.full((2, N_MELS, SEGMENT_FRAMES), value, np.float32)
        assert np.isfinite(plain.probabilities(segments)).all()


def test_the_cards_temperature_softens(copy: Path, plain: Classifier) -> None:
    sharp = plain.probabilities(song_segments())
    change_card(copy, temperature=plain.card.temperature * 3)
    soft = Classifier(copy).probabilities(song_segments())
    np.testing.assert_array_equal(soft.argmax(axis=1), sharp.argmax(axis=1))
    assert soft.max(axis=1).mean() < sharp.max(axis=1).mean()
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)


def test_tempering_is_that_of_softmax() -> None:
    logits = np.array([[2.0, 0.5, -1.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(apply_temperature(softmax.astype(np.float32), 2.0), expected, atol=1e-6)
    certain = np.array([[1.0, 0.0, 0.0]], np.float32)
    assert np.isfinite(apply_temperature(certain, 0.1)).all()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sha256": "0" * 64}, "sha256 differs"),
        ({"sha256": None}, "sha256 differs"),
        ({"genres": list(reversed(GENRES))}, "ten genres"),
        ({"genres": list(GENRES[:9])}, "ten genres"),
        ({"genres": 5}, "ten genres"),
        ({"front_end": {**front_end(), "hop_length": 512}}, "another front end"),
        ({"front_end": {**front_end(), "version": "0"}}, "another front end"),
        ({"front_end": None}, "another front end"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "warm"}, "not a model card"),
        ({"temperature": None}, "not a model card"),
        *(({key: ...}, f"lacks {key}") for key in sorted(module.CARD_KEYS)),
    ],
)
def test_a_model_that_does_not_match_its_card_is_refused(copy: Path, changes: dict[str, Any], complaint: str) -> None:
    change_card(copy, **changes)
    with pytest.raises(ConfigurationError, match=complaint):
        Classifier(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff\xfe\x00", b"null"])
def test_what_is_no_card_is_refused(copy: Path, content: bytes) -> None:
    copy.with_suffix(".json").write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a model card|lacks"):
        read_card(copy)


def test_a_model_without_a_card_is_refused(copy: Path) -> None:
    copy.with_suffix(".json").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Classifier(copy)


def test_a_changed_model_is_refused(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ConfigurationError, match="sha256 differs"):
        Classifier(copy)


def with_true_digest(path: Path) -> None:
    import hashlib

    change_card(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("content", [b"", b"not a model" * 100, b"\x00" * 5_000])
def test_what_is_no_model_is_refused_also_under_a_true_digest(copy: Path, content: bytes) -> None:
    copy.write_bytes(content)
    with_true_digest(copy)
    with pytest.raises(ConfigurationError, match="not a LiteRT model"):
        Classifier(copy)


@pytest.mark.parametrize(
    ("input_shape", "outputs", "complaint"),
    [
        ((N_MELS, SEGMENT_FRAMES), 9, r"output genre must be \[-1, 10\]"),
        ((N_MELS, 71), 10, "must have one input"),
        ((64, SEGMENT_FRAMES), 10, "must have one input"),
    ],
)
def test_a_model_of_another_shape_is_refused(
    copy: Path, input_shape: tuple[int, int], outputs: int, complaint: str
) -> None:
    tensorflow = pytest.importorskip("tensorflow", reason="makes a model of another shape")

    def pooled(segments: Any) -> Any:
        return tensorflow.reduce_mean(segments, axis=(1, 2))[:, None] * tensorflow.ones((1, outputs))

    signature = tensorflow.TensorSpec((None, *input_shape), tensorflow.float32)
    concrete = tensorflow.function(pooled, input_signature=[signature]).get_concrete_function()
    copy.write_bytes(tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    with_true_digest(copy)
    with pytest.raises(ConfigurationError, match=complaint):
        Classifier(copy)


@pytest.mark.parametrize("outputs", [["genre", "music"], ["genre", "music", "tags", "embedding"]])
def test_a_model_with_fewer_outputs_than_its_card_says_is_refused(copy: Path, outputs: list[str]) -> None:
    change_card(copy, outputs=outputs, threshold=0.5)
    with pytest.raises(ConfigurationError, match=rf"must have {len(outputs)} output"):
        Classifier(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": []},
        {"outputs": ["genre", "genre"]},
        {"outputs": ["mood"]},
        {"tag_thresholds": {"Banjo": "often"}},
        {"outside": {"kinds": {"folk": ["Folk music"]}, "least": 0.5, "weight": 1.0}},
        {"tags": ["Banjo"], "outside": {"kinds": {"folk": ["Folk music"]}, "least": 0.5, "weight": 1.0}},
        {"tags": ["Folk music"], "outside": {"kinds": {"folk": ["Folk music"]}}},
    ],
)
def test_a_card_that_contradicts_itself_is_refused(copy: Path, changes: dict[str, Any]) -> None:
    change_card(copy, **changes)
    with pytest.raises(ConfigurationError, match="not a model card"):
        read_card(copy)


def test_a_genre_model_with_a_threshold_is_no_music_model(copy: Path) -> None:
    change_card(copy, threshold=0.5)
    with pytest.raises(ConfigurationError, match=r"output music must be \[-1, 1\]"):
        Classifier(copy)


class TestFindingAModel:
    def test_a_name_is_a_path_under_models(self, shipped: Path) -> None:
        assert shipped == module.MODELS_DIR / "plain.tflite"

    def test_a_file_is_taken_as_it_is(self, copy: Path) -> None:
        assert model_file(str(copy)) == copy

    def test_the_best_that_there_is_is_the_default(self, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MODELS_DIR", copy.parent)
        for name in ("plain", "augmented", "genie"):
            shutil.copy(copy, copy.with_stem(name))
            assert model_file().stem == name

    @pytest.mark.parametrize("name", ["nonesuch", "../../models/plain", "", ".", "/etc/passwd", "plain.json", "a\0b"])
    def test_other_names_are_refused(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="no model"):
            model_file(name)

    def test_without_models_the_remedy_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MODELS_DIR", tmp_path)
        with pytest.raises(ConfigurationError, match="genregenie train"):
            model_file()


@pytest.mark.parametrize("path", sorted(module.MODELS_DIR.rglob("*.tflite")), ids=lambda path: path.stem)
def test_every_shipped_model_matches_its_card(path: Path) -> None:
    model = Classifier(path)
    outputs = len(GENRES) if model.card.classifies else 1
    assert model.probabilities(song_segments(12)).shape == (4, outputs)
