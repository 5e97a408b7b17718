"""A bot behind a REST proxy, which is how several processes share Discord's fifty requests a second."""

from pathlib import Path

import pytest

from core.constants import GENRES
from tests.bot.end_to_end.answers import answer, genre_of
from tests.bot.end_to_end.conftest import furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord
from tests.support.rest_proxy import RestProxy

pytestmark = pytest.mark.slow


async def test_all_requests_go_over_the_proxy_and_its_own_answers_cost_no_answer(tmp_path: Path) -> None:
    async with Discord() as discord, RestProxy(f"http://{discord.host}").running() as proxy:
        house = furnished(discord)
        async with BotProcess(discord, tmp_path, DISCORD_API_URL=f"{proxy.url}/api/v10/"):
            reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6)))
            assert genre_of(reply) in GENRES
            # Pictures are only given up where Discord itself refuses them.
            proxy.own_answers = [408, 429, 408]
            reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(35)))
            assert genre_of(reply) in GENRES
            assert reply.embeds
            assert not proxy.own_answers
            assert proxy.forwarded.total() == len(discord.journal.exchanges) > 5
        assert discord.complaints == []
