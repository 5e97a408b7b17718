"""Which ffmpeg to run: the system's, or the one in `imageio-ffmpeg`."""

import re
import shutil
import subprocess
from functools import cache
from os import environ

from core.errors import ConfigurationError

FFMPEG_VARIABLE = "GENREGENIE_FFMPEG"
"""Environment variable that names the ffmpeg to use: the setting's, and how a worker is told."""


@cache
def ffmpeg_path(named: str | None = None) -> str:
    """Return the path of the ffmpeg to use: the one of the settings, the one on the PATH, or imageio-ffmpeg's.

    Args:
        named: `Settings.ffmpeg`; without it the environment is asked, which a worker has instead of settings.

    Raises:
        ConfigurationError: there is none.
    """
    named = named or environ.get(FFMPEG_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise ConfigurationError(f"{FFMPEG_VARIABLE} does not name a program")
        return found
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    return bundled_ffmpeg_path()


def bundled_ffmpeg_path() -> str:
    """Return the path of imageio-ffmpeg's ffmpeg.

    Raises:
        ConfigurationError: the package has none for this platform.
    """
    import imageio_ffmpeg

    try:
        path: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise ConfigurationError("no ffmpeg: install it with your system's package manager") from None
    return path


def ffmpeg_version(path: str) -> str:
    """Return the version that an ffmpeg reports (`5.1.9`), or `unknown`."""
    try:
        output = subprocess.run(  # noqa: S603 - the program is the one that we found
            [path, "-version"],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.match(r"ffmpeg version (\S+)", output)
    return match[1] if match else "unknown"
