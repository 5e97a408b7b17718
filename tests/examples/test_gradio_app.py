"""The example on Gradio's own components, asked as its page asks it."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.audio.decode import DecodeLimits
from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.inference.pipeline import ClassifyOptions, Models, classify_file
from tests.support.data import ROOT

pytest.importorskip("gradio", reason="needs the extra gradio")
gradio_client = pytest.importorskip("gradio_client")

pytestmark = pytest.mark.slow
DEMO = ROOT / "examples" / "demo.ogg"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gradio_app", ROOT / "examples" / "gradio_app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def asked(example: ModuleType) -> Iterator[Any]:
    """A client of the example, which is served on loopback."""
    page = example.build()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, show_error=True)
    yield gradio_client.Client(address, verbose=False)
    page.close()


def test_the_demo_gets_the_same_verdict_as_from_the_core(asked: Any) -> None:
    genres, picture, segments = asked.predict(gradio_client.handle_file(str(DEMO)), False, api_name="/classify")
    prediction = classify_file(DEMO, ClassifyOptions(), models=Models(), limits=DecodeLimits(10**8, 600, 60)).prediction
    best = max(GENRES, key=prediction.probability)
    assert genres["label"] == translate(f"genre.{best}")
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert [row[2] for row in segments["data"]] == [translate(f"genre.{one.genre}") for one in prediction.segments]


def test_a_file_without_a_verdict_shows_why(asked: Any, tmp_path: Path) -> None:
    bad = tmp_path / "words.mp3"
    bad.write_bytes(b"words, no sound. " * 50)
    with pytest.raises(Exception, match=error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO))[:20]):
        asked.predict(gradio_client.handle_file(str(bad)), False, api_name="/classify")
