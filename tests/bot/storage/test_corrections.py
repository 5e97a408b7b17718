"""Members' corrections, on real SQLite files."""

from bot.storage.stores import Stores
from tests.bot.storage.rows import ANN, BEA, row


async def test_the_latest_correction_of_each_member_counts(stores: Stores) -> None:
    request = await stores.requests.get(await stores.requests.add(row()))
    assert request is not None
    await stores.corrections.add(request, ANN, "jazz")
    await stores.corrections.add(request, ANN, "blues")
    await stores.corrections.add(request, BEA, "metal")
    corrections = [(c.user_id, c.predicted, c.corrected) for c in await stores.corrections.all()]
    assert corrections == [(ANN, "rock", "blues"), (BEA, "rock", "metal")]
