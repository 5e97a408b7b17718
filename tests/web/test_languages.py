"""The language chosen for a visitor."""

import pytest

from web.languages import accepted_locale


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        (None, "en"),
        ("", "en"),
        ("es", "es"),
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("nl-NL,nl;q=0.9,es;q=0.5,en;q=0.3", "es"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("pt-PT", "pt"),
        ("pt", "pt"),
        ("en;q=0.2, es;q=0.7", "es"),
        ("es;q=0,en", "en"),
        ("nl,*;q=0.1", "en"),
        ("es;q=nonsense,en;q=0.5", "en"),
        ("../../etc/passwd", "en"),
    ],
)
def test_the_best_available_language_is_chosen(header: str | None, locale: str) -> None:
    assert accepted_locale(header) == locale
