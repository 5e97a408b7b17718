"""What the page answers: itself, uploads, and how requests are getting on."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import translate
from core.i18n.languages import locales
from web.access import API, ASSET, BEARER, FOLLOW, FREE, OPEN, PAGE, UPLOAD, error_response, locale_of
from web.addresses import visitor
from web.answers import Answers, shared_path
from web.api import PATH, Api
from web.bodies import as_json, chunks, read_object
from web.jobs import MAX_LINK, Job, PageJobs, PageRequest, ViewState
from web.languages import accepted_locale
from web.login import Login
from web.settings import WebSettings
from web.static import Static
from web.uploads import Uploads
from web.view import (
    Accuracy,
    Offers,
    details_html,
    has_another_part,
    headline,
    page_html,
    state_name,
    status_html,
    verdict_html,
)

MAX_STREAMS: Final = 3
"""Streams that one visitor may have open; who asks for more is left to poll. A browser opens six connections to a page
at most, for all its tabs together."""

SEND_TIMEOUT_S: Final = 30.0
"""Longest that a client may take to read a part of a stream."""

MAX_START_S: Final = 86_400
"""Latest second that a part of a song may be asked for from."""

STATUS_CODES: Final = {ErrorCode.TOO_LARGE: 413, ErrorCode.BUSY: 503, ErrorCode.TIMEOUT: 408}


@dataclass(frozen=True, slots=True)
class Pages:
    """The page's responses.

    Args:
        settings: limits.
        jobs: runs the requests.
        uploads: takes files.
        files: styles, script and pictures.
        accuracy: how often the model is right.
    """

    settings: WebSettings
    jobs: PageJobs
    uploads: Uploads
    files: Static
    accuracy: Accuracy | None = None

    async def first(self, request: web.Request) -> web.Response:
        """Redirect to the page in the visitor's language."""
        language = request.match_info.get("language") or accepted_locale(request.headers.get("Accept-Language"))
        raise web.HTTPSeeOther(f"/{language}/")

    async def index(self, request: web.Request) -> web.Response:
        """Show the page."""
        page = page_html(self.settings, locale_of(request), self.files, self.accuracy)
        return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-cache"})

    async def static(self, request: web.Request) -> web.Response:
        """Send a style, a script or a picture."""
        return self.files.response(request.match_info.get("name", "icon.svg"), request)

    async def upload(self, request: web.Request) -> web.Response:
        """Take a file, and give the key that claims it."""
        try:
            key = await self.uploads.receive(
                visitor(request, self.settings),
                request.query.get("name"),
                int(request.headers["Content-Length"]),
                chunks(request),
            )
        except GenreGenieError as error:
            return error_response(error, locale_of(request), STATUS_CODES.get(error.code, 400))
        return web.json_response({"song": key})

    async def start(self, request: web.Request) -> web.Response:
        """Begin to classify a song, and give the key of the request."""
        job = self.jobs.start(self._read_request(await read_object(request), request))
        return web.json_response({"job": job.key})

    async def state(self, request: web.Request) -> web.Response:
        """Say how a request is getting on; `have` counts the verdicts that the tab shows already."""
        job = self.jobs.find(request.match_info["job"])
        if job is None:
            return web.json_response({"state": "unknown"}, headers={"Cache-Control": "no-store"})
        have = request.query.get("have", "")
        shown = _Shown(job, locale_of(request), request.query.get("silent") == "1")
        if have.isdecimal():  # isdigit() takes ² too, which is no number to int()
            shown.verdicts = int(have[:4])
        return web.json_response(shown.update(job.current()), headers={"Cache-Control": "no-store"}, dumps=as_json)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream how a request is getting on (server-sent events), until it is answered."""
        job = self.jobs.find(request.match_info["job"])
        if job is None or self.jobs.watching(job.request.visitor) >= MAX_STREAMS:
            return web.Response(status=204)  # an event stream that is answered so is not asked for again
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        shown = _Shown(job, locale_of(request), request.query.get("silent") == "1")
        async with contextlib.aclosing(self.jobs.watch(job)) as states:
            async for state in states:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await response.write(f"data: {as_json(shown.update(state))}\n\n".encode())
        await response.write_eof()
        return response

    async def picture(self, request: web.Request) -> web.Response:
        """Send the spectrogram of an answer."""
        job = self.jobs.find(request.match_info["job"])
        if job is None or job.state.picture is None:
            raise web.HTTPNotFound
        return web.Response(
            body=job.state.picture,
            content_type="image/png",
            headers={"Cache-Control": "private, max-age=3600, immutable"},
        )

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a request."""
        job = self.jobs.find(request.match_info["job"])
        if job is not None:
            self.jobs.cancel(job)
        return web.Response(status=204)

    def _read_request(self, data: dict[str, object], request: web.Request) -> PageRequest:
        """Read a browser's request; fields of the wrong type count as missing, and without a song it is `not-found`."""
        upload, link, turn = data.get("song"), data.get("link"), data.get("turn")
        of, start = data.get("of"), data.get("start")
        is_time = isinstance(start, int | float) and not isinstance(start, bool) and 0 <= start <= MAX_START_S
        return PageRequest(
            visitor=visitor(request, self.settings),
            upload=upload if isinstance(upload, str) else None,
            link=link[:MAX_LINK] if isinstance(link, str) else None,
            default_name=translate("web.unnamed", locale_of(request)),
            turn=turn if isinstance(turn, int) else 0,
            of=self.jobs.find(of) if isinstance(of, str) else None,
            whole=data.get("whole") is True,
            from_s=float(str(start)) if is_time else None,
        )


