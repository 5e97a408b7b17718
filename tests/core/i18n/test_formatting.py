import subprocess
import sys

import pytest

from core.i18n.formatting import clock, number, percent
from core.i18n.languages import locales


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00"), (62, "1:02"), (59.6, "1:00"), (3_599, "59:59"), (3_723.4, "1:02:03")]
)
def test_a_time_is_written_as_on_a_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


def test_a_share_is_written_as_the_language_does() -> None:
    assert percent(0.614, "en") == "61%"
    assert percent(0.614, "es") == percent(0.614, "es-ES") == "61\u00a0%"
    assert percent(1.0, "en") == "100%"
    assert percent(0.614, "pt-BR") == "61%"
    assert percent(0.614, "xx") == "61%", "no sentences in it: English all through"


@pytest.mark.parametrize("locale", ["de", "fr"])
def test_the_space_before_a_percent_sign_does_not_break(locale: str) -> None:
    assert percent(0.614, locale) in {"61\u00a0%", "61\u202f%"}


def test_a_number_is_written_as_the_language_does() -> None:
    assert [number(n, "en") for n in (3, 3.0, 1.5, 5 / 3, 12_345)] == ["3", "3", "1.5", "1.67", "12345"]
    for locale in ("de", "es", "fr", "pt"):
        assert [number(n, locale) for n in (3, 3.0, 1.5, 5 / 3, 12_345.5)] == ["3", "3", "1,5", "1,67", "12345,5"]


@pytest.mark.parametrize("locale", locales())
def test_every_language_can_write_numbers(locale: str) -> None:
    assert "61" in percent(0.614, locale)
    assert number(1.5, locale)[0] == "1"


def test_english_does_not_wait_for_babel() -> None:
    code = (
        "import sys; from core.i18n.catalog import translate; from core.i18n.formatting import percent;"
        "percent(0.5); translate('error.too-long.detail', n=1.5); translate('error.busy', 'es');"
        "print([name for name in sys.modules if name.partition('.')[0] == 'babel'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
