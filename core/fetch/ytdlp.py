"""A link → local file: yt-dlp in a sandbox, connected to nothing but the proxy.

yt-dlp reads pages and streams that strangers wrote, so it is treated like their code: a child process of its own
(`yt_dlp_child.py`), fixed options, no files but its own directory, no connection but to the proxy, and none of its
output is trusted unparsed. It never runs ffmpeg, which it would give addresses to.
"""

import asyncio
import logging
import math
import shlex
import sys
from pathlib import Path
from typing import Final

from yarl import URL

from core.errors import ErrorCode, GenreGenieError
from core.fetch.discord_cdn import CDN_HOSTS
from core.fetch.protected import protecting_service
from core.fetch.radio import StreamPace
from core.fetch.result import ByteProgress, FetchedFile, clean_text, lease_error, refusal_error, too_large
from core.fetch.tempfiles import LINK_COPIES
from core.fetch.ytdlp_install import javascript_runtime, readable_paths, write_ca_bundle
from core.fetch.ytdlp_output import OS_CODES, Failure, OutputReader, failure_code, is_youtube
from core.proxy.interface import Proxy
from core.proxy.lease import ProxyLease
from core.proxy.url_policy import RefusedError
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.supervisor import Bounds, ChildExit, Overrun, run_child
from core.settings import MIB, Settings

logger = logging.getLogger(__name__)

_SCRIPT: Final = Path(__file__).with_name("yt_dlp_child.py")

YTDLP = (sys.executable, "-I", "-B", str(_SCRIPT))
"""The command; it reads its options from standard input."""

_MEDIA: Final = "media"
_MEMORY_BYTES: Final = 512 * MIB
"""yt-dlp takes 80 MB, the JavaScript runtime that YouTube needs about 150 MB more."""

_PAGES_BYTES: Final = 32 * MIB
"""What pages, manifests and TLS may take in addition to the media itself."""

_PROTOCOLS: Final = r"[protocol~='^(https?|m3u8|m3u8_native|http_dash_segments)$']"
_MIN_ABR: Final = 60
"""kbit/s. Less would be smaller still, but at such rates codecs make up what the spectrogram shows up to 11 kHz."""

OPTIONS: Final = (
    # Nothing from this machine, and nothing left on it.
    *(
        "--ignore-config",
        "--quiet",
        "--no-warnings",
        "--no-plugin-dirs",
        "--no-remote-components",
        "--no-cache-dir",
        "--no-cookies",
        "--no-cookies-from-browser",
    ),
    *("--no-js-runtimes", "--no-mtime", "--no-part", "--no-continue", "--color", "never"),
    # One entry; of its audio formats the original language first, then the smallest.
    *("--no-playlist", "--playlist-items", "1"),
    *("-S", "lang,+size,+br,+res"),
    *("-f", f"ba[abr>=?{_MIN_ABR}]{_PROTOCOLS}/ba{_PROTOCOLS}/b*[acodec!=?none]{_PROTOCOLS}"),
    # No external downloader, no post-processing.
    *("--downloader", "native", "--fixup", "never", "--xff", "never", "--concurrent-fragments", "3"),
    # Small reads: the pace of a radio station shows in the first seconds.
    *("--buffer-size", "4K", "--no-resize-buffer"),
    *("--abort-on-unavailable-fragments", "--socket-timeout", "20", "--retries", "2", "--fragment-retries", "2"),
    *("--extractor-retries", "1", "--file-access-retries", "0"),
)


async def fetch_link(
    url: str,
    directory: Path,
    *,
    proxy: Proxy,
    settings: Settings,
    on_progress: ByteProgress | None = None,
) -> FetchedFile:
    """Download the audio that a link leads to.

    Args:
        url: `http` or `https`, as it was given.
        directory: the job's own.
        proxy: what yt-dlp connects through.
        settings: limits.
        on_progress: called up to four times a second.

    Raises:
        GenreGenieError: `unsupported-link`, `blocked-address`, `live-stream`, `login-required`, `not-public`,
            `age-restricted`, `drm-protected`, `region-blocked`, `unavailable`, `expired-link`, `no-audio-track`,
            `too-large`, `too-long`, `timeout` or `busy`, as named; `internal`: yt-dlp is missing or broken.
    """
    check_link(url, proxy, settings)
    media = directory / "out" / _MEDIA
    output = OutputReader(settings, StreamPace(media), on_progress)
    max_bytes = settings.max_file_bytes + _PAGES_BYTES
    async with proxy.lease(max_bytes=max_bytes) as lease:
        try:
            async with asyncio.timeout(settings.job_timeout_s):
                child_exit = await _run_ytdlp(url, directory, proxy, lease, settings, output)
                await lease.sync()
        except TimeoutError:
            raise GenreGenieError(ErrorCode.TIMEOUT) from None
        except OSError as error:
            if error.errno in OS_CODES:  # the disk is full
                raise GenreGenieError(OS_CODES[error.errno]) from None
            logger.exception("Could not start yt-dlp")
            raise GenreGenieError(ErrorCode.INTERNAL) from None
        if not media.is_file() or media.is_symlink() or child_exit.status != 0:
            raise _exit_error(url, child_exit, output.failure, lease, settings)
    if media.stat().st_size > settings.max_file_bytes:
        raise too_large(settings)
    song = output.song
    return FetchedFile(
        media,
        title=clean_text(song.title),
        uploader=clean_text(song.uploader),
        note="note.playlist-first" if song.from_playlist else None,
    )


