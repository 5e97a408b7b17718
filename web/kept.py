"""What is kept of a song while its visitor may ask for more: its spectrogram, and the sound of a link, under quotas."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.audio.spectrogram import QuantizedMel
from core.errors import GenreGenieError
from core.fetch.tempfiles import LINK_COPIES, TemporaryFiles
from core.inference.pipeline import ProgressCallback
from core.service.sources import LinkSource, OpenFile, OpenSong
from core.settings import MIB
from core.verdict import SongInfo
from web.settings import WebSettings

if TYPE_CHECKING:
    from core.service.fetcher import Fetcher

MAX_SPECTROGRAM_BYTES: Final = 24 * MIB
"""All spectrograms together: of two hours of music. The oldest go first."""

SOUNDS_SHARE: Final = 4
"""The sounds that are kept may take a quarter of the disk space that fetched files may."""

VISITORS_SHARE: Final = 4
"""No visitor's songs take more than a quarter of what there is for all."""

_MEDIA_TYPES: Final = (
    (0, b"OggS", "audio/ogg"),
    (0, b"\x1aE\xdf\xa3", "audio/webm"),
    (0, b"RIFF", "audio/wav"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "audio/mp4"),
)
"""Where in a file which bytes say what it is; everything else is called MP3, and a browser plays it or not."""

_HEAD_BYTES: Final = 16


@dataclass(eq=False, slots=True)
class KeptSong:
    """What is kept of a song.

    Attributes:
        visitor: whose song it is.
        info: what it is called.
        sha256: of the file's bytes.
        spectrogram: for another part of it; None once it had to make room.
        sound: the file, where it came from a link and is kept; None otherwise.
        media_type: of the sound.
        answers: how many answers about it are kept; with the last one it goes.
    """

    visitor: str
    info: SongInfo = field(default_factory=lambda: SongInfo(""))
    sha256: str = ""
    spectrogram: QuantizedMel | None = None
    sound: Path | None = None
    media_type: str = ""
    answers: int = 1
    _sound_bytes: int = 0
    _files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def spectrogram_bytes(self) -> int:
        """Size of the spectrogram."""
        return 0 if self.spectrogram is None else self.spectrogram.mel.nbytes + self.spectrogram.peaks.nbytes

    @property
    def sound_bytes(self) -> int:
        """Size of the sound."""
        return 0 if self.sound is None else self._sound_bytes

    def take_sound(self, path: Path, size: int, files: contextlib.ExitStack) -> None:
        """Take a file over, with what deletes it."""
        self.sound, self._sound_bytes, self._files = path, size, files
        self.media_type = _media_type(path)

    def drop_sound(self) -> None:
        """Delete the file."""
        self.sound = None
        self._files.close()


class KeptSongs:
    """The songs that something is kept of.

    Args:
        files: where sounds lie.
        settings: limits.
    """

    def __init__(self, files: TemporaryFiles, settings: WebSettings) -> None:
        self._files = files
        self._songs: dict[KeptSong, None] = {}  # the oldest first
        largest = settings.max_file_bytes
        # Whatever is kept, one link and one upload must always find room.
        self._max_sound_bytes = max(0, min(files.quota // SOUNDS_SHARE, files.quota - (LINK_COPIES + 1) * largest))

    @property
    def sound_bytes(self) -> int:
        """Bytes of all sounds that are kept."""
        return sum(song.sound_bytes for song in self._songs)

    @property
    def spectrogram_bytes(self) -> int:
        """Bytes of all spectrograms that are kept."""
        return sum(song.spectrogram_bytes for song in self._songs)

    def keep(self, song: KeptSong, spectrogram: QuantizedMel) -> None:
        """Keep a song's spectrogram, in the place of the oldest ones where there are too many."""
        if not song.answers:
            return  # its visitor has gone
        self._songs[song] = None
        song.spectrogram = spectrogram
        own = [one for one in self._songs if one.visitor == song.visitor]
        for songs, most in (
            (own, MAX_SPECTROGRAM_BYTES // VISITORS_SHARE),
            (list(self._songs), MAX_SPECTROGRAM_BYTES),
        ):
            held = sum(one.spectrogram_bytes for one in songs)
            for one in songs:
                if held <= most:
                    break
                held -= one.spectrogram_bytes
                one.spectrogram = None

    def keep_sound(self, song: KeptSong, path: Path) -> None:
        """Keep a fetched file, if there is room for it; the visitor's older ones make room first."""
        if not song.answers:
            return  # its visitor has gone
        size = path.stat().st_size
        for songs, most in (
            ([one for one in self._songs if one.visitor == song.visitor], self._max_sound_bytes // VISITORS_SHARE),
            (list(self._songs), self._max_sound_bytes),
        ):
            if size > most:
                return
            held = sum(one.sound_bytes for one in songs)
            for one in songs:
                if held + size <= most:
                    break
                held -= one.sound_bytes
                one.drop_sound()
        with contextlib.ExitStack() as stack:
            try:
                kept = stack.enter_context(self._files.job(size)) / "sound"
                path.rename(kept)
            except (GenreGenieError, OSError):
                return  # the disk is full: the song is classified all the same
            song.take_sound(kept, size, stack.pop_all())
        self._songs[song] = None

    def release(self, song: KeptSong) -> None:
        """Take note that an answer about a song is forgotten."""
        song.answers -= 1
        if not song.answers:
            self._songs.pop(song, None)
            song.spectrogram = None
            song.drop_sound()


@dataclass(frozen=True, slots=True)
class KeptLink:
    """A link whose file is handed to `keep` once it has been classified."""

    url: str
    keep: Callable[[Path], None]

    @property
    def name(self) -> str:
        """The link itself."""
        return self.url

    @contextlib.asynccontextmanager
    async def open(self, fetcher: "Fetcher | None", on_progress: ProgressCallback) -> AsyncIterator[OpenSong]:
        """Download what the link leads to."""
        async with LinkSource(self.url).open(fetcher, on_progress) as song:
            yield song
            if isinstance(song, OpenFile):
                self.keep(song.path)

    async def portable(self) -> None:
        """Is fetched here, where its file is kept."""


def read_part(path: Path, first: int, count: int) -> bytes:
    """Read some bytes of a file."""
    with path.open("rb") as file:
        file.seek(first)
        return file.read(count)


def _media_type(path: Path) -> str:
    head = read_part(path, 0, _HEAD_BYTES)
    return next((name for at, mark, name in _MEDIA_TYPES if head[at:].startswith(mark)), "audio/mpeg")
