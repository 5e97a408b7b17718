"""What Gradio would keep of every tab for as long as the page is open."""

from typing import cast

import pytest

from web.jobs import PageJobs
from web.settings import WebSettings

page_module = pytest.importorskip("web.page")


def test_tabs_without_work_are_forgotten_and_no_other() -> None:
    page = page_module.build_page(cast(PageJobs, None), WebSettings(_env_file=None), "en")
    waiting = page._queue.pending_event_ids_session
    waiting["at work"] = {"event"}
    waiting.update((f"closed {i}", set()) for i in range(5_000))
    waiting["just opened"] = set()
    page_module.forget_closed_tabs(page)
    assert waiting["at work"] == {"event"}
    assert "just opened" in waiting
    assert len(waiting) == 1 + page_module.KEPT_TABS


def test_what_was_last_shown_is_kept_for_as_many_tabs_as_may_ask() -> None:
    page = page_module.build_page(cast(PageJobs, None), WebSettings(_env_file=None, web_max_jobs=7), "en")
    assert page.state_session_capacity == 7
