"""Games and scores, on real SQLite files."""

from dataclasses import replace

import pytest

from bot.storage.games import GIVEN_UP_S, MOST_GAMES, PREPARE_S, Answer, Game
from bot.storage.retention import DAY_S, Holdings, Scope
from bot.storage.stores import Stores
from tests.bot.storage.rows import ANN, BEA, ELSEWHERE, HOME, ON_BOTH, Clock, row

GAME = Game("", HOME, ANN, 5, 6, "a token", "en", host_knows=True)
ROCK = Answer("rock", "Rock", "rock 7, metal 3", "song.mp3", None)
TIED = Answer("rock,metal", "A tie between rock and metal", "rock 5, metal 5", "song.mp3", None)


async def played(stores: Stores, guesses: dict[int, str], answer: Answer = ROCK) -> dict[int, int]:
    """Play a game; gives the streaks of those who were right."""
    game_id = await stores.games.prepare(GAME) or 0
    assert await stores.games.open(game_id, answer, 30)
    for user_id, genre in guesses.items():
        assert await stores.games.guess(game_id, user_id, genre)
    result = await stores.games.end(game_id)
    assert result is not None
    await stores.games.delete(game_id)
    return dict(result.streaks)


async def test_scores_count_games_right_guesses_and_streaks(stores: Stores) -> None:
    assert await played(stores, {ANN: "rock", BEA: "jazz"}) == {ANN: 1}
    assert await played(stores, {ANN: "metal", BEA: "rock"}, TIED) == {ANN: 2, BEA: 1}
    assert await played(stores, {ANN: "jazz"}) == {}
    best = [(s.user_id, s.played, s.correct, s.streak, s.best_streak) for s in await stores.games.best(HOME, 10)]
    assert best == [(ANN, 3, 2, 0, 2), (BEA, 2, 1, 1, 1)]
    assert await stores.games.best(ELSEWHERE, 10) == []


async def test_the_last_guess_of_a_member_counts_until_the_time_is_up(stores: Stores, clock: Clock) -> None:
    game_id = await stores.games.prepare(GAME) or 0
    assert not await stores.games.guess(game_id, BEA, "rock"), "the song is not there yet"
    await stores.games.open(game_id, ROCK, 30)
    assert await stores.games.guess(game_id, BEA, "jazz")
    assert await stores.games.guess(game_id, BEA, "rock")
    clock.now += 31
    assert not await stores.games.guess(game_id, BEA, "metal")
    first = await stores.games.end(game_id)
    assert first is not None
    assert first.guesses == {BEA: "rock"}
    assert await stores.games.end(game_id) == replace(first, game=replace(first.game, state="ended")), "shown again"
    assert [score.played for score in await stores.games.best(HOME, 10)] == [1], "but counted once"
    await stores.games.delete(game_id)
    assert await stores.games.end(game_id) is None


async def test_a_channel_has_one_game_and_a_server_few(stores: Stores) -> None:
    assert await stores.games.prepare(GAME)
    assert await stores.games.prepare(GAME) is None
    for number in range(1, MOST_GAMES):
        assert await stores.games.prepare(replace(GAME, channel_id=100 + number))
    assert await stores.games.prepare(replace(GAME, channel_id=200)) is None
    assert await stores.games.prepare(replace(GAME, channel_id=200, guild_id=ELSEWHERE))


@pytest.mark.parametrize("begun", [True, False])
@ON_BOTH
async def test_a_game_that_nobody_ended_is_in_nobodys_way_for_long(stores: Stores, clock: Clock, begun: bool) -> None:
    left = await stores.games.prepare(replace(GAME, owner="shards that there are no more")) or 0
    if begun:
        await stores.games.open(left, ROCK, 30)
        await stores.games.guess(left, BEA, "rock")
    clock.now += PREPARE_S
    assert await stores.games.prepare(GAME) is None, "it may yet be ended"
    await stores.games.prepare(replace(GAME, guild_id=ELSEWHERE, channel_id=50))
    clock.now += GIVEN_UP_S + 1
    again = await stores.games.prepare(GAME)
    assert again
    assert await stores.games.get(left) is None
    clock.now += DAY_S
    await stores.retention.apply()
    assert await stores.games.get(again), "the process that had it may come back"
    clock.now += PREPARE_S + 1
    await stores.retention.apply()
    assert await stores.games.get(again) is None


async def test_games_are_found_after_a_crash_by_the_process_that_had_them(stores: Stores) -> None:
    game_id = await stores.games.prepare(GAME) or 0
    await stores.games.prepare(replace(GAME, channel_id=9, owner="4-7"))
    opened = await stores.games.open(game_id, ROCK, 30)
    await stores.games.load()
    assert list(stores.games.take_leftovers()) == [opened]
    assert stores.games.take_leftovers() == []


async def test_forgetting_takes_guesses_and_scores(stores: Stores, clock: Clock) -> None:
    await played(stores, {ANN: "rock", BEA: "rock"})
    game_id = await stores.games.prepare(replace(GAME, user_id=BEA)) or 0
    await stores.games.open(game_id, ROCK, 30)
    await stores.games.guess(game_id, ANN, "rock")
    assert await stores.retention.held(Scope(user_id=ANN)) == Holdings(0, 0, 0, 1, games=1)
    await stores.retention.forget(Scope(user_id=ANN))
    assert [score.user_id for score in await stores.games.best(HOME, 10)] == [BEA]
    result = await stores.games.end(game_id)
    assert result is not None
    assert result.guesses == {}
    clock.now += 366 * DAY_S
    await stores.retention.apply()
    assert await stores.games.best(HOME, 10) == []


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, True),
        ({"private": True}, False),
        ({"guild_id": ELSEWHERE}, False),
        ({"message_id": None}, False),
        ({"kind": "slash"}, False),
    ],
    ids=["posted", "private", "elsewhere", "deleted", "asked by a command"],
)
async def test_songs_to_play_with_are_those_posted_here(stores: Stores, values: dict[str, object], found: bool) -> None:
    await stores.requests.add(row(**({"kind": "dropped", "channel_id": 5, "message_id": 6} | values)))
    assert bool(await stores.games.posted_songs(HOME, ["dropped"], 5)) == found
