import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.constants import GENRES
from core.errors import ErrorCode, GenreGenieError, too_long
from core.i18n import catalog, languages
from core.i18n.catalog import error_sentence, translate
from core.i18n.compile import compiled
from core.i18n.languages import LOCALES_DIR, locales

HEADER = r"""
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Language: pl\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n"
"""


@pytest.fixture
def add_polish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A copy of the languages, to which Polish can be added with these messages in its `core.po`."""

    def forget() -> None:
        for cached in (languages.locales, catalog._catalogue, catalog._domain):
            cached.cache_clear()

    def add(messages: str) -> None:
        source = tmp_path / "locales" / "pl" / "LC_MESSAGES" / "core.po"
        source.parent.mkdir(parents=True)
        source.write_text(HEADER + messages, "utf-8")
        source.with_suffix(".mo").write_bytes(compiled(source))

    shutil.copytree(LOCALES_DIR, tmp_path / "locales")
    monkeypatch.setattr(languages, "LOCALES_DIR", tmp_path / "locales")
    forget()
    yield add
    forget()


@pytest.mark.parametrize("locale", locales())
def test_every_error_and_genre_has_a_sentence(locale: str) -> None:
    for code in ErrorCode:
        sentence = error_sentence(GenreGenieError(code), locale)
        assert re.search(r"[.!?]$", sentence), sentence
        assert "{" not in sentence
    for genre in GENRES:
        assert translate(f"genre.{genre}", locale)


def test_an_error_as_a_string_is_its_code() -> None:
    assert str(GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=25)) == "too-large"


def test_details_are_given_where_they_are_known() -> None:
    assert "25 MB" in error_sentence(GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=25))
    assert "MB" not in error_sentence(GenreGenieError(ErrorCode.TOO_LARGE))


def test_details_that_do_not_fit_are_passed_over() -> None:
    plain = error_sentence(GenreGenieError(ErrorCode.TOO_LARGE))
    assert error_sentence(GenreGenieError(ErrorCode.TOO_LARGE, other=1)) == plain
    not_audio = error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO))
    assert error_sentence(GenreGenieError(ErrorCode.NOT_AUDIO, limit_mb=1)) == not_audio
    busy = error_sentence(GenreGenieError(ErrorCode.BUSY))
    assert error_sentence(GenreGenieError(ErrorCode.BUSY, limit_mb=1)) == busy


@pytest.mark.parametrize(
    ("locale", "seconds", "words"),
    [
        *(("en", 0, "0 seconds"), ("en", 1, "1 second"), ("en", 2, "2 seconds")),
        *(("es", 0, "0 segundos"), ("es", 1, "1 segundo"), ("es", 2, "2 segundos")),
        *(("de", 0, "0 Sekunden"), ("de", 1, "1 Sekunde"), ("de", 2, "2 Sekunden"), ("de", 5, "5 Sekunden")),
        *(("fr", 0, "0 seconde"), ("fr", 1, "1 seconde"), ("fr", 2, "2 secondes"), ("fr", 5, "5 secondes")),
        *(("pt", 0, "0 segundo"), ("pt", 1, "1 segundo"), ("pt", 2, "2 segundos"), ("pt", 5, "5 segundos")),
    ],
)
def test_a_count_has_the_plural_of_its_language(locale: str, seconds: int, words: str) -> None:
    for code in (ErrorCode.BUSY, ErrorCode.COOLDOWN):
        assert error_sentence(GenreGenieError(code, retry_after=seconds), locale).endswith(f" {words}.")


@pytest.mark.parametrize(
    ("locale", "minutes", "words"),
    [
        *(
            ("en", "1", "1 minute "),
            ("en", 1.0, "1 minute "),
            ("en", "0.5", "0.5 minutes "),
            ("en", 1.5, "1.5 minutes "),
        ),
        *(("es", "1", "1 minuto "), ("es", "0.5", "0,5 minutos "), ("es", 90, "90 minutos ")),
        *(
            ("de", "1", "1 Minute."),
            ("de", 0.5, "0,5 Minuten."),
            ("de", 1.5, "1,5 Minuten."),
            ("de", 90, "90 Minuten."),
        ),
        *(
            ("fr", "1", "1 minute "),
            ("fr", 0.5, "0,5 minute "),
            ("fr", 1.5, "1,5 minute "),
            ("fr", 2.5, "2,5 minutes "),
        ),
        *(
            ("pt", "1", "1 minuto."),
            ("pt", 0.5, "0,5 minuto."),
            ("pt", 1.5, "1,5 minuto."),
            ("pt", 2.5, "2,5 minutos."),
        ),
    ],
)
def test_a_limit_in_minutes_is_written_as_the_language_does(locale: str, minutes: str | float, words: str) -> None:
    assert words in error_sentence(GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=minutes), locale)


@pytest.mark.parametrize(("seconds", "words"), [(30, "0.5 minutes"), (90, "1.5 minutes"), (5_400, "90 minutes")])
def test_every_song_that_is_too_long_is_refused_in_the_same_words(seconds: float, words: str) -> None:
    assert words in error_sentence(too_long(seconds), "en")


def test_a_key_without_a_sentence_is_an_error() -> None:
    for key in ("bot.nonesuch", "nonesuch.key", "error.nonesuch"):
        with pytest.raises(KeyError, match=key):
            translate(key, "es")
        with pytest.raises(KeyError, match=key):
            translate(key, "es", n=1)


def test_a_placeholder_that_is_not_given_is_an_error() -> None:
    with pytest.raises(KeyError, match="limit_mb"):
        translate("error.too-large.detail")
    with pytest.raises(KeyError, match="n"):
        translate("error.busy.detail")


def test_a_folder_is_a_language_with_its_own_plurals(add_polish: Callable[[str], None]) -> None:
    add_polish("""
msgid "error.busy.detail"
msgid_plural "error.busy.detail"
msgstr[0] "{n} sekunda"
msgstr[1] "{n} sekundy"
msgstr[2] "{n} sekund"
""")
    assert locales() == tuple(sorted([*(path.name for path in LOCALES_DIR.iterdir()), "pl"]))
    said = {n: translate("error.busy.detail", "pl", n=n) for n in (1, 3, 5, 22)}
    assert said == {1: "1 sekunda", 3: "3 sekundy", 5: "5 sekund", 22: "22 sekundy"}


def test_what_a_language_lacks_is_answered_in_english(add_polish: Callable[[str], None]) -> None:
    add_polish('\nmsgid "error.busy"\nmsgstr "Zajęty."\n')
    assert translate("error.busy", "pl") == "Zajęty."
    assert translate("error.silent", "pl") == translate("error.silent", "en")
    assert translate("bot.gone", "pl") == translate("bot.gone", "en"), "a catalogue that is not there at all"
    assert translate("error.busy.detail", "pl", n=1) == translate("error.busy.detail", "en", n=1)


def test_the_codes_that_others_rely_on_are_all_there() -> None:
    assert {
        *("not-found", "not-audio", "no-audio-track", "too-short", "too-long", "too-large", "silent", "not-music"),
        *("damaged", "unsupported-link", "blocked-address", "live-stream", "login-required", "unavailable"),
        *("timeout", "busy", "cooldown", "cancelled", "internal"),
    } <= {code.value for code in ErrorCode}
