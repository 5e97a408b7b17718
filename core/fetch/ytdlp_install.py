"""The installed yt-dlp: its version, its JavaScript runtime and the files that they need."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

OLD_DAYS: Final = 60
"""Sites change faster than this."""

UPDATE: Final = 'pip install --upgrade "yt-dlp[default,deno]"'
"""Updates yt-dlp and its JavaScript runtime, and nothing else; docs/hosting.md says where to run it."""

_START_SECONDS: Final = 30.0


def ytdlp_version() -> tuple[str, int] | None:
    """Return yt-dlp's version and its age in days (versions are dates); None if it is not installed."""
    try:
        version = importlib.metadata.version("yt-dlp")
    except importlib.metadata.PackageNotFoundError:
        return None
    year, month, day = (int(part) for part in version.split(".")[:3])
    return version, (datetime.now(UTC).date() - date(year, month, day)).days


def javascript_runtime() -> str | None:
    """Return the path of deno, which YouTube needs: beside this Python or on the PATH; None if there is none."""
    beside = shutil.which("deno", path=sysconfig.get_path("scripts"))
    return beside or shutil.which("deno")


def javascript_runtime_version(path: str) -> str | None:
    """Run the JavaScript runtime and return its version; None if it does not start."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_START_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"deno (\d[\w.]*)", done.stdout.decode("utf-8", "replace"))
    return found[1] if found else None


def readable_paths(runtime: str | None) -> list[Path]:
    """List what Python, yt-dlp and the JavaScript runtime must be able to read."""
    paths = {
        Path(sys.prefix),
        Path(sys.base_prefix),
        *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")),
    }
    if runtime is not None:
        paths.add(Path(runtime))
    return [*paths, Path("/etc/mime.types")]


def write_ca_bundle(ca_file: Path, directory: Path) -> Path:
    """Write certifi's authorities and `ca_file`'s into one PEM file and return its path."""
    import certifi

    bundle = directory / "authorities.pem"
    bundle.write_text(f"{certifi.contents()}\n{ca_file.read_text('ascii')}", "ascii")
    return bundle
