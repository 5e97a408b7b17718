"""Sound, streams and pages that ffmpeg and we make for the tests."""

import subprocess
from pathlib import Path

from core.audio.ffmpeg import ffmpeg_path

TONES = "aevalsrc=0.3*sin(2*PI*220*t)+0.2*sin(2*PI*330*t)*sin(PI*t):s=22050"


def ffmpeg(*arguments: str, cwd: Path) -> None:
    """Run ffmpeg in a directory, which is made."""
    cwd.mkdir(exist_ok=True)
    subprocess.run(
        [ffmpeg_path(), "-nostdin", "-v", "error", "-y", *arguments],
        cwd=cwd,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
    )


def tones(directory: Path, name: str, seconds: float = 8.0, *options: str) -> Path:
    """Write tones into a file whose suffix decides the format."""
    ffmpeg("-f", "lavfi", "-i", f"{TONES}:d={seconds}", *options, name, cwd=directory)
    return directory / name


def hls(directory: Path, seconds: float = 8.0) -> Path:
    """Write an HLS playlist with its pieces of 2 s."""
    ffmpeg(
        *("-f", "lavfi", "-i", f"{TONES}:d={seconds}", "-c:a", "aac", "-b:a", "64k"),
        *("-hls_time", "2", "-hls_playlist_type", "vod", "song.m3u8"),
        cwd=directory,
    )
    return directory / "song.m3u8"


def dash(directory: Path, seconds: float = 8.0) -> Path:
    """Write a DASH manifest with the pieces of two qualities."""
    ffmpeg(
        *("-f", "lavfi", "-i", f"{TONES}:d={seconds}", "-map", "0:a", "-map", "0:a", "-c:a", "aac"),
        *("-b:a:0", "64k", "-b:a:1", "160k", "-f", "dash", "-seg_duration", "2", "song.mpd"),
        cwd=directory,
    )
    return directory / "song.mpd"


def duration(path: Path) -> float:
    """Seconds of sound in a file, by decoding all of it."""
    decoded = subprocess.run(
        [ffmpeg_path(), "-nostdin", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", "8000", "-"],
        check=True,
        capture_output=True,
        timeout=240,
    ).stdout
    return len(decoded) / 16_000
