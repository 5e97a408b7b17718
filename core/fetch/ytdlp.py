"""A link → local file: yt-dlp in a jail, with the proxy as its only way out.

yt-dlp reads pages and streams that strangers wrote, so it is treated like their code: a child process of its own,
fixed options, no files but its own directory, no way out but the proxy, and nothing that it says is believed
unparsed. It never runs ffmpeg, which it would hand addresses to.
"""

import asyncio
import importlib.metadata
import logging
import math
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

from core.errors import ErrorCode, GenreGenieError
from core.fetch.proxy import FetchProxy, ProxyLease
from core.fetch.result import Fetched, clean_text, lease_error, refusal_error, too_large
from core.fetch.tempfiles import LINK_COPIES
from core.fetch.url_policy import RefusedError
from core.fetch.ytdlp_errors import complaint_code
from core.sandbox.policy import ResourceLimits, SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.supervisor import Bounds, Ended, Overrun, run_child
from core.settings import MIB, Settings

logger = logging.getLogger(__name__)

ByteProgress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where it is known, how many there will be."""

YTDLP = (sys.executable, "-I", "-B", "-m", "yt_dlp", "--ignore-config", "--config-locations", "-")
"""The program, which reads its options on standard input."""

_MEDIA: Final = "media"
_MEMORY_BYTES: Final = 512 * MIB
"""yt-dlp takes 80 MB, the JavaScript runtime that YouTube needs about 150 MB more."""

_PAGES_BYTES: Final = 32 * MIB
"""What pages, manifests and TLS may take beside the media itself."""

_PROTOCOLS: Final = r"[protocol~='^(https?|m3u8|m3u8_native|http_dash_segments)$']"
_MIN_ABR: Final = 60
"""kbit/s. Less is cheaper still, but codecs at such rates guess what the spectrogram shows up to 11 kHz."""

OPTIONS: Final = (
    # Nothing from this machine, and nothing left on it.
    *("--no-plugin-dirs", "--no-remote-components", "--no-cache-dir", "--no-cookies", "--no-cookies-from-browser"),
    *("--no-js-runtimes", "--no-mtime", "--no-part", "--no-continue", "--color", "never"),
    # One entry, its cheapest sound; the original language before the cheapest.
    *("--no-playlist", "--playlist-items", "1"),
    *("-S", "lang,+size,+br,+res"),
    *("-f", f"ba[abr>=?{_MIN_ABR}]{_PROTOCOLS}/ba{_PROTOCOLS}/b*[acodec!=?none]{_PROTOCOLS}"),
    # What can fetch by itself does so; nothing else runs.
    *("--downloader", "native", "--fixup", "never", "--xff", "never", "--concurrent-fragments", "3"),
    *("--abort-on-unavailable-fragments", "--socket-timeout", "20", "--retries", "2", "--fragment-retries", "2"),
    *("--extractor-retries", "1", "--file-access-retries", "0"),
    # What it says, line by line.
    *("--quiet", "--no-warnings", "--no-simulate", "--progress", "--newline", "--progress-delta", "0.25"),
    *(
        "--print",
        'pre_process:{"song": %(.{title,uploader,duration,is_live,live_status,playlist_index,playlist_count})j}',
    ),
    *("--progress-template", 'download:{"progress": %(progress.{downloaded_bytes,total_bytes,total_bytes_estimate})j}'),
)


class _Song(BaseModel):
    """What yt-dlp says of the song before it fetches it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str | None = None
    uploader: str | None = None
    duration: float | None = Field(default=None, ge=0.0, le=1e9)
    is_live: bool | None = None
    live_status: str | None = None
    playlist_index: int | None = None
    playlist_count: int | None = None

    @property
    def of_several(self) -> bool:
        """Whether it is one of a playlist; how many there are is not always known."""
        return self.playlist_index is not None and self.playlist_count != 1

    @property
    def live(self) -> bool:
        return bool(self.is_live) or self.live_status in ("is_live", "is_upcoming", "post_live")


