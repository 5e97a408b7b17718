"""In which language a member is answered where Discord does not say it."""

from pathlib import Path

from bot.jobs.member_locales import MOST_KEPT, MemberLocales
from bot.storage.retention import Scope
from bot.storage.stores import Stores
from tests.bot.storage.rows import ANN, BEA, row, settings

CY = 30


async def test_a_language_outlives_a_restart_with_the_requests_and_goes_with_them(tmp_path: Path) -> None:
    stores = Stores(settings(tmp_path))
    await stores.open()
    for locale in ("fr", "pt", None):
        await stores.requests.add(row(locale=locale))
    assert await MemberLocales(stores.requests).of(ANN) == "pt", "the last that is known"
    assert await MemberLocales(stores.requests).of(BEA) == "en"
    await stores.retention.forget(Scope(user_id=ANN))
    assert await MemberLocales(stores.requests).of(ANN) == "en"
    await stores.close()
    assert await MemberLocales(stores.requests).of(ANN) == "en", "nor is anything wrong where the database fails"


async def test_the_last_language_counts_and_only_so_many_are_kept(tmp_path: Path) -> None:
    locales = MemberLocales(Stores(settings(tmp_path)).requests)
    locales.note(ANN, "fr")
    locales.note(ANN, "es-ES")
    assert (locales.recent(ANN), locales.recent(BEA)) == ("es", None)
    for user_id in range(1_000, 1_000 + MOST_KEPT - 1):
        locales.note(user_id, "de")
    locales.note(ANN, "es-ES")
    locales.note(CY, "de")
    assert (locales.recent(ANN), locales.recent(1_000), locales.recent(CY)) == ("es", None, "de")
    locales.forget(ANN)
    assert locales.recent(ANN) is None
