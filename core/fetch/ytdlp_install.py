"""The installed yt-dlp: its version, its JavaScript runtime and the files that they need."""

import importlib.metadata
import shutil
import sys
import sysconfig
from datetime import UTC, date, datetime
from pathlib import Path


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
