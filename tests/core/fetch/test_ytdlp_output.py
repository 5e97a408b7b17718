"""What yt-dlp writes on standard error → the error code."""

from collections.abc import Callable

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import ExtractorError

from core.fetch.ytdlp_output import error_code

MESSAGES = [
    ("[youtube] dQw4w9WgXcQ: Video unavailable", "unavailable"),
    ("[youtube] x: Video unavailable. This video has been removed by the uploader", "unavailable"),
    ("[youtube] x: This video has been removed for violating YouTube's Terms of Service", "unavailable"),
    ("[youtube] x: Sign in to confirm you\u2019re not a bot. Use --cookies-from-browser or --cookies", "unavailable"),
    ("[generic] x: Unable to download webpage: HTTP Error 404: Not Found (caused by <HTTPError 404>)", "unavailable"),
    ("[generic] x: Unable to download webpage: HTTP Error 410: Gone", "unavailable"),
    ("[generic] x: Unable to download webpage: HTTP Error 503: Service Unavailable", "unavailable"),
    ("[soundcloud] x: Unable to download JSON metadata: HTTP Error 404: Not Found", "unavailable"),
    ("[youtube] x: This live event will begin in 3 hours.", "live-stream"),
    ("[youtube] x: Premieres in 5 minutes", "live-stream"),
    ("[twitch:stream] x: The channel is not currently live", "live-stream"),
    ("[Kick] x: This channel is currently offline", "live-stream"),
    ("[youtube] x: This livestream has ended", "live-stream"),
    ("[youtube] x: Private video. Sign in if you've been granted access to this video", "not-public"),
    ("[youtube] x: This video is available to this channel's members on level: Fan. Join this channel", "not-public"),
    ("[youtube] x: This video requires payment to watch", "not-public"),
    ("[bandcamp] x: This track is only available to subscribers", "not-public"),
    ("[patreon] x: You do not have access to this post. Log in as a patron", "not-public"),
    ("[vimeo] x: This video is protected by a password, use the --video-password option", "login-required"),
    ("[facebook] x: This video is only available for registered users. Use --cookies, --username", "login-required"),
    ("[Instagram] x: Requested content is not available, rate-limit reached or login required.", "unavailable"),
    ("[generic] x: Unable to download webpage: HTTP Error 401: Unauthorized", "login-required"),
    ("[youtube] x: Sign in to confirm your age. This video may be inappropriate for some users.", "age-restricted"),
    ("[youtube] x: This video is age-restricted; some formats may be missing without authentication", "age-restricted"),
    ("[twitter] x: NSFW tweet requires authentication.", "age-restricted"),
    (
        "[youtube] x: Video unavailable. The uploader has not made this video available in your country",
        "region-blocked",
    ),
    ("[bbc] x: This video is not available from your location due to geo restriction", "region-blocked"),
    ("[SoundCloud] x: This track is geo restricted", "region-blocked"),
    ("[generic] x: Unable to download webpage: HTTP Error 451: Unavailable For Legal Reasons", "region-blocked"),
    ("[spotify] x: The requested site is known to use DRM protection. It will NOT be supported", "drm-protected"),
    ("[generic] x: This video is DRM protected", "drm-protected"),
    ("Unsupported URL: http://example.com/", "unsupported-link"),
    ("[generic] 'x' is not a valid URL.", "unsupported-link"),
    ("[vk] x: No video formats found!; please report this issue", "unsupported-link"),
    ("[generic] x: Requested format is not available. Use --list-formats for a list", "no-audio-track"),
    ("unable to write data: [Errno 28] No space left on device", "busy"),
    ("unable to write data: [Errno 27] File too large", "too-large"),
    ("[generic] x: Unable to download webpage: The read operation timed out", "timeout"),
    ("something that nobody has seen yet", "unavailable"),
]


@pytest.mark.parametrize(("message", "code"), MESSAGES)
def test_an_error_message_gets_its_code(message: str, code: str) -> None:
    assert error_code(f"Reading options from STDIN\nERROR: {message}\n") == code


@pytest.mark.parametrize("text", ["", "WARNING: private", "Traceback (most recent call last):\nKeyError: 'live'"])
def test_what_is_not_an_error_message_has_no_code(text: str) -> None:
    assert error_code(text) is None


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        (lambda extractor: extractor.raise_login_required(), "login-required"),
        (lambda extractor: extractor.raise_geo_restricted(), "region-blocked"),
        (lambda extractor: extractor.report_drm("x"), "drm-protected"),
        (lambda extractor: extractor.raise_no_formats("No video formats found!"), "unsupported-link"),
    ],
)
def test_the_messages_common_to_all_extractors_have_their_codes(
    fail: Callable[[InfoExtractor], None], code: str
) -> None:
    with pytest.raises(ExtractorError) as caught:
        fail(InfoExtractor(YoutubeDL({"quiet": True})))
    assert error_code(f"ERROR: {caught.value}") == code
