"""The benchmarks run from end to end; the values that they measure are not tested."""

import json
from pathlib import Path

import pytest

from benchmarks import burst, soak, speed, store
from core.errors import ConfigurationError
from core.inference.model_card import model_file
from tests.support.postgres import Cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _needs_a_model() -> None:
    try:
        model_file()
    except ConfigurationError as error:
        pytest.skip(f"needs a model: {error}")


def test_speed_measures_both_sides_and_keeps_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "START_RUNS": 1,
        "SONG_RUNS": 1,
        "THROUGHPUT_FILES": 4,
        "THROUGHPUT_RUNS": 1,
        "REFERENCE_FILES": 1,
    }.items():
        monkeypatch.setattr(speed, name, value)
    speed.main(None, out=tmp_path / "speed.json", write=False)
    figures = json.loads((tmp_path / "speed.json").read_text())["figures"]
    assert len([figure for figure in figures if figure["met"] is not None]) >= 6
    assert all(figure["what"] and figure["result"] for figure in figures)


async def test_a_burst_is_answered(tmp_path: Path) -> None:
    (tmp_path / "burst").mkdir()
    figures = await burst.burst(tmp_path, guilds=2, each=2)
    assert [figure.met is None for figure in figures] == [False, False, True]


async def test_a_soak_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(soak, "REST_S", 1.0)
    monkeypatch.setattr(soak, "HUGE_MINUTES", 2)
    outcome = await soak.soak(tmp_path, minutes=0.3)
    assert outcome.tally.wrong == []
    assert outcome.tally.asked == outcome.tally.answered
    assert len(outcome.tally.asked) == 14
    assert {sample.who for sample in outcome.samples} == {"bot", "page"}
    assert outcome.after["bot"].temporary_files == 0


async def test_a_large_store_is_measured_against_an_empty_one(postgres: Cluster, tmp_path: Path) -> None:
    figures = await store.store_figures(postgres, tmp_path, store.EVICTED + 1_000)
    assert sum(figure.met is not None for figure in figures) == 2
    assert all(figure.what and figure.result for figure in figures)
