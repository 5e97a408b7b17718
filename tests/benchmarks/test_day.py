"""A day's traffic with kills in between: nothing is lost, answered twice, or left standing."""

from pathlib import Path

import pytest

from benchmarks.day import replay


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_short_day_with_kills_loses_nothing(tmp_path: Path) -> None:
    day = await replay(tmp_path, requests=8, kills=1)
    assert day.faults == []
    assert day.counts["answered"] > 3
