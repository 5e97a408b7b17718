"""What a visitor can do with an answer: play a link's song, download, correct, share."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from aiohttp import web

from core.audio.spectrogram import QuantizedMel
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import translate
from core.text import one_line
from core.verdict import Prediction
from web.access import error_response, locale_of
from web.addresses import visitor
from web.bodies import as_json, read_object
from web.corrections import CHOICES, MAX_PER_ANSWER, NONE, Corrections
from web.jobs import Job, PageJobs
from web.kept import read_part
from web.settings import WebSettings
from web.shares import SharedAnswer, Shares
from web.static import Static
from web.view import gone_html, shared_html

PART_BYTES: Final = 1024 * 1024
"""Most of a sound that one response has. A browser asks for the rest when it gets there; no connection waits for it."""

DRAWINGS: Final = 2
"""Pictures that are drawn at a time."""

_RANGE: Final = re.compile(r"bytes=(\d{1,12})-(\d{0,12})")


@dataclass(frozen=True, slots=True)
class Answers:
    """The responses about an answer.

    Args:
        settings: limits.
        jobs: has the answers.
        corrections: takes what visitors say.
        shares: has what is shared.
        files: styles, script and pictures.
    """

    settings: WebSettings
    jobs: PageJobs
    corrections: Corrections
    shares: Shares
    files: Static
    _drawing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DRAWINGS))

    def _answer(self, request: web.Request) -> Job:
        """Find an answer.

        Raises:
            web.HTTPNotFound: there is none, or not yet.
        """
        job = self.jobs.find(request.match_info["job"])
        if job is None or not job.state.verdicts:
            raise web.HTTPNotFound
        return job

    async def sound(self, request: web.Request) -> web.Response:
        """Send a part of a link's song, which is kept for the visit."""
        song = self._answer(request).song
        if song.sound is None:
            raise web.HTTPNotFound
        size = song.sound_bytes
        asked = _RANGE.fullmatch(request.headers.get("Range", "bytes=0-"))
        first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        if first > last or first >= size:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        last = min(last, first + PART_BYTES - 1, size - 1)
        try:
            content = await asyncio.to_thread(read_part, song.sound, first, last - first + 1)
        except OSError:
            raise web.HTTPNotFound from None  # it had to make room meanwhile
        return web.Response(
            status=206,
            body=content,
            headers={
                "Content-Type": song.media_type,
                "Content-Range": f"bytes {first}-{last}/{size}",
                "Accept-Ranges": "bytes",
                # Whoever opens it as a page gets a file: what a stranger's server sent is not shown as one of ours.
                "Content-Disposition": "attachment",
                "Cache-Control": "private, max-age=3600",
            },
        )

    async def json(self, request: web.Request) -> web.Response:
        """Send the verdict as `genregenie classify --json` prints it."""
        job = self._answer(request)
        text = as_json(job.state.verdicts[0].to_json()) + "\n"
        return web.Response(text=text, content_type="application/json", headers=_download(job, "json"))

    async def picture(self, request: web.Request) -> web.Response:
        """Draw the votes, as `genregenie classify --picture` does."""
        job = self._answer(request)
        spectrogram, prediction = job.song.spectrogram, job.state.verdicts[0].prediction
        if spectrogram is None:
            return web.Response(status=410, text=translate("web.gone", locale_of(request)))
        async with self._drawing:
            picture = await asyncio.to_thread(_draw, prediction, spectrogram, locale_of(request))
        return web.Response(body=picture, content_type="image/png", headers=_download(job, "png"))

    async def correct(self, request: web.Request) -> web.Response:
        """Note what a song really is."""
        job = self._answer(request)
        said = (await read_object(request)).get("genre")
        if said not in CHOICES:
            raise web.HTTPBadRequest
        if job.corrections >= MAX_PER_ANSWER:
            return error_response(GenreGenieError(ErrorCode.BUSY), locale_of(request), 429)
        job.corrections += 1
        prediction = job.state.verdicts[0].prediction
        name = sha256(job.key.encode()).hexdigest()[:16]  # the answer's, and leads to nobody
        try:
            await self.corrections.add(
                name, job.song.sha256, prediction.genre, str(said), prediction.model, time.time()
            )
        except GenreGenieError as error:
            return error_response(error, locale_of(request), 503)
        return web.json_response({"text": _thanks(str(said), locale_of(request))}, dumps=as_json)

    async def share(self, request: web.Request) -> web.Response:
        """Share an answer, and give its address and the secret that takes it back."""
        job = self._answer(request)
        try:
            # Also where its visitor hangs up meanwhile: nobody could take back what is shared without their knowledge.
            token, secret = await asyncio.shield(self._share(job, visitor(request, self.settings)))
        except GenreGenieError as error:
            return error_response(error, locale_of(request), 503)
        return web.json_response({"token": token, "secret": secret, "path": shared_path(locale_of(request), token)})

    async def unshare(self, request: web.Request) -> web.Response:
        """Take a shared answer back; whoever shared it has the secret."""
        token, secret = request.match_info["token"], (await read_object(request)).get("secret")
        if not await asyncio.to_thread(self.shares.end, token, secret if isinstance(secret, str) else ""):
            refused = {"error": translate("web.share.refused", locale_of(request))}
            return web.json_response(refused, status=403, dumps=as_json)
        self.jobs.not_shared(token)
        return web.Response(status=204)

    async def shared(self, request: web.Request) -> web.Response:
        """Show an answer that is shared."""
        token, locale = request.match_info["token"], locale_of(request)
        answer = await self._shared(token)
        if answer is None:
            page, status = gone_html(locale, self.settings, self.files), 404
        else:
            path = shared_path(locale, token)
            page, status = shared_html(answer, locale, self.settings, self.files, token=token, path=path), 200
        return web.Response(text=page, status=status, content_type="text/html", headers=_NOT_INDEXED)

    async def shared_picture(self, request: web.Request) -> web.Response:
        """Send the spectrogram of an answer that is shared."""
        answer = await self._shared(request.match_info["token"])
        if answer is None or answer.picture is None:
            raise web.HTTPNotFound
        return web.Response(body=answer.picture, content_type="image/png", headers=_NOT_INDEXED)

    async def _share(self, job: Job, who: str) -> tuple[str, str]:
        """Share an answer once, however often that is asked; gives its address and the secret that takes it back.

        Raises:
            GenreGenieError: as `Shares.start` does.
        """
        async with job.sharing:
            if job.share is None:
                job.share = await asyncio.to_thread(self.shares.start, who, job.state.verdicts, job.state.picture)
            return job.share

    async def _shared(self, token: str) -> SharedAnswer | None:
        return await asyncio.to_thread(self.shares.find, token)


_NOT_INDEXED: Final = {"X-Robots-Tag": "noindex, nofollow", "Cache-Control": "no-store"}


def shared_path(locale: str, token: str) -> str:
    """Path of a shared answer."""
    return f"/{locale}/shared/{token}"


def _download(job: Job, suffix: str) -> dict[str, str]:
    """Headers of a file that is saved under the song's name."""
    stem = Path(one_line(job.state.verdicts[0].song.name, 60)).stem
    name = re.sub(r"[^\w. -]", "_", stem, flags=re.ASCII).strip(". ") or "song"
    return {"Content-Disposition": f'attachment; filename="{name}-genre.{suffix}"', "Cache-Control": "no-store"}


def _thanks(said: str, locale: str) -> str:
    if said == NONE:
        return translate("web.correct.thanks-none", locale)
    return translate("web.correct.thanks", locale, genre=translate(f"genre.{said}", locale))


def _draw(prediction: Prediction, spectrogram: QuantizedMel, locale: str) -> bytes:
    from core.inference.chart import draw  # with Pillow, which is loaded once it is needed

    return draw(prediction, spectrogram.dequantize(), locale)
