"""One page for all tests of a worker."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.classifier import model_file
from core.errors import ConfigurationError
from tests.web.page import PageProcess


@pytest.fixture(scope="session")
def model() -> str | None:
    """The model that these tests use; skips them where there is none."""
    name = os.environ.get("GENREGENIE_MODEL")
    try:
        model_file(name)
    except ConfigurationError as error:
        pytest.skip(f"needs a model: {error}")
    return name


@pytest.fixture(scope="session")
def page(model: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """A page with small limits, so that they are quickly reached."""
    limits = {
        "MAX_FILE_MB": "20",
        "MAX_DURATION_S": "7200",
        "WEB_MAX_JOBS_PER_VISITOR": "8",
        "WEB_REQUESTS_PER_MINUTE": "10000",
    }
    with PageProcess(tmp_path_factory.mktemp("page"), **limits) as process:
        yield process


@pytest.fixture(scope="session")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour and a half of sound: takes long enough to be heard that something can happen meanwhile."""
    from tests.support.audio import encode

    target = tmp_path_factory.mktemp("hour") / "hour.flac"
    return encode(target, "-f", "lavfi", "-i", "sine=440:sample_rate=8000:duration=5400", "-ac", "1")
