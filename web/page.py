"""The Gradio page in one language: a form, a progress line, the verdict, a player and the details."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import gradio as gr

from core.i18n.catalog import translate
from web.access import visitor_of
from web.jobs import PageJobs, PageRequest
from web.settings import WebSettings
from web.view import details_html, form_html, player_html, status_html, verdict_html

STATIC: Final = Path(__file__).with_name("static")

THEME: Final = gr.themes.Base(
    primary_hue="violet",
    neutral_hue="slate",
    # Fonts of the visitor's system: nothing is fetched from a font service.
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

MAX_LINK: Final = 2_000

QUEUE_POLL_S: Final = 0.05
"""Seconds between two polls of the event queue."""

OTHER_EVENTS: Final = 16
"""Events that may run at a time besides the songs: cancelling, and closing tabs."""

KEPT_TABS: Final = 1_000
"""Idle tabs, the latest ones, that Gradio's queue may keep an entry for."""


def build_page(jobs: PageJobs, settings: WebSettings, locale: str) -> gr.Blocks:
    """Build the page.

    Args:
        jobs: runs the requests.
        settings: limits.
        locale: language.
    """

    async def classify(event: gr.EventData, request: gr.Request) -> AsyncIterator[tuple[str, str, str]]:
        forget_closed_tabs(page)
        data = event._data if isinstance(event._data, dict) else {}
        page_request, turn = read_request(data, request, locale), data.get("turn")
        async for state in jobs.states(page_request):
            yield (
                status_html(state, locale, turn if isinstance(turn, int) else 0),
                verdict_html(state, locale, page_request.link),
                details_html(state, locale, playable=page_request.link is None),
            )

    async def cancel(request: gr.Request) -> None:
        jobs.cancel(str(request.session_hash))

    with gr.Blocks(title="GenreGenie", analytics_enabled=False) as page:
        script = (STATIC / "page.js").read_text("utf-8")
        form = gr.HTML(form_html(settings, locale), js_on_load=script, apply_default_css=False)
        status = gr.HTML(status_html(None, locale), elem_id="gg-status", apply_default_css=False)
        with gr.Column(elem_classes="gg-card"):
            verdict = gr.HTML("", apply_default_css=False)
            gr.HTML(player_html(locale), apply_default_css=False)
            details = gr.HTML("", apply_default_css=False)
        hidden: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": None,
        }
        form.classify(classify, None, [status, verdict, details], **hidden)
        form.cancel(cancel, None, None, **hidden)
        page.unload(cancel)
    page.max_threads = settings.web_max_jobs + OTHER_EVENTS
    # Gradio keeps the last output of every tab, a third of a megabyte each; by default, for ten thousand tabs.
    page.state_session_capacity = settings.web_max_jobs
    page.queue(api_open=False)
    # By default Gradio polls its queue a thousand times a second, which keeps an idle host busy.
    page._queue.sleep_when_free = QUEUE_POLL_S  # noqa: SLF001
    page._queue.progress_update_sleep_when_free = 100 * QUEUE_POLL_S  # noqa: SLF001
    return page


def forget_closed_tabs(page: gr.Blocks) -> None:
    """Drop the empty entries that Gradio's queue keeps for every tab that ever sent a request."""
    waiting = page._queue.pending_event_ids_session  # noqa: SLF001
    for session in list(waiting)[:-KEPT_TABS]:
        if not waiting[session]:
            del waiting[session]


def read_request(data: dict[str, Any], request: gr.Request, locale: str) -> PageRequest:
    """Read a browser's request; fields of the wrong type count as missing, and without a song it is `not-found`."""
    upload, link = data.get("song"), data.get("link")
    return PageRequest(
        session=str(request.session_hash),
        visitor=visitor_of(request.client.host if request.client else ""),
        upload=upload if isinstance(upload, str) else None,
        link=link[:MAX_LINK] if isinstance(link, str) else None,
        default_name=translate("web.unnamed", locale),
    )


def head(locale: str) -> str:
    """HTML for the document's head: language and styles. Gradio would rewrite the selectors of styles passed to it."""
    styles = (STATIC / "page.css").read_text("utf-8")
    return f'<meta name="genregenie-locale" content="{locale}"><style>{styles}</style>'