class _Progress(BaseModel):
    """How far it has come."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    downloaded_bytes: float = Field(default=0, ge=0.0, le=1e15)
    total_bytes: float | None = Field(default=None, ge=0.0, le=1e15)
    total_bytes_estimate: float | None = Field(default=None, ge=0.0, le=1e15)


class _Line(BaseModel):
    """One line of its output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    song: _Song | None = None
    progress: _Progress | None = None


@dataclass(slots=True)
class _Listener:
    """Reads the child's lines; raises what ends it."""

    settings: Settings
    progress: ByteProgress | None
    song: _Song | None = None

    def hear(self, line: bytes) -> None:
        try:
            said = _Line.model_validate_json(line)
        except ValidationError:
            logger.warning("yt-dlp wrote a line that is none of ours")
            raise GenreGenieError(ErrorCode.INTERNAL) from None
        if said.song is not None:
            self._hear_song(said.song)
        if said.progress is not None:
            self._hear_progress(said.progress)

    def _hear_song(self, song: _Song) -> None:
        self.song = song
        if song.live:
            raise GenreGenieError(ErrorCode.LIVE_STREAM)
        if song.duration is not None and song.duration > self.settings.max_duration_s:
            raise GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=f"{self.settings.max_duration_s / 60:.0f}")

    def _hear_progress(self, progress: _Progress) -> None:
        if progress.total_bytes is not None and progress.total_bytes > self.settings.max_file_bytes:
            raise too_large(self.settings)
        if self.progress is not None:
            total = progress.total_bytes or progress.total_bytes_estimate
            self.progress(int(progress.downloaded_bytes), None if total is None else int(total))


async def fetch_link(
    url: str,
    directory: Path,
    *,
    proxy: FetchProxy,
    settings: Settings,
    progress: ByteProgress | None = None,
) -> Fetched:
    """Download the sound that a link leads to.

    Args:
        url: `http` or `https`, as the asker wrote it.
        directory: the job's own.
        proxy: the way out.
        settings: limits.
        progress: told how far it has come, some times a second.

    Raises:
        GenreGenieError: `unsupported-link`, `blocked-address`, `live-stream`, `login-required`, `not-public`,
            `age-restricted`, `drm-protected`, `region-blocked`, `unavailable`, `no-audio-track`, `too-large`,
            `too-long`, `timeout`, `busy`: as they say. `internal`: yt-dlp is missing or broken.
    """
    check_link(url, proxy, settings)
    listener = _Listener(settings, progress)
    max_bytes = settings.max_file_bytes + _PAGES_BYTES
    async with proxy.lease(max_bytes=max_bytes) as lease:
        try:
            async with asyncio.timeout(settings.job_timeout_s):
                ended = await _run_ytdlp(url, directory, proxy, lease, settings, listener)
        except TimeoutError:
            raise GenreGenieError(ErrorCode.TIMEOUT) from None
        except OSError:
            logger.exception("yt-dlp could not be started")
            raise GenreGenieError(ErrorCode.INTERNAL) from None
        media = directory / "out" / _MEDIA
        if not media.is_file() or media.is_symlink() or ended.status != 0:
            raise _error(ended, lease, settings)
    if media.stat().st_size > settings.max_file_bytes:
        raise too_large(settings)
    song = listener.song or _Song()
    return Fetched(
        media,
        title=clean_text(song.title),
        uploader=clean_text(song.uploader),
        duration=song.duration,
        note="note.playlist-first" if song.of_several else None,
    )


