"""The Gradio page in one language: a form, a line that says how far things are, the verdict, its player and details."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import gradio as gr

from core.i18n.catalog import translate
from web.access import visitor_of
from web.jobs import PageJobs, PageRequest
from web.settings import WebSettings
from web.view import ask_html, details_html, player_html, status_html, verdict_html

STATIC: Final = Path(__file__).with_name("static")

THEME: Final = gr.themes.Base(
    primary_hue="violet",
    neutral_hue="slate",
    # What the machine has: nothing is fetched from a font service.
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

MAX_LINK: Final = 2_000

LOOK_S: Final = 0.05
"""Seconds between two looks for something to do."""

OTHER_EVENTS: Final = 16
"""Events at work at a time beside the songs: cancelling, and the closing of tabs."""

KEPT_TABS: Final = 1_000
"""Tabs, the latest ones, that Gradio's queue may go on knowing without work for them."""


def build_page(hearing: PageJobs, settings: WebSettings, locale: str) -> gr.Blocks:
    """Lay the page out.

    Args:
        hearing: who answers.
        settings: limits.
        locale: language.
    """

    async def hear(event: gr.EventData, request: gr.Request) -> AsyncIterator[tuple[str, str, str]]:
        forget_closed_tabs(page)
        given = event._data if isinstance(event._data, dict) else {}
        ask, turn = read_ask(given, request, locale), given.get("turn")
        async for state in hearing.states(ask):
            yield (
                status_html(state, locale, turn if isinstance(turn, int) else 0),
                verdict_html(state, locale, ask.link),
                details_html(state, locale, playable=ask.link is None),
            )

    async def cancel(request: gr.Request) -> None:
        hearing.cancel(str(request.session_hash))

    with gr.Blocks(title="GenreGenie", analytics_enabled=False) as page:
        script = (STATIC / "page.js").read_text("utf-8")
        form = gr.HTML(ask_html(settings, locale), js_on_load=script, apply_default_css=False)
        status = gr.HTML(status_html(None, locale), elem_id="gg-status", apply_default_css=False)
        with gr.Column(elem_classes="gg-card"):
            verdict = gr.HTML("", apply_default_css=False)
            gr.HTML(player_html(locale), apply_default_css=False)
            details = gr.HTML("", apply_default_css=False)
        quiet: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": None,
        }
        form.hear(hear, None, [status, verdict, details], **quiet)
        form.cancel(cancel, None, None, **quiet)
        page.unload(cancel)
    page.max_threads = settings.web_max_jobs + OTHER_EVENTS
    # Gradio keeps what each tab was last shown, a third of a megabyte: of ten thousand tabs, if left to itself.
    page.state_session_capacity = settings.web_max_jobs
    page.queue(api_open=False)
    # Gradio looks for work a thousand times a second: a page that nobody visits would keep its host busy.
    page._queue.sleep_when_free = LOOK_S  # noqa: SLF001
    page._queue.progress_update_sleep_when_free = 100 * LOOK_S  # noqa: SLF001
    return page


def forget_closed_tabs(page: gr.Blocks) -> None:
    """Drop what Gradio's queue keeps of every tab that ever asked: the name of its session, with nothing under it."""
    waiting = page._queue.pending_event_ids_session  # noqa: SLF001
    for session in list(waiting)[:-KEPT_TABS]:
        if not waiting[session]:
            del waiting[session]


def read_ask(given: dict[str, Any], request: gr.Request, locale: str) -> PageRequest:
    """Read what a browser asks; what does not fit asks for nothing, which has an answer of its own."""
    upload, link = given.get("song"), given.get("link")
    return PageRequest(
        session=str(request.session_hash),
        visitor=visitor_of(request.client.host if request.client else ""),
        upload=upload if isinstance(upload, str) else None,
        link=link[:MAX_LINK] if isinstance(link, str) else None,
        unnamed=translate("web.unnamed", locale),
    )


def head(locale: str) -> str:
    """Elements for the document's head: language and styles (Gradio rewrites the selectors of those it is given)."""
    styles = (STATIC / "page.css").read_text("utf-8")
    return f'<meta name="genregenie-locale" content="{locale}"><style>{styles}</style>'
