"""Start, end, and what goes wrong in between."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from bot.storage.engine import DATABASE_FILE
from core.constants import GENRES
from core.errors import ErrorCode
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, error_id, genre_of, is_final, said, sentence
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord
from tests.discord_server.gateway import AUTHENTICATION_FAILED
from tests.support.processes import eventually, is_alive


async def exit_code_and_last_line(process: BotProcess) -> tuple[int, str]:
    """Return the exit code and the last line of the log, which must be the only one that is no INFO."""
    await process.launch()
    try:
        code = await process.wait(within=60)
    except TimeoutError:
        process.process.kill()
        raise
    process.check_log()
    *logged, last = process.log.strip().splitlines()
    assert all(" INFO " in line for line in logged), process.log
    return code, last.removeprefix("genregenie: ")


async def test_no_token_is_one_clear_line(discord: Discord, tmp_path: Path) -> None:
    ended = await exit_code_and_last_line(BotProcess(discord, tmp_path, DISCORD_TOKEN=""))
    assert ended == (2, translate("bot.start.no-token", "en"))


async def test_a_wrong_token_is_one_clear_line(discord: Discord, tmp_path: Path) -> None:
    process = BotProcess(discord, tmp_path, DISCORD_TOKEN="wrong.token.indeed")
    assert await exit_code_and_last_line(process) == (2, translate("bot.start.bad-token", "en"))
    assert "wrong.token.indeed" not in process.log


async def test_a_database_that_cannot_be_used_is_one_clear_line(discord: Discord, tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"this is no database, it is a text file " * 100)
    line = translate("bot.start.database-write", "en", reason="file is not a database")
    assert await exit_code_and_last_line(BotProcess(discord, tmp_path)) == (2, line)


async def test_a_second_bot_on_the_same_folder_is_one_clear_line(bot: BotProcess, discord: Discord) -> None:
    line = translate("bot.start.in-use", "en", path=bot.data)
    assert await exit_code_and_last_line(BotProcess(discord, bot.data)) == (2, line)


async def test_a_setting_that_does_not_fit_is_one_clear_line(discord: Discord, tmp_path: Path) -> None:
    code, line = await exit_code_and_last_line(BotProcess(discord, tmp_path, GENREGENIE_WORKERS="many"))
    assert code == 2
    assert line.startswith("GENREGENIE_WORKERS: ")


async def test_a_token_that_is_refused_later_ends_it_with_a_clear_line(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        discord.world.token, old = "a-new-one", discord.world.token
        discord.gateway.invalidate_sessions()
        assert await process.wait(within=60) == 2
        assert translate("bot.start.bad-token", "en") in process.log
        assert old not in process.log
        assert {complaint.code for complaint in discord.complaints} <= {AUTHENTICATION_FAILED}


async def test_discord_that_cannot_be_reached_is_tried_again(tmp_path: Path) -> None:
    async with Discord() as discord:
        house = furnished(discord)
        discord.fail("get_current_user", 503, times=2)
        async with BotProcess(discord, tmp_path):
            asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
            assert genre_of(await answer(asked)) in GENRES


async def test_a_bot_that_is_stopped_while_it_cannot_connect_has_nothing_else_to_say(
    discord: Discord, tmp_path: Path
) -> None:
    closed = {"DISCORD_API_URL": "http://127.0.0.1:9/api/v10", "DISCORD_GATEWAY_URL": "ws://127.0.0.1:9/"}
    process = BotProcess(discord, tmp_path, **closed)
    await process.launch()
    await process.until(lambda: process.log.count("Discord cannot be reached") > 1, "the second try")
    assert await process.stop() == 0
    process.check_log()
    after = process.log.partition("trying again in 2 s")[2].strip().splitlines()
    assert [line.partition(" INFO ")[2] for line in after] == ["bot.app: Stopping"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_signal_ends_it_with_each_running_request_answered_or_told(tmp_path: Path, number: int) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        quick = new_song(5, bytes_per_s=60_000)
        slow = [new_song(20, bytes_per_s=10_000) for _ in range(2)]
        queued = [new_song(6) for _ in range(3)]
        asked = [
            discord.slash("genre", user=house.ana, channel=house.channel, file=file) for file in (quick, *slow, *queued)
        ]
        for interaction in asked:
            await interaction.acknowledged()
        fetching = translate("bot.progress.fetching", "en").partition("{")[0]
        await asked[0].reply(lambda message: fetching in message.text)
        began = time.monotonic()
        workers = process.children()
        process.process.send_signal(number)
        assert await process.wait() == 0, process.log
        assert time.monotonic() - began < 20
        process.check_log()
        replies = [interaction.messages[0] for interaction in asked]
        assert all(is_final(reply) for reply in replies), [reply.text for reply in replies]
        assert genre_of(replies[0]) in GENRES
        restarting = translate("bot.restarting", "en")
        assert [reply.content for reply in replies[1:]] == [restarting] * 5
        assert not any(map(is_alive, workers))
        assert {file.name for file in (tmp_path / "tmp").rglob("*")} <= {"lock"}
        assert discord.complaints == []


async def test_a_discord_that_hangs_does_not_hold_the_end_up(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        file = new_song(20, bytes_per_s=10_000)
        discord.slash("genre", user=house.ana, channel=house.channel, file=file)
        await discord.until(lambda: discord.downloads(file), what="the download")
        discord.delay("edit_original_response", 60, times=10)
        discord.gateway.mute()
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, process.log
        assert time.monotonic() - began < 20
        process.check_log()


async def test_what_is_asked_while_it_ends_is_told_to_ask_again(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        file = new_song(9, bytes_per_s=100_000)
        discord.slash("genre", user=house.ana, channel=house.channel, file=file)
        await discord.until(lambda: discord.downloads(file), what="the download")
        process.process.send_signal(signal.SIGTERM)
        await process.until(lambda: "Stopping" in process.log, "the end begins")
        late = discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6))
        assert (await answer(late)).content == translate("bot.restarting", "en")
        assert await process.wait() == 0


async def test_a_killed_worker_is_replaced_and_its_request_answered(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    for _ in range(2):
        slow = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(170), whole=True)
        await slow.acknowledged()
        await bot.until(lambda: running_workers(bot), "a worker at work")
        for worker in bot.workers():
            worker.kill()
        reply = await slow.reply(is_final)
        assert reply.embeds or said(reply) == sentence(ErrorCode.INTERNAL)
    follows = discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(follows)) in GENRES


async def test_a_request_whose_worker_dies_every_time_is_told_so(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(170), whole=True)
    await asked.acknowledged()
    while not any(map(is_final, asked.messages)):
        await bot.until(lambda: running_workers(bot) or any(map(is_final, asked.messages)), "a worker at work")
        for worker in bot.workers():
            worker.kill()
    assert said(asked.messages[0]) == sentence(ErrorCode.INTERNAL)
    assert f"a worker was lost: gone id={error_id(asked.messages[0])}" in bot.log
    follows = discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(follows)) in GENRES


def running_workers(bot: BotProcess) -> list[psutil.Process]:
    """Return the processes beneath the bot that use the processor now."""
    return [worker for worker in bot.workers() if is_at_work(worker)]


def is_at_work(worker: psutil.Process) -> bool:
    try:
        return worker.cpu_percent(interval=0.02) > 10
    except psutil.NoSuchProcess:
        return False


async def test_a_request_over_its_deadline_is_told_so(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, GENREGENIE_JOB_TIMEOUT_S="2"):
        house = furnished(discord)
        slow = new_song(20, bytes_per_s=20_000)
        asked = discord.slash("genre", user=house.ana, channel=house.channel, file=slow)
        assert said(await answer(asked)) == sentence(ErrorCode.TIMEOUT)


async def test_two_processes_share_the_shards(tmp_path: Path) -> None:
    async with Discord() as discord:
        discord.gateway.shards = 2
        houses = [furnished(discord, identity=(10**9 + number) << 22) for number in range(2)]
        first = BotProcess(discord, tmp_path, DISCORD_SHARD_COUNT="2", DISCORD_SHARDS="0")
        second = BotProcess(discord, tmp_path, DISCORD_SHARD_COUNT="2", DISCORD_SHARDS="1")
        async with first, second:
            for house in houses:
                asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
                assert genre_of(await answer(asked)) in GENRES
            # The owner's direct messages reach the first, which says so, and leaves the second's server all the same.
            direct = discord.direct_messages(discord.world.owner)
            for said_by_owner in ("owner status", f"owner leave {houses[1].guild.id}"):
                before = len(discord.messages_of_bot(direct))
                discord.post_message(direct, discord.world.owner, said_by_owner)
                await discord.until(lambda n=before: len(discord.messages_of_bot(direct)) > n, what="an answer")  # type: ignore[misc]
            *_, status, question = discord.messages_of_bot(direct)
            assert "Servers: 1\n" in status.content
            assert status.content.endswith(translate("bot.owner.this-process", "en", shards="0", count=2))
            discord.click(question, translate("bot.owner.button.leave", "en"), user=discord.world.owner)
            await discord.until(lambda: houses[1].guild.id not in discord.world.guilds, what="it leaves")
        assert sorted(identify["shard"] for identify in discord.gateway.identified) == [[0, 2], [1, 2]]
        assert discord.complaints == []


async def test_the_test_server_gets_the_commands_for_itself(tmp_path: Path) -> None:
    async with Discord() as discord:
        house = furnished(discord)
        async with BotProcess(discord, tmp_path, DISCORD_TEST_GUILD=str(house.guild.id)):
            assert discord.commands.puts == [house.guild.id]
            asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
            assert genre_of(await answer(asked)) in GENRES


async def test_the_log_has_a_line_a_request_and_no_contents(tmp_path: Path) -> None:
    async with Discord() as discord:
        process = BotProcess(discord, tmp_path, GENREGENIE_LOG_JSON="true", GENREGENIE_LOG_LEVEL="DEBUG")
        async with process:
            house = furnished(discord)
            file = new_song(6, name="my secret demo.wav")
            asked = discord.slash("genre", user=house.ana, channel=house.channel, file=file)
            await answer(asked)
            await process.until(lambda: '"outcome": "verdict"' in process.log, "the line")
            [line] = [line for line in process.log.splitlines() if '"outcome"' in line]
            assert f'"guild": {house.guild.id}' in line
            assert "secret" not in line
            assert asked.token not in process.log


async def test_a_database_that_is_locked_costs_the_buttons_and_not_the_answer(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    with closing(sqlite3.connect(bot.data / DATABASE_FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
        reply = await answer(asked)
        assert genre_of(reply) in GENRES
        assert reply.buttons == []
        used = discord.slash("genregenie limits", user=house.owner, channel=house.channel, cooldown=5)
        assert (await answer(used)).content == translate("bot.admin.not-saved", "en")
        connection.execute("ROLLBACK")
    follows = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert (await answer(follows)).buttons != []


async def test_the_database_is_sound_after_a_kill(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        asked = [discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6)) for _ in range(4)]
        first = await answer(asked[0])
        workers = process.children()
        process.process.kill()
        await process.wait()
        await eventually(lambda: not any(map(is_alive, workers)), what="the end of its workers")
        with sqlite3.connect(tmp_path / DATABASE_FILE) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        await process.start()
        menu = await discord.click(first, translate("bot.button.wrong", "en"), user=house.ana).reply()
        assert menu.controls
