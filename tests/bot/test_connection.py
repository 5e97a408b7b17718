"""What becomes of a connection that ends: tried again, tried with less, or given up with a clear line."""

import asyncio
from typing import Any
from unittest.mock import create_autospec

import aiohttp
import discord
import pytest

from bot import connection
from bot.client import GenreGenie
from bot.connection import stay_connected
from core.errors import ConfigurationError
from core.i18n.catalog import translate


class Clients:
    """Makes clients that end as the test says, the last of them never."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = iter(errors)
        self.made: list[Any] = []
        self.message_content: list[bool] = []
        self.stop = asyncio.Event()

    def __call__(self, message_content: bool) -> GenreGenie:
        client: Any = create_autospec(GenreGenie, instance=True)
        client.is_ready.return_value = False
        client.start.side_effect = self._start
        self.made.append(client)
        self.message_content.append(message_content)
        return client  # type: ignore[no-any-return]

    async def _start(self, token: str) -> None:
        error = next(self._errors, None)
        if error is None:
            self.stop.set()
            await asyncio.Event().wait()
        else:
            raise error


def closed(code: int) -> discord.ConnectionClosed:
    socket = create_autospec(aiohttp.ClientWebSocketResponse, instance=True)
    return discord.ConnectionClosed(socket, shard_id=0, code=code)


async def connect(clients: Clients) -> GenreGenie:
    return await asyncio.wait_for(stay_connected(clients, "a token", clients.stop), 20)


async def test_without_the_intent_it_connects_again_and_does_not_ask_for_it() -> None:
    clients = Clients(discord.PrivilegedIntentsRequired(0))
    assert await connect(clients) is clients.made[1]
    assert clients.message_content == [True, False]
    clients.made[0].close.assert_awaited_once()
    clients.made[1].close.assert_not_awaited()


@pytest.mark.parametrize("error", [OSError(), closed(4000)], ids=["network", "unknown error"])
async def test_what_may_pass_is_tried_again_with_a_new_client(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RECONNECT_S", (0.01,))
    clients = Clients(error, error, error)
    assert await connect(clients) is clients.made[3]
    assert clients.message_content == [True] * 4


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (discord.LoginFailure(), "bad-token"),
        (closed(4004), "bad-token"),
        (closed(4010), "bad-shards"),
        (closed(4011), "bad-shards"),
        (closed(4013), "bad-intents"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(getattr(value, "code", "login")),
)
async def test_what_discord_will_never_take_ends_it(error: Exception, key: str) -> None:
    clients = Clients(error)
    with pytest.raises(ConfigurationError) as refused:
        await connect(clients)
    assert str(refused.value) == translate(f"bot.start.{key}")
    assert len(clients.made) == 1
