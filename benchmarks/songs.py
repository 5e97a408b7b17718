"""Songs to measure with: made from GTZAN where it is available, else from the demo song."""

import subprocess
from pathlib import Path
from typing import Final

from core.audio.ffmpeg import ffmpeg_path
from tests.support.data import ROOT, gtzan_tracks

DEMO: Final = ROOT / "examples" / "demo.ogg"
CLIP_SECONDS: Final = 30

# What people typically post: stereo MP3 at 44.1 kHz, which both sides convert to mono at 22.05 kHz.
MP3: Final = ("-ac", "2", "-ar", "44100", "-c:a", "libmp3lame", "-b:a", "160k", "-map_metadata", "-1")


def tracks() -> list[Path]:
    """Give GTZAN's tracks, genres interleaved; empty where GTZAN is not available."""
    return sorted(gtzan_tracks(), key=lambda track: (track.stem[-5:], track.stem))


def origin() -> str:
    """Describe what the songs are made from."""
    return "GTZAN" if tracks() else "the demo song"


def make_clips(folder: Path, count: int) -> list[Path]:
    """Make MP3s of 30 s, all different if there are enough tracks."""
    clips = []
    songs = tracks()
    for index in range(count):
        clip = folder / f"clip{index:02}.mp3"
        if songs:
            _encode(clip, CLIP_SECONDS, songs[index % len(songs)])
        else:
            _encode(clip, CLIP_SECONDS, DEMO, start=index % 10)
        clips.append(clip)
    return clips


def make_song(path: Path, seconds: int) -> Path:
    """Make one long song: tracks one after another, or the demo song repeated.

    Args:
        path: file to write; its suffix gives the format.
        seconds: length.
    """
    songs = tracks()[: -(-seconds // CLIP_SECONDS)]
    if len(songs) < 2:
        _encode(path, seconds, DEMO)
        return path
    inputs = [word for track in songs for word in ("-i", str(track))]
    joined = "".join(f"[{index}:a]" for index in range(len(songs))) + f"concat=n={len(songs)}:v=0:a=1,aloop=-1:2e9"
    _ffmpeg(*inputs, "-filter_complex", joined, "-t", str(seconds), *(MP3 if path.suffix == ".mp3" else ()), str(path))
    return path


def _encode(path: Path, seconds: float, source: Path, start: float = 0) -> None:
    _ffmpeg("-stream_loop", "-1", "-ss", str(start), "-i", str(source), "-t", str(seconds), *MP3, str(path))


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([ffmpeg_path(), "-v", "error", "-nostdin", "-y", *arguments], check=True)
