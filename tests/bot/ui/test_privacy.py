"""What members read about what is stored."""

import pytest

from bot.settings import BotSettings
from bot.storage.retention import Holdings
from bot.ui.privacy import held_text, stored_text


@pytest.mark.parametrize(
    ("days", "locale", "parts"),
    [
        ((1, 1, 1), "en", ("All of this for 1 day.", "for 1 day.", "after 1 day.")),
        ((30, 365, 7), "en", ("All of this for 30 days.", "for 365 days.", "after 7 days.")),
        ((1, 1, 1), "es", ("Todo ello durante 1 día.", "durante 1 día.", "al cabo de 1 día.")),
        ((30, 365, 7), "es", ("Todo ello durante 30 días.", "durante 365 días.", "al cabo de 7 días.")),
    ],
)
def test_privacy_says_how_long_what_is_kept(days: tuple[int, int, int], locale: str, parts: tuple[str, ...]) -> None:
    kept, corrections, left = days
    settings = BotSettings(retention_days=kept, correction_days=corrections, grace_days=left)
    text = stored_text(settings, locale)
    assert all(part in text for part in parts), text
    assert f"{settings.store_mb} MB" in text


@pytest.mark.parametrize(
    ("locale", "one", "many"),
    [
        ("en", "1 request; 1 correction; answers and spectrograms of 1 song ", " 2 songs "),
        ("es", "1 petición; 1 corrección; respuestas y espectrogramas de 1 canción ", " 2 canciones "),
    ],
)
def test_what_goes_is_counted(locale: str, one: str, many: str) -> None:
    assert held_text(Holdings(1, 1, 1), locale).startswith(one)
    assert many in held_text(Holdings(0, 0, 2), locale)
