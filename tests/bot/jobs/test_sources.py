"""What a link is called where its page has no title."""

import pytest

from bot.jobs.sources import link_song
from core.service.sources import LinkSource


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
    song = link_song(link)
    assert song.name == name
    assert isinstance(song.source, LinkSource)
    assert song.source.url == link.strip().strip("<>")