def check_link(url: str, proxy: FetchProxy, settings: Settings) -> None:
    """Say no at once to what nobody would fetch.

    Raises:
        GenreGenieError: `unsupported-link` or `blocked-address`.
    """
    # yt-dlp carries notes to itself behind this mark; a stranger's link has none to give.
    if not url.isprintable() or "__youtubedl_smuggle" in url:
        raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
    try:
        proxy.check(str(URL(url)))
    except ValueError:
        raise GenreGenieError(ErrorCode.UNSUPPORTED_LINK) from None
    except RefusedError as error:
        raise refusal_error(error.reason, settings) from None


async def _run_ytdlp(
    url: str, directory: Path, proxy: FetchProxy, lease: ProxyLease, settings: Settings, listener: _Listener
) -> Ended:
    """Run yt-dlp in its jail; the address, the proxy and its secret reach it on standard input only."""
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
        environment["SSL_CERT_FILE"] = str(_write_authorities(proxy.ca_file, home))
    runtime = javascript_runtime()
    if runtime is not None:
        options += ["--js-runtimes", f"deno:{runtime}"]
    confined = SandboxPolicy(
        read=_readable(runtime),
        write=[out, home],
        ports=[proxy.port],
        limits=ResourceLimits(
            cpu_seconds=math.ceil(settings.job_timeout_s), file_size=settings.max_file_bytes + MIB, open_files=256
        ),
    )
    return await run_child(
        sandboxed_command(YTDLP, confined),
        directory=out,
        environment=environment,
        stdin="\n".join(shlex.quote(word) for word in [*options, url]).encode(),
        bounds=Bounds(_MEMORY_BYTES, LINK_COPIES * settings.max_file_bytes, directory),
        on_line=listener.hear,
    )


def _error(ended: Ended, lease: ProxyLease, settings: Settings) -> GenreGenieError:
    """Why there is no file: what the proxy refused tells most, then what yt-dlp complains of."""
    match ended.overrun:
        case Overrun.DISK:
            return too_large(settings)
        case Overrun.MEMORY | Overrun.OUTPUT:
            return GenreGenieError(ErrorCode.UNSUPPORTED_LINK)
    refused = lease_error(lease, settings)
    if refused is not None and refused.code in (ErrorCode.BLOCKED_ADDRESS, ErrorCode.TOO_LARGE):
        return refused
    code = complaint_code(ended.errors)
    if code == ErrorCode.TOO_LARGE:
        return too_large(settings)
    if refused is not None and code in (None, ErrorCode.UNAVAILABLE):
        return refused
    if code is None and ended.status == 0:
        code = ErrorCode.UNSUPPORTED_LINK  # it found an empty playlist, say
    if code is None:
        logger.error("yt-dlp ended with status %d and no complaint of its own", ended.status)
    return GenreGenieError(code or ErrorCode.INTERNAL)


def _readable(runtime: str | None) -> list[Path]:
    """Files that Python, yt-dlp and the JavaScript runtime are made of."""
    paths = {
        Path(sys.prefix),
        Path(sys.base_prefix),
        *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")),
    }
    if runtime is not None:
        paths.add(Path(runtime))
    return [*paths, Path("/etc/mime.types")]


def _write_authorities(ca_file: Path, directory: Path) -> Path:
    """Write the usual authorities and one more into one file."""
    import certifi

    bundle = directory / "authorities.pem"
    bundle.write_text(f"{certifi.contents()}\n{ca_file.read_text('ascii')}", "ascii")
    return bundle


def javascript_runtime() -> str | None:
    """Path of deno, which YouTube needs: the one beside this Python, or the system's; None if there is none."""
    beside = shutil.which("deno", path=sysconfig.get_path("scripts"))
    return beside or shutil.which("deno")


def ytdlp_version() -> tuple[str, int] | None:
    """Version of yt-dlp, and its age in days, which its version tells; None if it is not installed."""
    try:
        version = importlib.metadata.version("yt-dlp")
    except importlib.metadata.PackageNotFoundError:
        return None
    year, month, day = (int(part) for part in version.split(".")[:3])
    return version, (datetime.now(UTC).date() - date(year, month, day)).days
