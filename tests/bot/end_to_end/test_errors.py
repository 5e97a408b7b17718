"""Every error that a member can meet, as a sentence."""

from pathlib import Path

import numpy as np
import pytest

from core.constants import SAMPLE_RATE
from core.errors import ErrorCode
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, error_id, said, sentence
from tests.bot.end_to_end.conftest import House
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import converted, new_song, wav
from tests.discord_server import Discord, File, Message

MIB = 1024 * 1024


async def ask(discord: Discord, house: House, **options: object) -> Message:
    return await answer(discord.slash("genre", user=house.ana, channel=house.channel, **options))


def silence(seconds: float) -> bytes:
    return wav(np.zeros(round(seconds * SAMPLE_RATE), np.int16))


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (File("notes.mp3", b"these are words, no sound. " * 50), ErrorCode.NOT_AUDIO),
        (File("empty.mp3", b""), ErrorCode.NOT_AUDIO),
        (new_song(2.5), ErrorCode.TOO_SHORT),
        (File("silence.wav", silence(8)), ErrorCode.SILENT),
        (new_song(6, status=404), ErrorCode.UNAVAILABLE),
        (new_song(20, break_off_at=100_000), ErrorCode.UNAVAILABLE),
        (new_song(20, content_length=100_000), ErrorCode.UNAVAILABLE),
        (new_song(20, content_length=5 * MIB), ErrorCode.UNAVAILABLE),
    ],
    ids=["words", "empty", "short", "silent", "gone", "breaks off", "length short", "length long"],
)
async def test_a_file_that_has_no_verdict_is_answered_with_its_sentence(
    discord: Discord, bot: BotProcess, house: House, file: File, code: ErrorCode
) -> None:
    reply = await ask(discord, house, file=file)
    assert said(reply) == sentence(code)
    assert (error_id(reply) is not None) == (code is ErrorCode.UNAVAILABLE)
    assert (reply.embeds, reply.files, reply.components) == ([], [], [])


