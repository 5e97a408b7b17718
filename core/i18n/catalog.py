"""The sentences that people read, by language: adding a language is adding one file to `core/i18n/locales/`."""

import json
from functools import cache
from pathlib import Path
from typing import Final

from core.errors import GenreGenieError

LOCALES_DIR: Final = Path(__file__).parent / "locales"
DEFAULT_LOCALE: Final = "en"


@cache
def _sentences(locale: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((LOCALES_DIR / f"{locale}.json").read_text("utf-8"))
    return loaded


@cache
def locales() -> tuple[str, ...]:
    """Languages that there are, as the names of their files: `("en", "es")`."""
    return tuple(sorted(path.stem for path in LOCALES_DIR.glob("*.json")))


def best_locale(wanted: str | None) -> str:
    """Language to answer in: `es-ES` and `es-419` are served by `es`, an unknown one by English."""
    if wanted:
        for name in (wanted, wanted.split("-")[0]):
            if name in locales():
                return name
    return DEFAULT_LOCALE


def translate(key: str, locale: str | None = None, **params: object) -> str:
    """Sentence of `key` in a language, its `{placeholders}` filled from `params`.

    A key that a language lacks is answered in English.

    Raises:
        KeyError: English lacks the key, or a placeholder is not given.
    """
    sentences = _sentences(best_locale(locale))
    template = sentences[key] if key in sentences else _sentences(DEFAULT_LOCALE)[key]
    return template.format(**params)


def error_sentence(error: GenreGenieError, locale: str | None = None) -> str:
    """Plain sentence for an error: what happened and, where there is one, what to do about it."""
    key = f"error.{error.code.value}"
    detailed = f"{key}.detail"
    if error.params and detailed in _sentences(DEFAULT_LOCALE):
        try:
            return translate(detailed, locale, **error.params)
        except KeyError:
            pass  # the details do not fit the sentence that has details: the plain one serves
    return translate(key, locale)
