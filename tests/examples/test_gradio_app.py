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

# Gradio takes seconds to import: only who runs these tests is to wait for it, not who collects all.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="needs the extra gradio"),
]
DEMO = ROOT / "examples" / "demo.ogg"


def handle_file(path: str) -> Any:
    """What a file is sent as."""
    import gradio_client

    return gradio_client.handle_file(path)


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
    import gradio_client

    page = example.build()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, show_error=True)
    yield gradio_client.Client(address, verbose=False)
    page.close()


def test_the_demo_gets_the_same_verdict_as_from_the_core(asked: Any) -> None:
    genres, picture, segments = asked.predict(handle_file(str(DEMO)), False, api_name="/classify")
    prediction = classify_file(DEMO, ClassifyOptions(), models=Models(), limits=DecodeLimits(10**8, 600, 60)).prediction
    best = max(GENRES, key=prediction.probability)
    assert genres["label"] == translate(f"genre.{best}")
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert [row[2] for row in segments["data"]] == [translate(f"genre.{one.genre}") for one in prediction.segments]


def test_a_file_without_a_verdict_shows_why(asked: Any, tmp_path: Path) -> None:
    bad = tmp_path / "words.mp3"
    bad.write_bytes(b"words, no sound. " * 50)
    with pytest.raises(Exception, match=error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO))[:20]):
        asked.predict(handle_file(str(bad)), False, api_name="/classify")
