"""Files that members send."""

import io
import itertools
import subprocess
import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.audio.ffmpeg import ffmpeg_path
from core.constants import SAMPLE_RATE
from tests.discord_server import File
from tests.support.data import ROOT

DEMO = ROOT / "examples" / "demo.ogg"

_numbers = itertools.count(1)


@cache
def _demo() -> NDArray[np.int16]:
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-i", str(DEMO), "-ac", "1", "-ar", str(SAMPLE_RATE)]
    done = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True, timeout=60)
    return np.frombuffer(done.stdout, np.int16)


def wav(samples: NDArray[np.int16], rate: int = SAMPLE_RATE) -> bytes:
    """Return samples as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def new_song(seconds: float = 12.0, name: str | None = None, **properties: object) -> File:
    """Return some seconds of the demo song; no two of these have the same bytes, so none is known already."""
    number = next(_numbers)
    wanted = round(seconds * SAMPLE_RATE)
    samples = np.resize(_demo()[number * 7 :], wanted)
    return File(name or f"song-{number}.wav", wav(samples), **properties)  # type: ignore[arg-type]


def voice_message(seconds: float = 8.0) -> File:
    """Return an Opus file as Discord's clients record it."""
    file = new_song(seconds)
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-i", "-", "-c:a", "libopus", "-b:a", "32k", "-f", "ogg", "-"]
    done = subprocess.run(command, input=file.data, capture_output=True, check=True, timeout=60)
    return File("voice-message.ogg", done.stdout, content_type="audio/ogg", duration_s=seconds)


def converted(file: File, name: str, *arguments: str, directory: Path) -> File:
    """Return the file as ffmpeg converts it with these arguments."""
    source, target = directory / f"source-{file.name}", directory / name
    source.write_bytes(file.data)
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-i", str(source), *arguments, str(target)]
    subprocess.run(command, check=True, timeout=60)
    return File.at(target)