async def test_a_server_error_of_the_cdn_is_tried_again_and_not_called_gone(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    once = new_song(6, status=503, failures=1)
    assert (await ask(discord, house, file=once)).embeds
    assert discord.downloads(once) == 2
    down = new_song(6, status=503)
    reply = await ask(discord, house, file=down)
    assert said(reply) == sentence(ErrorCode.SERVER_ERROR, status=503)
    assert discord.downloads(down) == 2
    # The line about this request is found by what the member reads out.
    await bot.until(
        lambda: f"outcome=server-error cached=0 delivered=True id={error_id(reply)}\n" in bot.log, "its line"
    )


async def test_every_error_is_told_in_spanish_too(discord: Discord, bot: BotProcess, house: House) -> None:
    luz = discord.user("luz", locale="es-419")
    house.guild.join(luz)
    asked = discord.slash("genre", user=luz, channel=house.channel, file=new_song(2), private=True)
    assert (await answer(asked)).content == sentence(ErrorCode.TOO_SHORT, "es")


async def test_a_file_over_the_limit_is_refused_before_it_is_downloaded(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    big = new_song(6, declared_size=11 * MIB)
    reply = await ask(discord, house, file=big)
    assert reply.content == sentence(ErrorCode.TOO_LARGE, limit_mb=10)
    assert discord.downloads(big) == 0


async def test_a_file_that_is_larger_than_it_says_is_refused_on_the_way(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    liar = File("liar.wav", bytes(12 * MIB), declared_size=1 * MIB)
    assert (await ask(discord, house, file=liar)).content == sentence(ErrorCode.TOO_LARGE, limit_mb=10)


async def test_too_long_names_the_limit(discord: Discord, bot: BotProcess, house: House, tmp_path: Path) -> None:
    long = converted(new_song(190), "long.ogg", "-c:a", "libopus", "-b:a", "16k", directory=tmp_path)
    assert (await ask(discord, house, file=long)).content == sentence(ErrorCode.TOO_LONG, limit_minutes="3")


async def test_a_video_without_sound_has_no_audio_track(
    discord: Discord, bot: BotProcess, house: House, tmp_path: Path
) -> None:
    video = converted(
        new_song(5),
        "mute.mp4",
        *("-f", "lavfi", "-i", "color=c=red:s=64x64:d=5", "-map", "1:v", "-shortest"),
        directory=tmp_path,
    )
    assert (await ask(discord, house, file=video)).content == sentence(ErrorCode.NO_AUDIO_TRACK)


async def test_a_damaged_file_is_told_as_one(discord: Discord, bot: BotProcess, house: House, tmp_path: Path) -> None:
    whole = converted(new_song(30), "song.flac", directory=tmp_path)
    start = len(whole.data) // 60
    damaged = File("damaged.flac", whole.data[:start] + bytes(len(whole.data) - start))
    assert (await ask(discord, house, file=damaged)).content == sentence(ErrorCode.DAMAGED)


async def test_speech_is_not_music(discord: Discord, bot: BotProcess, house: House, speech: tuple[Path, ...]) -> None:
    from core.inference.model_card import music_file

    if music_file() is None:
        pytest.skip("needs the model that tells music")
    replies = [await ask(discord, house, file=File.at(path)) for path in speech[:3]]
    assert sentence(ErrorCode.NOT_MUSIC) in [reply.content for reply in replies]


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("http://127.0.0.1:1/song.mp3", ErrorCode.BLOCKED_ADDRESS),
        ("http://169.254.169.254/latest/meta-data", ErrorCode.BLOCKED_ADDRESS),
        ("ftp://example.com/song.mp3", ErrorCode.UNSUPPORTED_LINK),
        ("127.0.0.1:1/song.mp3", ErrorCode.BLOCKED_ADDRESS),
    ],
)
async def test_a_link_that_may_not_be_followed_is_answered_with_its_sentence(
    discord: Discord, bot: BotProcess, house: House, link: str, code: ErrorCode
) -> None:
    assert said(await ask(discord, house, link=link)) == sentence(code)


async def test_links_that_are_switched_off_are_told_so(discord: Discord, bot: BotProcess, house: House) -> None:
    used = discord.slash("genregenie links", user=house.owner, channel=house.channel, state="off")
    assert (await answer(used)).content == translate("bot.admin.links-off", "en")
    reply = await ask(discord, house, link="https://example.com/song.mp3")
    assert (reply.content, reply.only_for) == (translate("bot.links-off", "en"), house.ana)


async def test_a_cooldown_names_when_to_try_again(discord: Discord, bot: BotProcess, house: House) -> None:
    await answer(discord.slash("genregenie limits", user=house.owner, channel=house.channel, cooldown=600))
    song = new_song(6)
    assert (await ask(discord, house, file=song)).embeds
    refused = await ask(discord, house, file=song)
    assert refused.content in {sentence(ErrorCode.COOLDOWN, retry_after=n) for n in range(500, 601)}
    other = discord.slash("genre", user=house.ben, channel=house.channel, file=song)
    assert (await answer(other)).embeds


async def test_a_full_queue_says_busy_and_when_to_try_again(discord: Discord, bot: BotProcess, house: House) -> None:
    await answer(discord.slash("genregenie limits", user=house.owner, channel=house.channel, places=1))
    slow = new_song(6, bytes_per_s=60_000)
    first = discord.slash("genre", user=house.ana, channel=house.channel, file=slow)
    await first.acknowledged()
    refused = await answer(discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6)))
    assert refused.content in {sentence(ErrorCode.BUSY, retry_after=n) for n in range(1, 901)}
    assert (await answer(first)).embeds


async def test_a_servers_own_longest_song_is_kept(discord: Discord, bot: BotProcess, house: House) -> None:
    await answer(discord.slash("genregenie limits", user=house.owner, channel=house.channel, longest=0.5))
    assert (await ask(discord, house, file=new_song(40))).content == sentence(ErrorCode.TOO_LONG, limit_minutes="0.5")
    assert (await ask(discord, house, file=new_song(20))).embeds