@dataclass(slots=True)
class _Shown:
    """What a tab shows of a request.

    Attributes:
        job: the request.
        locale: language.
        silent: whether the tab has no sound of the song.
        verdicts: how many verdicts it shows.
    """

    job: Job
    locale: str
    silent: bool
    verdicts: int = 0

    def update(self, state: ViewState) -> dict[str, object]:
        """Give what the tab is to show; verdict and details only where there are more of them than before."""
        shown: dict[str, object] = {
            "state": state_name(state),
            "status": status_html(state, self.locale, self.job.request.turn, self.job.name),
        }
        if state.error is not None:
            shown["code"] = state.error.code.value
            shown["retry_after"] = state.error.params.get("retry_after")
        if state.verdicts and (len(state.verdicts) != self.verdicts or state_name(state) == "done"):
            self.verdicts = len(state.verdicts)
            link = self.job.link
            job, song, share = self.job, self.job.song, self.job.share
            address = f"/{self.locale}/jobs/{job.key}"
            shown["sound"] = f"{address}/sound" if song.sound is not None else None
            shown["link"] = link
            shown["name"] = state.verdicts[0].song.name
            shown["headline"] = headline(state, self.locale)
            shown["verdict"] = verdict_html(state, self.locale, link)
            shown["details"] = details_html(
                state,
                self.locale,
                playable=song.sound is not None or not self.silent,
                picture=f"{address}/spectrogram.png",
                offers=Offers(
                    address,
                    another_part=has_another_part(state.verdicts[0].prediction),
                    picture=song.spectrogram is not None,
                    share=None if share is None else shared_path(self.locale, share[0]),
                ),
            )
        shown["verdicts"] = self.verdicts
        return shown


def add_routes(
    app: web.Application, page: Pages, answers: Answers, login: Login | None, api: Api | None = None
) -> None:
    """Give an application the page's paths; all others are not found."""
    router, language = app.router, f"/{{language:{'|'.join(locales())}}}"
    job = f"{language}/jobs/{{job:[A-Za-z0-9_-]{{1,64}}}}"
    router.add_get("/", page.first, name=f"{PAGE}.first")
    router.add_get("/favicon.ico", page.static, name=f"{OPEN}.icon")
    router.add_get("/static/{name:(?:login\\.css|icon\\.svg|preview\\.png)}", page.static, name=f"{OPEN}.static")
    router.add_get("/static/{name:(?:page\\.css|shared\\.js)}", page.static, name=f"{ASSET}.static")
    router.add_get("/static/{name:[\\w.-]+}", page.static, name=f"{FREE}.static")
    router.add_get(f"{language}/", page.index, name=f"{PAGE}.index")
    router.add_get(language, page.first, name=f"{PAGE}.bare")
    router.add_post(f"{language}/song", page.upload, name=f"{UPLOAD}.song")
    router.add_post(f"{language}/jobs", page.start, name=f"{API}.start")
    router.add_get(job, page.state, name=f"{FOLLOW}.state", allow_head=False)
    router.add_get(f"{job}/events", page.events, name=f"{API}.events", allow_head=False)
    router.add_get(f"{job}/spectrogram.png", page.picture, name=f"{FOLLOW}.picture")
    router.add_post(f"{job}/cancel", page.cancel, name=f"{API}.cancel")
    router.add_get(f"{job}/sound", answers.sound, name=f"{FOLLOW}.sound", allow_head=False)
    router.add_get(f"{job}/result.json", answers.json, name=f"{API}.json")
    router.add_get(f"{job}/votes.png", answers.picture, name=f"{API}.votes")
    router.add_post(f"{job}/correction", answers.correct, name=f"{API}.correct")
    router.add_post(f"{job}/share", answers.share, name=f"{API}.share")
    shared = f"{language}/shared/{{token:[A-Za-z0-9_-]{{22}}}}"
    router.add_get(shared, answers.shared, name=f"{OPEN}.shared")
    router.add_get(f"{shared}/spectrogram.png", answers.shared_picture, name=f"{OPEN}.shared_picture")
    router.add_post(f"{shared}/end", answers.unshare, name=f"{OPEN}.unshare")
    if login is not None:
        for name, path in (("login", f"{language}/login"), ("bare", "/login")):
            router.add_get(path, login.form, name=f"{OPEN}.{name}")
            router.add_post(path, login.enter, name=f"{OPEN}.{name}")
        router.add_post(f"{language}/logout", login.leave, name=f"{OPEN}.logout")
    if api is not None:
        router.add_post(PATH, api.classify, name=f"{BEARER}.classify")
        router.add_get("/api/v1/openapi.json", api.openapi, name=f"{BEARER}.openapi")
