"""What yt-dlp ends in → the error code: its own exceptions, through the child's script, and no word of its English."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.generic import GenericIE
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import ExtractorError, UnsupportedError, UserNotLive

from core.fetch.yt_dlp_child import REPORTS, Session
from core.fetch.ytdlp import OPTIONS
from core.fetch.ytdlp_output import Failure, failure_code

LINK = "https://example.com/account/premium/livestream/drm?nsfw=ticket"
"""Every word that once decided something."""

Extract = Callable[[InfoExtractor], Any]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Extract], Failure]:
    """Why yt-dlp fails on a site whose extractor does what it is told."""
    for name in REPORTS:  # the script wraps these methods, for good
        monkeypatch.setattr(InfoExtractor, name, getattr(InfoExtractor, name))

    def fail(extract: Extract) -> Failure:
        monkeypatch.setattr(GenericIE, "_real_extract", lambda extractor, url: extract(extractor))
        output = io.StringIO()
        assert Session(output).run([*OPTIONS, LINK]) == 1
        return Failure.model_validate(json.loads(output.getvalue().splitlines()[-1])["failure"])

    return fail


def info(*formats: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "x", "title": "x", "formats": list(formats), **more}


def stream(**more: Any) -> dict[str, Any]:
    return {"format_id": "x", "url": "https://example.com/x", "ext": "mp4", **more}


def raising(error: BaseException) -> Extract:
    def extract(extractor: InfoExtractor) -> Any:
        raise error

    return extract


def refused(status: int) -> Extract:
    response = Response(io.BytesIO(b""), "https://example.com/account", {}, status=status)
    return raising(ExtractorError("Log in to your account", cause=HTTPError(response), expected=True))


def after_a_report(name: str, **more: Any) -> Extract:
    """An extractor that reports something, and gives the metadata all the same."""

    def extract(extractor: InfoExtractor) -> Any:
        getattr(extractor, name)(metadata_available=True)
        return info(**more)

    return extract


def with_a_timeout(extractor: InfoExtractor) -> Any:
    try:
        raise TimeoutError("The read operation timed out")
    except TimeoutError as error:
        raise ExtractorError("Unable to download", cause=TransportError(cause=error)) from error


FAILURES: list[tuple[Extract, str]] = [
    (lambda extractor: extractor.raise_login_required(), "login-required"),
    (after_a_report("raise_login_required"), "login-required"),
    (after_a_report("raise_login_required", age_limit=18), "age-restricted"),
    (lambda extractor: extractor.raise_geo_restricted(), "region-blocked"),
    (after_a_report("raise_geo_restricted"), "region-blocked"),
    (lambda extractor: extractor.report_drm("x"), "drm-protected"),
    (lambda extractor: info(stream(has_drm=True)), "drm-protected"),
    (raising(UserNotLive(video_id="x")), "live-stream"),
    (lambda extractor: info(live_status="is_upcoming"), "live-stream"),
    (lambda extractor: info(availability="private"), "not-public"),
    (lambda extractor: info(availability="subscriber_only"), "not-public"),
    (lambda extractor: info(availability="premium_only"), "not-public"),
    (lambda extractor: info(availability="needs_auth", age_limit=18), "age-restricted"),
    (lambda extractor: info(availability="needs_auth"), "login-required"),
    (raising(UnsupportedError(LINK)), "unsupported-link"),
    (lambda extractor: extractor.raise_no_formats("No video formats found!"), "unavailable"),
    (lambda extractor: info(), "unsupported-link"),
    (lambda extractor: info(stream(url="rtmp://example.com/x", protocol="rtmp")), "unsupported-link"),
    (lambda extractor: info(stream(vcodec="avc1", acodec="none")), "no-audio-track"),
    # What the words of a message say is nothing that happened.
    (
        raising(ExtractorError("The account of this private, paid live stream was terminated", expected=True)),
        "unavailable",
    ),
    (raising(ExtractorError("Sign in to confirm you're not a bot", expected=True)), "unavailable"),
    (raising(ExtractorError("Requested format is not available", expected=True)), "unavailable"),
    (raising(KeyError("live")), "unavailable"),
    (with_a_timeout, "timeout"),
    *(
        (refused(status), code)
        for status, code in {401: "login-required", 402: "not-public", 403: "unavailable"}.items()
    ),
    *(
        (refused(status), code)
        for status, code in {404: "unavailable", 429: "unavailable", 451: "region-blocked"}.items()
    ),
]


@pytest.mark.parametrize(("extract", "code"), FAILURES)
def test_what_an_extractor_did_decides_the_code(
    failing: Callable[[Extract], Failure], extract: Extract, code: str
) -> None:
    assert failure_code(failing(extract)) == code


def test_pictures_of_youtube_without_sound_are_not_taken_for_a_mute_video(
    failing: Callable[[Extract], Failure],
) -> None:
    storyboard = stream(vcodec="none", acodec="none", protocol="mhtml")
    failure = failing(lambda extractor: info(storyboard, extractor="youtube", extractor_key="Youtube"))
    assert failure.formats == 1
    assert failure_code(failure.model_copy(update={"extractor": "youtube"})) == "unavailable"


@pytest.mark.parametrize(("number", "code"), [(28, "busy"), (122, "busy"), (27, "too-large")])
def test_a_disk_that_takes_no_more_is_no_fault_of_the_site(
    failing: Callable[[Extract], Failure], number: int, code: str
) -> None:
    failure = failing(raising(OSError(number, "unable to write data")))
    assert failure_code(failure) == code


@pytest.mark.parametrize("site", ["DRM", "Piracy", "Liability"])
def test_sites_that_yt_dlp_refuses_are_known_by_their_extractor(
    failing: Callable[[Extract], Failure], site: str
) -> None:
    failure = failing(raising(ExtractorError("no", expected=True, ie=site)))
    assert failure_code(failure) == ("drm-protected" if site == "DRM" else "unsupported-link")
