"""Which of a song's formats yt-dlp takes."""

from typing import Any

import pytest
from yt_dlp import YoutubeDL, parse_options
from yt_dlp.utils import YoutubeDLError

from core.fetch.ytdlp import OPTIONS

Format = dict[str, Any]


def sound(name: str, abr: float | None, size: int | None = None, **more: Any) -> Format:
    url = f"{more.pop('scheme', 'https')}://example.com/{name}"
    return {"format_id": name, "url": url, "vcodec": "none", "acodec": "opus", "abr": abr, "filesize": size, **more}


def picture(name: str, height: int, acodec: str | None = "none", **more: Any) -> Format:
    url = f"https://example.com/{name}"
    return {"format_id": name, "url": url, "vcodec": "avc1", "acodec": acodec, "height": height, "tbr": height, **more}


def chosen(formats: list[Format]) -> str:
    """Have yt-dlp itself choose."""
    options = parse_options([*OPTIONS, "https://example.com/"]).ydl_opts
    found = {"id": "x", "title": "x", "extractor": "x", "webpage_url": "https://example.com/", "formats": formats}
    with YoutubeDL({**options, "simulate": True, "forceprint": {}}) as downloader:
        name: str = downloader.process_ie_result({**found, "extractor_key": "X"}, download=False)["format_id"]
    return name


@pytest.mark.parametrize(
    ("formats", "name"),
    [
        # A video site: sound alone, the smallest that is no worse than the spectrogram needs, in the song's language.
        (
            [
                sound("poor", 48.8, 1_400_000, language_preference=10),
                sound("small", 66, 2_000_000, language_preference=10),
                sound("large", 130, 3_900_000, language_preference=10),
                sound("dubbed", 64, 1_900_000, language_preference=-1),
                picture("film", 360, "aac", filesize=1_000_000),
                picture("mute", 144),
            ],
            "small",
        ),
        ([sound("poor", 32, 900_000), picture("mute", 1080)], "poor"),
        ([sound("large", 128), sound("small", 64, protocol="m3u8_native")], "small"),
        ([sound("song", 128), sound("preview", 64, preference=-10)], "song"),
        ([picture("large", 1080, "aac"), picture("small", 240, "aac"), picture("mute", 144)], "small"),
        ([{"format_id": "file", "url": "https://example.com/a.mp4"}], "file"),
        ([sound("radio", 64, scheme="rtmp"), sound("file", 320)], "file"),
    ],
)
def test_the_cheapest_sound_that_serves_is_chosen(formats: list[Format], name: str) -> None:
    assert chosen(formats) == name


@pytest.mark.parametrize("formats", [[picture("mute", 1080)], [sound("radio", 64, scheme="rtmp")]])
def test_where_no_sound_can_be_had_none_is_chosen(formats: list[Format]) -> None:
    with pytest.raises(YoutubeDLError, match="Requested format is not available"):
        chosen(formats)
