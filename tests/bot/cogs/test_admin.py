"""What admins read: counts in the right number, in every language."""

import re

import pytest

from bot.cogs.admin import limits_text, stats_text
from bot.storage.requests import Stats
from core.errors import ErrorCode
from core.i18n.languages import locales


def test_one_is_one() -> None:
    stats = Stats({"verdict": 1}, {"rock": 1}, 1)
    assert (
        stats_text(stats, "en", 1).splitlines()[0] == "In the last day: 1 request, 1 answered, 0 failed, 1 correction."
    )
    spanish = "En el último día: 1 petición, 1 respondida, 0 fallidas, 1 corrección."
    assert stats_text(stats, "es", 1).splitlines()[0] == spanish


def test_more_are_many() -> None:
    stats = Stats({"verdict": 2, "silent": 3}, {"rock": 2}, 0)
    english = "In the last 30 days: 5 requests, 2 answered, 3 failed, 0 corrections."
    assert stats_text(stats, "en", 30).splitlines()[0] == english
    spanish = "En los últimos 30 días: 5 peticiones, 2 respondidas, 3 fallidas, 0 correcciones."
    assert stats_text(stats, "es", 30).splitlines()[0] == spanish


@pytest.mark.parametrize("locale", locales())
def test_every_reason_has_words(locale: str) -> None:
    outcomes = {code.value: n for n, code in enumerate(ErrorCode, 2)}
    [_, reasons] = stats_text(Stats({"verdict": 1, **outcomes}, {}, 0), locale, 30).splitlines()
    assert not re.search(rf"\b({'|'.join(code for code in outcomes if '-' in code)})\b", reasons)
    assert len(set(re.findall(r"(?:: |, )([^()]+) \(\d+\)", reasons))) == len(ErrorCode)


@pytest.mark.parametrize(
    ("limits", "locale", "parts"),
    [
        ((60, 1, 1), "en", ("up to 1 minute;", "1 second between", "1 place in")),
        ((90, 0, 5), "en", ("up to 1.5 minutes;", "0 seconds between", "5 places in")),
        ((60, 1, 1), "es", ("hasta 1 minuto;", "1 segundo entre", "1 puesto en")),
        ((90, 2.5, 5), "es", ("hasta 1,5 minutos;", "2,5 segundos entre", "5 puestos en")),
    ],
)
def test_limits_are_counted(limits: tuple[float, float, int], locale: str, parts: tuple[str, ...]) -> None:
    text = limits_text(*limits, locale)
    assert all(part in text for part in parts), text
