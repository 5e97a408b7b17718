"""Songs that are asked about, as text and back: what an open request keeps of them."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bot.jobs.discord_files import DiscordFileSource
from bot.jobs.request import Song
from core.audio.spectrogram import QuantizedMel
from core.service.sources import AttachmentSource, LinkSource, SpectrogramSource


def songs_to_json(songs: Sequence[Song]) -> str:
    """Write songs down so that they can be asked about again; a kept spectrogram only by its song's digest.

    Raises:
        TypeError: a song comes from where nobody could look for it later.
    """
    return json.dumps([_song_to_dict(song) for song in songs])


async def songs_from_json(text: str, spectrogram: Callable[[str], Awaitable[QuantizedMel | None]]) -> tuple[Song, ...]:
    """Read what `songs_to_json` wrote; songs whose spectrogram is gone are left out.

    A file that Discord holds is a link again, as it was before `bot.jobs.discord_files.DiscordFiles` recognised it.

    Args:
        text: the songs.
        spectrogram: looks up a kept spectrogram by its song's digest.
    """
    songs = []
    for entry in json.loads(text):
        name = entry["name"]
        if "sha256" in entry:
            kept = await spectrogram(entry["sha256"])
            if kept is not None:
                songs.append(Song(SpectrogramSource(kept, name, entry["sha256"]), name))
        elif "file" in entry:
            songs.append(Song(AttachmentSource(entry["file"], name, entry["size"]), name))
        else:
            songs.append(Song(LinkSource(entry["link"]), name))
    return tuple(songs)


def _song_to_dict(song: Song) -> dict[str, Any]:
    source = song.source
    if isinstance(source, SpectrogramSource):
        return {"name": song.name, "sha256": source.digest}
    if isinstance(source, AttachmentSource):
        return {"name": song.name, "file": source.url, "size": source.size}
    if isinstance(source, LinkSource | DiscordFileSource):
        return {"name": song.name, "link": source.url}
    raise TypeError(f"{type(source).__name__} cannot be written down")
