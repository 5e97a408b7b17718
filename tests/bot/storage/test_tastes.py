"""Counts of genres, on real SQLite files."""

from bot.storage.retention import DAY_S, Holdings, Scope
from bot.storage.stores import Stores
from tests.bot.storage.rows import ANN, BEA, ELSEWHERE, HOME, Clock, row


async def test_a_servers_counts_are_those_of_what_everyone_could_see(stores: Stores, clock: Clock) -> None:
    await stores.requests.add(row(asked_at=clock.now))
    await stores.requests.add(row(user_id=BEA, genre="jazz", asked_at=clock.now))
    for hidden in ({"private": True}, {"guild_id": ELSEWHERE}, {"guild_id": None}, {"kind": "part"}, {"kind": "guess"}):
        await stores.requests.add(row(asked_at=clock.now, **hidden))
    await stores.requests.add(row(outcome="not-audio", genre=None, asked_at=clock.now))
    assert await stores.tastes.of_guild(HOME, clock.now - 1) == {"rock": 1, "jazz": 1}
    assert await stores.tastes.of_guild(HOME, None) == {"rock": 1, "jazz": 1}
    clock.now += 31 * DAY_S
    await stores.retention.apply()
    assert await stores.tastes.of_guild(HOME, clock.now - 30 * DAY_S) == {}
    assert await stores.tastes.of_guild(HOME, None) == {"rock": 1, "jazz": 1}, "counts outlive the requests"
    await stores.retention.forget(Scope(HOME))
    assert await stores.tastes.of_guild(HOME, None) == {}


async def test_a_member_is_counted_only_while_they_want_it(stores: Stores) -> None:
    await stores.requests.add(row())
    assert await stores.tastes.of_member(ANN, None) is None
    await stores.tastes.opt_in(ANN)
    await stores.tastes.opt_in(ANN)
    await stores.requests.add(row(guild_id=None, genre="jazz"))
    await stores.requests.add(row(user_id=BEA, genre="pop"))
    assert await stores.tastes.of_member(ANN, None) == {"rock": 1, "jazz": 1}
    assert await stores.tastes.of_member(ANN, 2_000_000_000) == {}
    await stores.tastes.opt_out(ANN)
    assert await stores.tastes.of_member(ANN, None) is None


async def test_forgetting_a_member_takes_their_counts(stores: Stores) -> None:
    await stores.tastes.opt_in(ANN)
    assert await stores.retention.held(Scope(user_id=ANN)) == Holdings(0, 0, 0, taste=True)
    await stores.retention.forget(Scope(user_id=ANN))
    assert await stores.tastes.of_member(ANN, None) is None
    assert not await stores.retention.held(Scope(user_id=ANN))
