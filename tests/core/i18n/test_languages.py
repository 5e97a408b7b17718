import pytest

from core.i18n.languages import best_locale


@pytest.mark.parametrize(
    ("wanted", "served"),
    [
        ("es-ES", "es"),
        ("es-419", "es"),
        ("es", "es"),
        ("de", "de"),
        ("fr-CA", "fr"),
        ("pt-BR", "pt"),
        ("pt-PT", "pt"),
        ("en-GB", "en"),
        ("xx", "en"),
        ("../es", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_nearest_language_answers(wanted: str | None, served: str) -> None:
    assert best_locale(wanted) == served
