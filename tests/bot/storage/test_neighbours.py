"""Songs that sound alike, on real SQLite files."""

from dataclasses import replace

import numpy as np
import pytest

from bot.storage.retention import Scope
from bot.storage.stores import Stores
from core.service.identify import CachedResult
from tests.bot.storage.rows import ANN, BEA, ELSEWHERE, HOME, key, result, row, spectrogram


def direction(cosine: float) -> tuple[float, ...]:
    """An embedding of length 1 that is so near to that of `direction(1)`."""
    return (cosine, float(np.sqrt(1 - cosine**2)), *[0.0] * 126)


async def kept(stores: Stores, letter: str, cosine: float | None, **values: object) -> int:
    """Store a song with its request; gives the request's id."""
    song = result(mel=spectrogram())
    if cosine is not None:
        song = replace(song, prediction=replace(song.prediction, embedding=direction(cosine)))
    await stores.results.put(key(letter * 64), song)
    known = {"channel_id": 5, "message_id": ord(letter)}
    return await stores.requests.add(row(**(known | {"sha256": letter * 64, "name": letter} | values)))


async def names(stores: Stores, request_id: int) -> list[str] | None:
    request = await stores.requests.get(request_id)
    assert request is not None
    found = await stores.neighbours.nearest(request)
    return None if found is None else [song.name for song in found]


async def test_an_embedding_comes_back_and_is_no_part_of_the_predictions_text(stores: Stores) -> None:
    await kept(stores, "a", 0.6)
    again = await stores.results.get(key())
    assert isinstance(again, CachedResult)
    assert again.prediction.embedding == pytest.approx(direction(0.6), abs=1e-3)
    assert await stores.results.find("a" * 64, "plain 1", "main") == again.prediction


async def test_the_nearest_songs_of_the_same_server_come_first_each_once(stores: Stores) -> None:
    asked = await kept(stores, "a", 1.0)
    assert await names(stores, asked) == []
    assert not await stores.neighbours.exist(HOME, "a" * 64)
    await kept(stores, "b", 0.7)
    await kept(stores, "c", 0.95)
    await kept(stores, "c", 0.95, name="c again", user_id=BEA)
    await kept(stores, "d", 0.2)
    assert await names(stores, asked) == ["c again", "b"]
    assert await stores.neighbours.exist(HOME, "a" * 64)
    request = await stores.requests.get(asked)
    assert request is not None
    [nearest, _] = await stores.neighbours.nearest(request) or []
    assert (nearest.genre, nearest.channel_id, nearest.message_id) == ("rock", 5, ord("c"))
    assert nearest.similarity == pytest.approx(0.95, abs=1e-3)


@pytest.mark.parametrize(
    "other",
    [{"guild_id": ELSEWHERE}, {"private": True}, {"guild_id": None}, {"message_id": None, "channel_id": None}],
    ids=["another server", "private", "a direct message", "a deleted message"],
)
async def test_what_not_everyone_here_was_shown_is_not_found(stores: Stores, other: dict[str, object]) -> None:
    asked = await kept(stores, "a", 1.0)
    await kept(stores, "b", 0.99, **other)
    assert await names(stores, asked) == []
    assert not await stores.neighbours.exist(HOME, "a" * 64)


async def test_songs_without_an_embedding_are_passed_over(stores: Stores) -> None:
    old = await kept(stores, "a", None)
    new = await kept(stores, "b", 1.0)
    assert await names(stores, old) is None
    assert await names(stores, new) == []
    assert not await stores.neighbours.exist(HOME, "a" * 64)


async def test_deleted_messages_and_forgotten_members_take_their_songs_with_them(stores: Stores) -> None:
    asked = await kept(stores, "a", 1.0)
    await kept(stores, "b", 0.9)
    await kept(stores, "c", 0.8, user_id=BEA)
    await stores.neighbours.forget_messages([ord("b"), 999])
    assert await names(stores, asked) == ["c"]
    await stores.retention.forget(Scope(user_id=BEA))
    assert await names(stores, asked) == []
    assert await stores.results.get(key("c" * 64)) is None
    await stores.retention.forget(Scope(HOME, ANN))
    assert await stores.requests.get(asked) is None
