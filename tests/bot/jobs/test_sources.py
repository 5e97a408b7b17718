"""Which songs a message has, and what they are called."""

import pytest

from bot.jobs.links import pasted_link
from bot.jobs.sources import (
    MAX_SONGS,
    FoundSongs,
    attachment_song,
    autoscan_songs,
    has_links,
    has_songs,
    link_song,
    message_songs,
)
from core.audio.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from core.i18n.catalog import translate
from core.service.sources import AttachmentSource, LinkSource
from tests.bot.jobs.messages import attachment, forwarding, message

GENERIC = [None, "", "application/octet-stream", "Application/Octet-Stream; x=y"]
U = "https://example.org/song.mp3"


def names(found: FoundSongs) -> list[str]:
    return [song.name for song in found.songs]


def urls(found: FoundSongs) -> list[str]:
    sources = [song.source for song in found.songs]
    assert all(isinstance(source, LinkSource) for source in sources)
    return [source.url for source in sources if isinstance(source, LinkSource)]


@pytest.mark.parametrize("content_type", GENERIC)
@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_a_generic_type_hides_no_audio(suffix: str, content_type: str | None) -> None:
    posted = message(attachments=[attachment(f"song{suffix}", content_type)])
    assert names(autoscan_songs(posted, "en")) == [f"song{suffix}"]
    assert names(message_songs(posted, "en", links=False)) == [f"song{suffix}"]


@pytest.mark.parametrize("content_type", GENERIC)
@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_video_is_for_those_who_ask(suffix: str, content_type: str | None) -> None:
    posted = message(attachments=[attachment(f"clip{suffix}", content_type)])
    assert names(autoscan_songs(posted, "en")) == []
    assert names(message_songs(posted, "en", links=False)) == [f"clip{suffix}"]


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("song.flac", "audio/x-flac"),
        ("song.amr", "audio/amr"),
        ("song", "audio/mpeg"),
        ("song.bin", "Audio/MPEG"),
        ("song.m4a", "video/mp4"),
        ("song.ogg", "application/ogg"),
        ("SONG.MP3", "text/plain"),
        (".mp3", None),
        ("memo.3gp", "audio/3gpp"),
    ],
)
def test_a_type_or_a_suffix_is_enough(filename: str, content_type: str | None) -> None:
    posted = message(attachments=[attachment(filename, content_type)])
    assert names(autoscan_songs(posted, "en")) == [filename]
    assert names(message_songs(posted, "en", links=False)) == [filename]


@pytest.mark.parametrize(
    ("filename", "content_type", "media"),
    [
        ("clip.3gp", "video/3gpp", True),
        ("clip.bin", "video/mp4", True),
        ("clip.ts", "video/mp2t", True),
        ("code.ts", "video/mp2t; charset=utf-8", False),
        ("code.ts", "text/plain; charset=utf-8", False),
        ("notes.txt", "text/plain", False),
        ("cover.png", "image/png", False),
        ("mp3", None, False),
        ("songs.zip", "application/zip", False),
    ],
)
def test_other_files_are_passed_over(filename: str, content_type: str | None, media: bool) -> None:
    posted = message(attachments=[attachment(filename, content_type)])
    assert names(autoscan_songs(posted, "en")) == []
    assert names(message_songs(posted, "en", links=True)) == ([filename] if media else [])


@pytest.mark.parametrize("flags", [0, 1 << 13])
def test_a_voice_message_is_called_so(flags: int) -> None:
    waveform = {} if flags else {"duration_secs": 3.0, "waveform": "AAAA"}
    posted = message(flags=flags, attachments=[attachment("voice", **waveform)])
    assert names(autoscan_songs(posted, "es")) == [translate("bot.voice-message", "es")]


@pytest.mark.parametrize(
    ("filename", "title", "name"),
    [
        ("Cancin_de_cuna.mp3", "Canción de cuna", "Canción de cuna.mp3"),
        ("Cancin_de_cuna.mp3", "Canción de cuna.MP3", "Canción de cuna.MP3"),
        ("Dr._No", "Dr. No?", "Dr. No?._No"),
        ("unknown.mp3", "歌", "歌.mp3"),
        ("song", "söng", "söng"),
        ("song.mp3", None, "song.mp3"),
        ("song.mp3", " ", "song.mp3"),
    ],
)
def test_a_song_is_called_as_its_sender_called_it(filename: str, title: str | None, name: str) -> None:
    [file] = message(attachments=[attachment(filename, "audio/mpeg", title=title)]).attachments
    song = attachment_song(file, "en")
    assert song.name == name
    assert isinstance(song.source, AttachmentSource)
    assert (song.source.url, song.source.name, song.source.size) == (file.url, name, 1_000)


