"""Members' corrections, on a real SQLite file and a real PostgreSQL."""

import io

import pytest

from bot.cli import write_corrections
from bot.storage.retention import DAY_S
from bot.storage.stores import Stores
from tests.bot.storage.rows import ANN, BEA, ELSEWHERE, HOME, ON_BOTH, Clock, row


@ON_BOTH
async def test_the_latest_correction_of_each_member_counts(stores: Stores) -> None:
    request = await stores.requests.get(await stores.requests.add(row()))
    assert request is not None
    await stores.corrections.add(request, ANN, "jazz")
    await stores.corrections.add(request, ANN, "blues")
    await stores.corrections.add(request, BEA, "metal")
    corrections = [(c.user_id, c.predicted, c.corrected) for c in await stores.corrections.all()]
    assert corrections == [(ANN, "rock", "blues"), (BEA, "rock", "metal")]


async def corrected(stores: Stores, *said: str) -> None:
    for member, genre in enumerate(said, 100):
        await stores.corrections.add(row(), member, genre)


@pytest.mark.parametrize(
    ("said", "agreed"),
    [
        (("jazz", "jazz", "jazz"), "jazz"),
        (("jazz", "jazz", "jazz", "pop"), "jazz"),
        (("jazz", "jazz"), None),
        (("jazz",) * 3 + ("pop",) * 3, None),
        (("rock",) * 3, None),
        (("none",) * 3, None),
    ],
    ids=["three", "most", "two", "a tie", "as the model says", "none of the ten"],
)
async def test_three_members_of_a_server_who_agree_are_heard(
    stores: Stores, said: tuple[str, ...], agreed: str | None
) -> None:
    await corrected(stores, *said)
    assert await stores.corrections.agreed(HOME, "a" * 64, "rock") == agreed
    assert await stores.corrections.agreed(ELSEWHERE, "a" * 64, "rock") is None


async def test_one_member_who_says_it_three_times_is_one(stores: Stores) -> None:
    for _ in range(3):
        await stores.corrections.add(row(), ANN, "jazz")
    assert await stores.corrections.agreed(HOME, "a" * 64, "rock") is None


async def test_consent_is_each_members_own_and_for_what_they_said_last(stores: Stores, clock: Clock) -> None:
    await stores.corrections.add(row(), ANN, "jazz")
    await stores.corrections.add(row(), BEA, "pop")
    assert not await stores.corrections.consent("b" * 64, ANN)
    assert await stores.corrections.consent("a" * 64, ANN)
    assert {c.user_id: c.consented_at for c in await stores.corrections.all()} == {ANN: clock.now, BEA: None}
    await stores.corrections.add(row(), ANN, "blues")
    assert {c.consented_at for c in await stores.corrections.all()} == {None}


async def test_the_export_has_the_day_of_consent_and_no_member(stores: Stores, clock: Clock) -> None:
    await stores.corrections.add(row(), ANN, "jazz")
    await stores.corrections.consent("a" * 64, ANN)
    clock.now += DAY_S
    await stores.corrections.add(row(), BEA, "pop")
    table = io.StringIO()
    write_corrections(await stores.corrections.all(), table)
    song = "a" * 64
    assert table.getvalue().splitlines() == [
        "sha256,heard_as,said,model,day,consent",
        f"{song},rock,jazz,plain 1,2023-11-14,2023-11-14",
        f"{song},rock,pop,plain 1,2023-11-15,",
    ]