def check_link(url: str, proxy: Proxy, settings: Settings) -> None:
    """Refuse at once what could never be fetched.

    Raises:
        GenreGenieError: `unsupported-link`, `blocked-address` or, with the name of the service, `drm-protected`.
    """
    # yt-dlp passes data to itself in URLs behind this mark; a stranger's link must not.
    if not url.isprintable() or "__youtubedl_smuggle" in url:
        raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
    try:
        address = URL(url)
        proxy.check(str(address))
    except ValueError:
        raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK) from None
    except RefusedError as error:
        raise refusal_error(error.reason, settings) from None
    if service := protecting_service(address):
        raise GenreGenieError(ErrorCode.DRM_PROTECTED, service=service)


async def _run_ytdlp(
    url: str, directory: Path, proxy: Proxy, lease: ProxyLease, settings: Settings, output: OutputReader
) -> ChildExit:
    """Run yt-dlp in its sandbox; the URL, the proxy and its secret reach it on standard input only."""
    out, home = directory / "out", directory / "home"
    for folder in (out, home):
        folder.mkdir(mode=0o700)
    options = [
        *OPTIONS,
        *("--output", _MEDIA, "--ffmpeg-location", str(home / "none")),
        *("--proxy", proxy.url_with_secret(lease)),
    ]
    environment = minimal_environment(home, PATH=str(home), DENO_DIR=str(home), DENO_NO_UPDATE_CHECK="1")
    if proxy.ca_file is not None:
        options += ["--compat-options", "no-certifi"]
        environment["SSL_CERT_FILE"] = str(write_ca_bundle(proxy.ca_file, home))
    runtime = javascript_runtime()
    if runtime is not None:
        options += ["--js-runtimes", f"deno:{runtime}"]
    policy = SandboxPolicy(
        read=[*readable_paths(runtime), _SCRIPT],
        write=[out, home],
        ports=[proxy.port],
        guarded=True,
        limits=ResourceLimits(
            cpu_seconds=math.ceil(settings.job_timeout_s), file_size=settings.max_file_bytes + MIB, open_files=256
        ),
    )
    return await run_child(
        sandboxed_command(YTDLP, policy),
        directory=out,
        environment=environment,
        stdin="\n".join(shlex.quote(word) for word in [*options, url]).encode(),
        bounds=Bounds(_MEMORY_BYTES, LINK_COPIES * settings.max_file_bytes, directory),
        on_line=output.read_line,
    )


def _exit_error(
    url: str, child_exit: ChildExit, failure: Failure | None, lease: ProxyLease, settings: Settings
) -> GenreGenieError:
    """Make the error for a missing file: the proxy's refusals say most, then what yt-dlp failed of."""
    match child_exit.overrun:
        case Overrun.DISK:
            return too_large(settings)
        case Overrun.MEMORY | Overrun.OUTPUT:
            return GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
    refusal = lease_error(lease, settings)
    if refusal is not None and refusal.code in (ErrorCode.BLOCKED_ADDRESS, ErrorCode.TOO_LARGE):
        return refusal
    if failure is None:
        if refusal is not None:
            return refusal
        if child_exit.status == 0:
            return GenreGenieError(ErrorCode.UNSUPPORTED_LINK)  # an empty playlist, for example
        logger.error("yt-dlp exited with status %d and no error message", child_exit.status)
        return GenreGenieError(ErrorCode.INTERNAL)
    code = failure_code(failure)
    if code == ErrorCode.TOO_LARGE:
        return too_large(settings)
    if code == ErrorCode.UNAVAILABLE:
        return refusal or _unavailable_error(failure, url)
    return GenreGenieError(code)


def _unavailable_error(failure: Failure, url: str) -> GenreGenieError:
    """Make the error for what cannot be had, and put into the log what the one who runs this can mend."""
    if failure.status in (403, 404) and URL(url).host in CDN_HOSTS:
        return GenreGenieError(ErrorCode.EXPIRED_LINK)
    page_was_read = "NoSoundError" in failure.errors
    if is_youtube(failure) and page_was_read and javascript_runtime() is None:
        logger.error("YouTube gave no sound: it needs a JavaScript runtime, and there is none (`genregenie doctor`)")
        return GenreGenieError(ErrorCode.UNAVAILABLE, site="YouTube")
    if not failure.expected and not page_was_read and failure.status is None:
        errors = ", ".join(clean_text(name) or "" for name in failure.errors)
        logger.warning("yt-dlp could not read a page of %s (%s): is it old?", clean_text(failure.extractor), errors)
    return GenreGenieError(ErrorCode.UNAVAILABLE)
