"""Bounds on what Gradio keeps of every tab while the page runs."""

from typing import cast

import pytest

from web.jobs import PageJobs
from web.settings import WebSettings

page_module = pytest.importorskip("web.page")


def test_only_idle_tabs_are_forgotten() -> None:
    page = page_module.build_page(cast(PageJobs, None), WebSettings(_env_file=None), "en")
    waiting = page._queue.pending_event_ids_session
    waiting["at work"] = {"event"}
    waiting.update((f"closed {i}", set()) for i in range(5_000))
    waiting["just opened"] = set()
    page_module.forget_closed_tabs(page)
    assert waiting["at work"] == {"event"}
    assert "just opened" in waiting
    assert len(waiting) == 1 + page_module.KEPT_TABS


def test_last_outputs_are_kept_for_as_many_tabs_as_there_may_be_jobs() -> None:
    page = page_module.build_page(cast(PageJobs, None), WebSettings(_env_file=None, web_max_jobs=7), "en")
    assert page.state_session_capacity == 7
