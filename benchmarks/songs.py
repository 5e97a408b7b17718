"""Songs to measure with: made from GTZAN where it is at hand, else from the song that comes with the project."""

import os
import subprocess
from pathlib import Path
from typing import Final

from core.ffmpeg import ffmpeg_path

ROOT: Final = Path(__file__).parents[1]
DEMO: Final = ROOT / "examples" / "demo.ogg"
CLIP_SECONDS: Final = 30

# What people send: MP3 in stereo at 44.1 kHz, of which both sides have to make mono at 22.05 kHz.
MP3: Final = ("-ac", "2", "-ar", "44100", "-c:a", "libmp3lame", "-b:a", "160k", "-map_metadata", "-1")


def gtzan_tracks() -> list[Path]:
    """GTZAN's tracks below `GENREGENIE_TEST_DATA`, genres mixed; none where it is not there."""
    data = Path(os.environ.get("GENREGENIE_TEST_DATA", ROOT.parent / "shared" / "data"))
    return sorted((data / "gtzan" / "audio").glob("*/*.flac"), key=lambda track: (track.stem[-5:], track.stem))


def origin() -> str:
    """Say in words what the songs are made of."""
    return "GTZAN" if gtzan_tracks() else "the demo song"


def make_clips(folder: Path, count: int) -> list[Path]:
    """Make MP3s of 30 s, different as long as there are different tracks."""
    tracks = gtzan_tracks()
    clips = []
    for index in range(count):
        clip = folder / f"clip{index:02}.mp3"
        if tracks:
            _encode(clip, CLIP_SECONDS, tracks[index % len(tracks)])
        else:
            _encode(clip, CLIP_SECONDS, DEMO, start=index % 10)
        clips.append(clip)
    return clips


def make_song(path: Path, seconds: int) -> Path:
    """Make one long song: tracks one after another, or the demo song again and again.

    Args:
        path: what to write; its suffix says how.
        seconds: how long it is to be.
    """
    tracks = gtzan_tracks()[: -(-seconds // CLIP_SECONDS)]
    if len(tracks) < 2:
        _encode(path, seconds, DEMO)
        return path
    inputs = [word for track in tracks for word in ("-i", str(track))]
    joined = "".join(f"[{index}:a]" for index in range(len(tracks))) + f"concat=n={len(tracks)}:v=0:a=1,aloop=-1:2e9"
    _ffmpeg(*inputs, "-filter_complex", joined, "-t", str(seconds), *(MP3 if path.suffix == ".mp3" else ()), str(path))
    return path


def _encode(path: Path, seconds: float, source: Path, start: float = 0) -> None:
    _ffmpeg("-stream_loop", "-1", "-ss", str(start), "-i", str(source), "-t", str(seconds), *MP3, str(path))


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([ffmpeg_path(), "-v", "error", "-nostdin", "-y", *arguments], check=True)
