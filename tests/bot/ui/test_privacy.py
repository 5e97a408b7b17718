"""What members read about what is stored."""

import re

import pytest

from bot.settings import BotSettings
from bot.storage.retention import Holdings
from bot.ui.privacy import held_text, stored_text
from core.i18n.catalog import translate
from core.i18n.languages import locales


@pytest.mark.parametrize(
    ("days", "locale", "parts"),
    [
        ((1, 1, 1), "en", ("All of this for 1 day.", "for 1 day.", "after 1 day.")),
        ((30, 365, 7), "en", ("All of this for 30 days.", "for 365 days.", "after 7 days.")),
        ((1, 1, 1), "es", ("Todo ello durante 1 día.", "durante 1 día.", "al cabo de 1 día.")),
        ((30, 365, 7), "es", ("Todo ello durante 30 días.", "durante 365 días.", "al cabo de 7 días.")),
        ((1, 1, 1), "de", ("All das 1 Tag lang.", "hat) 1 Tag lang.", "nach 1 Tag gelöscht.")),
        ((30, 365, 7), "de", ("All das 30 Tage lang.", "hat) 365 Tage lang.", "nach 7 Tagen gelöscht.")),
        ((1, 1, 1), "fr", ("Tout cela pendant 1 jour.", ") pendant 1 jour.", "au bout de 1 jour.")),
        ((30, 365, 7), "fr", ("Tout cela pendant 30 jours.", ") pendant 365 jours.", "au bout de 7 jours.")),
        ((1, 1, 1), "pt-BR", ("Tudo isso por 1 dia.", "), por 1 dia.", "depois de 1 dia.")),
        ((30, 365, 7), "pt-BR", ("Tudo isso por 30 dias.", "), por 365 dias.", "depois de 7 dias.")),
    ],
)
def test_privacy_says_how_long_what_is_kept(days: tuple[int, int, int], locale: str, parts: tuple[str, ...]) -> None:
    kept, corrections, left = days
    settings = BotSettings(retention_days=kept, correction_days=corrections, grace_days=left)
    text = stored_text(settings, locale)
    assert all(part in text for part in parts), text
    assert re.search(rf"\b{settings.store_mb}\s(MB|Mo)\b", text)


@pytest.mark.parametrize("locale", locales())
def test_nothing_is_said_of_spectrograms_that_are_not_kept(locale: str) -> None:
    text = stored_text(BotSettings(store_mb=0), locale)
    assert not re.search(r"e[ck]tro", text)
    assert translate("bot.privacy.kept", locale, n=30) in text


@pytest.mark.parametrize("locale", locales())
def test_what_is_stored_and_held_fits_into_one_message(locale: str) -> None:
    many = 10**9
    text = stored_text(BotSettings(retention_days=3650, correction_days=3650, grace_days=3650), locale)
    held = held_text(Holdings(many, many, many, many, True, many, many), locale)
    assert len(f"{text}\n\n{translate('bot.privacy.mine', locale, held=held)}") <= 2_000


@pytest.mark.parametrize(
    ("locale", "one", "many"),
    [
        ("en", "- 1 request\n- 1 correction\n- answers and spectrograms of 1 song ", " 2 songs "),
        ("es", "- 1 petición\n- 1 corrección\n- respuestas y espectrogramas de 1 canción ", " 2 canciones "),
        ("de", "- 1 Anfrage\n- 1 Korrektur\n- Antworten und Spektrogramme von 1 Song, ", " 2 Songs, "),
        ("fr", "- 1 demande\n- 1 correction\n- réponses et spectrogrammes de 1 morceau ", " 2 morceaux "),
        ("pt", "- 1 pedido\n- 1 correção\n- respostas e espectrogramas de 1 música ", " 2 músicas "),
    ],
)
def test_what_goes_is_counted(locale: str, one: str, many: str) -> None:
    assert held_text(Holdings(1, 1, 1), locale).startswith(one)
    [line] = held_text(Holdings(0, 0, 2), locale).splitlines()
    assert many in line
