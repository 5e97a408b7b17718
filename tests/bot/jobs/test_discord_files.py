"""Links to Discord's files: which are, which still work, and what becomes of those that do not."""

import asyncio
from typing import Any

import discord
import pytest

from bot.jobs.discord_files import DiscordFiles, DiscordFileSource, is_valid
from bot.jobs.sources import FoundSongs, link_song
from core.errors import ErrorCode, GenreGenieError
from core.service.sources import LinkSource

NOW = 1_700_000_000.0
CDN = "https://cdn.discordapp.com/attachments/1/2/song.mp3"


class Http:
    """Answers in Discord's place."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    async def request(self, route: discord.http.Route, *, json: Any) -> Any:
        self.asked.append((f"{route.method} {route.path}", json))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def files(answer: Any = None) -> DiscordFiles:
    return DiscordFiles(Http(answer), ("127.0.0.1:8080",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("link", "is_file"),
    [
        (CDN, True),
        (f"{CDN}?ex=1&is=2&hm=3&", True),
        ("https://media.discordapp.net/ephemeral-attachments/1/2/Canci%C3%B3n.mp3", True),
        ("http://127.0.0.1:8080/attachments/1/2/song.mp3", True),
        ("http://127.0.0.1:8081/attachments/1/2/song.mp3", False),
        ("http://cdn.discordapp.com/attachments/1/2/song.mp3", False),
        ("https://cdn.discordapp.com.example.org/attachments/1/2/song.mp3", False),
        ("https://cdn.discordapp.com/emojis/1.png", False),
        ("https://discord.com/channels/1/2/3", False),
        ("https://[", False),
    ],
)
def test_only_attachments_on_discords_own_hosts_are_its_files(link: str, is_file: bool) -> None:
    [song] = files().with_files(FoundSongs((link_song(link),))).songs
    assert isinstance(song.source, DiscordFileSource if is_file else LinkSource)
    assert song.name == link_song(link).name


@pytest.mark.parametrize(
    ("query", "valid"),
    [
        (f"ex={int(NOW) + 3600:x}&is=1&hm=2", True),
        (f"ex={int(NOW) + 30:x}&is=1&hm=2", False),
        (f"ex={int(NOW) - 1:x}&is=1&hm=2", False),
        (f"ex={int(NOW) + 3600:x}", False),
        ("ex=soon&hm=2", False),
        ("", False),
    ],
)
def test_a_link_is_valid_while_its_signature_is(query: str, valid: bool) -> None:
    assert is_valid(f"{CDN}?{query}", NOW) is valid


async def test_discord_is_asked_for_one_link_and_answers_with_another() -> None:
    http = Http({"refreshed_urls": [{"original": CDN, "refreshed": f"{CDN}?ex=9&is=8&hm=7&"}]})
    assert await DiscordFiles(http).renew(CDN) == f"{CDN}?ex=9&is=8&hm=7&"  # type: ignore[arg-type]
    assert http.asked == [("POST /attachments/refresh-urls", {"attachment_urls": [CDN]})]


@pytest.mark.parametrize(
    "answer",
    [
        *({}, [], None, "gone", {"refreshed_urls": []}, {"refreshed_urls": ["x"]}, {"refreshed_urls": [{}]}),
        {"refreshed_urls": [{"original": CDN, "refreshed": None}]},
        OSError("reset"),
        TimeoutError(),
    ],
)
async def test_a_link_that_discord_does_not_renew_has_expired(answer: Any) -> None:
    [song] = files(answer).with_files(FoundSongs((link_song(CDN),))).songs
    with pytest.raises(GenreGenieError) as caught:
        async with song.source.open(None, lambda step, share: None):
            pass
    assert caught.value.code is ErrorCode.EXPIRED_LINK


async def test_an_answer_is_not_waited_for_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Http):
        async def request(self, route: discord.http.Route, *, json: Any) -> Any:
            await asyncio.sleep(600)

    monkeypatch.setattr("bot.jobs.discord_files.RENEW_WITHIN_S", 0.01)
    assert await DiscordFiles(Silent(None)).renew(CDN) is None  # type: ignore[arg-type]
