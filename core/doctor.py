"""`genregenie doctor`: what is there, what is missing, and the remedy."""

import contextlib
import os
import platform
import shlex
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from core.audio.ffmpeg import bundled_ffmpeg_path, ffmpeg_path, ffmpeg_version
from core.errors import ConfigurationError
from core.inference.model_card import model_file, music_file, read_card, shipped_models
from core.private_files import is_open_to_others
from core.sandbox.policy import protections
from core.settings import ENV_FILE, MIB, Settings, load_settings
from core.version import VERSION
from core.workers.pool import WorkerPool

WORKER_MB: Final = 130
"""Resident memory of a warm worker."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line: `ok` is False only where something does not work; a `remedy` may be advice too."""

    ok: bool
    what: str
    remedy: str | None = None


async def print_checks(*groups: AsyncIterator[Check]) -> int:
    """Print checks as they are done, group after group; the exit status is 1 where something is missing."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    failed = False
    for group in groups:
        async for check in group:
            mark, style = ("ok", "green") if check.ok else ("missing", "bold red")
            console.print(Text(f"{mark:>7}", style=style).append(f"  {check.what}", style=""))
            if check.remedy:
                console.print(Text(f"         → {check.remedy}", style="yellow"))
            failed = failed or not check.ok
    return int(failed)


async def core_checks() -> AsyncIterator[Check]:
    """Check the settings, then everything that they lead to.

    Raises:
        ConfigurationError: settings do not fit.
    """
    settings = load_settings(Settings)
    yield Check(
        True, f"GenreGenie {VERSION}, Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield _ffmpeg(settings.ffmpeg)
    yield _model(settings.model)
    yield _music_model()
    yield await _workers(settings)
    yield _memory(settings)
    yield _data_directory(settings)
    for check in _open_to_others(settings):
        yield check
    for what, on, how in protections():
        yield Check(True, f"protection: {what}: {'on' if on else 'not here'}{f' ({how})' if how else ''}")
    for check in _links():
        yield check


def _ffmpeg(named: str | None) -> Check:
    remedy = "install ffmpeg with the system's package manager, or `pip install imageio-ffmpeg`"
    try:
        path = ffmpeg_path(named)
        bundled = path == _bundled()
    except ConfigurationError as error:
        return Check(False, f"ffmpeg: {error}", remedy)
    version = ffmpeg_version(path)
    which = "the one of imageio-ffmpeg" if bundled else path
    return Check(version != "unknown", f"ffmpeg {version}, {which}", remedy if version == "unknown" else None)


def _bundled() -> str | None:
    with contextlib.suppress(ConfigurationError, ImportError):
        return bundled_ffmpeg_path()
    return None


def _model(name: str | None) -> Check:
    try:
        model = read_card(model_file(name))
    except ConfigurationError as error:
        return Check(False, f"model: {error}", "take the models/ of the release, or train one: `genregenie train`")
    others = ", ".join(other for other in shipped_models() if other != model.name)
    return Check(True, f"model {model.name} {model.version}{f' (also there: {others})' if others else ''}")


def _music_model() -> Check:
    path = music_file()
    if path is None:
        return Check(True, "no model that tells music from other sound: everything is taken for music")
    try:
        return Check(True, f"music or not: model {read_card(path).version}")
    except ConfigurationError as error:
        return Check(False, f"model: {error}", "take the models/ of the release")


async def _workers(settings: Settings) -> Check:
    began = time.perf_counter()
    try:
        async with WorkerPool(settings, size=1) as pool:
            await pool.ready()
    except ConfigurationError as error:
        return Check(False, f"workers: {error}")
    return Check(True, f"a worker is warm after {time.perf_counter() - began:.1f} s; {settings.workers} will run")


def _memory(settings: Settings) -> Check:
    available = psutil.virtual_memory().available // MIB
    needed = settings.workers * WORKER_MB
    what = f"memory: {available} MB available, {needed} MB for {settings.workers} worker(s)"
    return Check(available > needed, what, None if available > needed else "fewer GENREGENIE_WORKERS, or more memory")


def _data_directory(settings: Settings) -> Check:
    remedy = "set GENREGENIE_DATA_DIR to a folder of yours"
    try:
        # Looking must not make the folder: the bot may run as another user, who then could not write to it.
        place = nearest_existing(settings.data_dir)
        free = shutil.disk_usage(place).free // MIB
    except OSError as error:
        return Check(False, f"data directory: {error.strerror}", remedy)
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Check(False, "data directory: not writable", remedy)
    short = free < settings.min_free_mb + settings.max_tmp_mb
    return Check(True, f"data directory: {free} MB free", "free some disk" if short else None)


def _open_to_others(settings: Settings) -> list[Check]:
    """Warn of secrets and data that other users of this machine can read; says nothing where there is nothing."""
    places = {ENV_FILE: "600", settings.data_dir: "700"}
    return [
        Check(True, f"other users of this machine can open {path}", f"`chmod {mode} {shlex.quote(str(path))}`")
        for path, mode in places.items()
        if is_open_to_others(path)
    ]


def nearest_existing(path: Path) -> Path:
    """Give the path itself, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def _links() -> list[Check]:
    from core.fetch.ytdlp_install import javascript_runtime, javascript_runtime_version, ytdlp_version

    runtime = javascript_runtime()
    return [_ytdlp(ytdlp_version()), _javascript(runtime, javascript_runtime_version(runtime) if runtime else None)]


def _ytdlp(found: tuple[str, int] | None) -> Check:
    from core.fetch.ytdlp_install import OLD_DAYS

    if found is None:
        return Check(False, "yt-dlp: none, so no links", _update())
    version, age_days = found
    return Check(
        True,
        f"yt-dlp {version}, {age_days} days old",
        f"sites change faster than that: {_update()}" if age_days > OLD_DAYS else None,
    )


def _javascript(path: str | None, version: str | None) -> Check:
    if path is None:
        return Check(False, "JavaScript runtime: none, so no songs from YouTube", _update())
    if version is None:
        return Check(False, f"JavaScript runtime: {path} does not start, so no songs from YouTube", _update())
    return Check(True, f"JavaScript runtime for YouTube: deno {version}")


def _update() -> str:
    from core.fetch.ytdlp_install import UPDATE

    return f"`{UPDATE}`; docs/hosting.md (Update yt-dlp) says where"
