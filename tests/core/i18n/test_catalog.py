import re
import string

import pytest

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import _sentences, best_locale, error_sentence, locales, translate

OTHERS = [locale for locale in locales() if locale != "en"]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_english_and_spanish_are_there() -> None:
    assert {"en", "es"} <= set(locales())


@pytest.mark.parametrize("locale", OTHERS)
def test_every_language_says_everything(locale: str) -> None:
    assert _sentences(locale).keys() == _sentences("en").keys()


@pytest.mark.parametrize("locale", OTHERS)
def test_every_language_mentions_the_same(locale: str) -> None:
    for key, sentence in _sentences("en").items():
        assert placeholders(_sentences(locale)[key]) == placeholders(sentence), key


@pytest.mark.parametrize("locale", locales())
def test_keys_are_sorted(locale: str) -> None:
    assert list(_sentences(locale)) == sorted(_sentences(locale))


@pytest.mark.parametrize("locale", locales())
def test_every_error_and_genre_has_a_sentence(locale: str) -> None:
    for code in ErrorCode:
        sentence = error_sentence(GenreGenieError(code), locale)
        assert re.search(r"[.!?]$", sentence), sentence
        assert "{" not in sentence
    for genre in GENRES:
        assert translate(f"genre.{genre}", locale)


def test_details_are_told_where_they_are_known() -> None:
    assert "25 MB" in str(GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=25))
    assert "MB" not in str(GenreGenieError(ErrorCode.TOO_LARGE))


def test_details_that_do_not_fit_are_passed_over() -> None:
    plain = str(GenreGenieError(ErrorCode.TOO_LARGE))
    assert str(GenreGenieError(ErrorCode.TOO_LARGE, other=1)) == plain
    assert str(GenreGenieError(ErrorCode.NOT_AUDIO, limit_mb=1)) == str(GenreGenieError(ErrorCode.NOT_AUDIO))


@pytest.mark.parametrize(
    ("wanted", "served"),
    [
        ("es-ES", "es"),
        ("es-419", "es"),
        ("es", "es"),
        ("en-GB", "en"),
        ("xx", "en"),
        ("../es", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_nearest_language_answers(wanted: str | None, served: str) -> None:
    assert best_locale(wanted) == served


def test_the_codes_that_others_rely_on_are_all_there() -> None:
    assert {
        *("not-found", "not-audio", "no-audio-track", "too-short", "too-long", "too-large", "silent", "not-music"),
        *("damaged", "unsupported-link", "blocked-address", "live-stream", "login-required", "unavailable"),
        *("timeout", "busy", "cooldown", "cancelled", "internal"),
    } <= {code.value for code in ErrorCode}
