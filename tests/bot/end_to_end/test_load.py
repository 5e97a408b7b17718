"""Many requests at once."""

import asyncio
from pathlib import Path

import pytest

from core.constants import GENRES
from tests.bot.end_to_end.answers import genre_of, is_final
from tests.bot.end_to_end.conftest import furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, Interaction

EACH = 10
CEILING_S = 800
"""For a machine that has much else to do; alone it takes a minute."""


@pytest.mark.timeout(CEILING_S + 100)
@pytest.mark.parametrize("guilds", [4, pytest.param(20, marks=pytest.mark.slow)])
async def test_ten_requests_from_each_server_are_each_answered_once_acknowledged_in_time_and_fairly(
    tmp_path: Path, guilds: int
) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, GENREGENIE_WORKERS="2"):
        houses = [furnished(discord) for _ in range(guilds)]
        # One server asks for everything first; round robin must not make the others wait for it.
        asked = {
            house.guild.id: [
                discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(3.2)) for _ in range(EACH)
            ]
            for house in houses
        }
        every = [interaction for requests in asked.values() for interaction in requests]
        await asyncio.gather(*(interaction.reply(is_final, within=CEILING_S) for interaction in every))
        assert all(len(interaction.messages) == 1 for interaction in every)
        assert all(genre_of(interaction.messages[0]) in GENRES for interaction in every)
        assert max(await asyncio.gather(*(interaction.acknowledged() for interaction in every))) < 3
        assert sum(len(discord.messages_of_bot(house.channel)) for house in houses) == len(every)
        assert fair(list(asked.values()))
        assert discord.complaints[:3] == []


def fair(requests: list[list[Interaction]]) -> bool:
    """Whether every server had its first answer before any server had nearly all of its own."""
    answered = [sorted(i.messages[0].revisions[-1].at for i in of_one) for of_one in requests]
    slowest_first = max(times[0] for times in answered)
    quickest_last = min(times[-2] for times in answered)
    return slowest_first < quickest_last