def test_a_forwarded_message_is_looked_into() -> None:
    posted = forwarding(attachments=[attachment("song.mp3", "application/octet-stream")])
    assert names(autoscan_songs(posted, "en")) == ["song.mp3"]
    assert names(message_songs(posted, "en", links=True)) == ["song.mp3"]
    linked = forwarding(f"[song]({U})")
    assert urls(message_songs(linked, "en", links=True)) == [U]
    assert autoscan_songs(linked, "en") == FoundSongs(())


@pytest.mark.parametrize(
    "embed",
    [
        {"type": "rich", "url": U, "title": "Song"},
        {"type": "rich", "description": f"[Song]({U})"},
        {"type": "rich", "fields": [{"name": "Now playing", "value": f"<{U}>", "inline": False}]},
        {"type": "video", "video": {"url": U}},
        {"type": "video", "url": U, "video": {"url": "https://player.example/embed/1"}},
        {"type": "link", "url": U},
    ],
)
def test_embeds_with_a_video_or_a_link_are_found(embed: dict[str, object]) -> None:
    for posted in (message(embeds=[embed]), forwarding(embeds=[embed])):
        assert urls(message_songs(posted, "en", links=True)) == [U]
        assert has_links(posted)
        assert message_songs(posted, "en", links=False) == FoundSongs(())


def test_what_discord_shows_of_a_link_is_not_the_same_song_again() -> None:
    preview = {"type": "video", "url": "https://www.youtube.com/watch?v=abc", "video": {"url": "https://a.example/b"}}
    posted = message("https://youtu.be/abc", embeds=[preview])
    assert urls(message_songs(posted, "en", links=True)) == ["https://youtu.be/abc"]
    picture = {"type": "image", "url": "https://example.org/cat.png"}
    assert not has_links(message(embeds=[picture, {"type": "gifv", "url": "https://example.org/cat"}]))


BUTTON = {"type": 2, "style": 5, "label": "Listen", "url": U}


@pytest.mark.parametrize(
    "component",
    [
        {"type": 1, "components": [BUTTON]},
        {"type": 9, "components": [{"type": 10, "content": "Song"}], "accessory": BUTTON},
        {"type": 10, "content": f"**{U}**"},
        {"type": 12, "items": [{"media": {"url": U}}, {"media": {"url": "https://example.org/cat.png"}}]},
        {"type": 17, "components": [{"type": 14}, {"type": 1, "components": [BUTTON]}]},
    ],
)
def test_links_in_components_are_found(component: dict[str, object]) -> None:
    for posted in (message(components=[component]), forwarding(components=[component])):
        assert urls(message_songs(posted, "en", links=True)) == [U]


def test_files_that_components_show_are_attachments() -> None:
    url = attachment("song.opus")["url"]
    media = {"url": url, "content_type": "application/octet-stream", "attachment_id": "12"}
    file = {"type": 13, "file": media, "name": "song.opus", "size": 1_000}
    gallery = {"type": 12, "items": [{"media": media}]}
    for component in (file, gallery, {"type": 17, "components": [file]}):
        posted = message(components=[component])
        found = message_songs(posted, "en", links=False)
        assert names(found) == ["song.opus"]
        assert isinstance(found.songs[0].source, AttachmentSource)
        assert autoscan_songs(posted, "en") == found
    listed_too = message(attachments=[attachment("song.opus")], components=[file, gallery])
    assert names(message_songs(listed_too, "en", links=False)) == ["song.opus"]


def test_more_than_ten_are_counted() -> None:
    several = " ".join(f"{U}?{number}" for number in range(MAX_SONGS + 3))
    found = message_songs(message(several), "en", links=True)
    assert (len(found.songs), found.left_out) == (MAX_SONGS, 3)
    assert urls(found)[0] == f"{U}?0"
    files = [attachment(f"{number}.mp3") for number in range(MAX_SONGS + 1)]
    assert autoscan_songs(forwarding(attachments=files), "en").left_out == 1
    assert autoscan_songs(forwarding(attachments=files[1:]), "en").left_out == 0


def test_a_message_of_words_has_nothing() -> None:
    posted = message("words (and more) …")
    assert message_songs(posted, "en", links=True) == FoundSongs(())
    assert not has_songs(posted)
    assert has_songs(message(U))
    assert has_songs(forwarding(attachments=[attachment("song.mp3")]))


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("https://example.org/music/my%20song.mp3?key=secret", "my song.mp3"),
        ("<https://example.org/a.ogg>", "a.ogg"),
        ("https://example.org/", "example.org"),
        ("  https://example.org/track#t=1 ", "track"),
        ("no link", "no link"),
        ("https://[broken", "https://[broken"),
    ],
)
def test_a_link_is_called_by_its_file_or_host(link: str, name: str) -> None:
    song = link_song(pasted_link(link) or link)
    assert song.name == name
    assert isinstance(song.source, LinkSource)
    assert song.source.url == link.strip().strip("<>")
