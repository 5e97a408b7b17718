"""The sentences that people read, by language: adding a language is adding one folder to `locales/`.

A language is a folder `locales/<language>/LC_MESSAGES/`, named as Discord and browsers name it (`es`, `pt-BR`), with
one gettext catalogue a domain. The ids of the messages are keys (`error.too-long`) and English is a catalogue like any
other, which translators' tools call monolingual PO. `python -m core.i18n.compile` makes the `.mo` files read here.
"""

import gettext
from functools import cache
from typing import Final

from core.errors import GenreGenieError
from core.i18n.formatting import number
from core.i18n.languages import DEFAULT_DOMAIN, DEFAULT_LOCALE, best_locale, catalogue_path

_COUNTED: Final = ("retry_after", "limit_minutes")
"""Parameters of errors that are counts: the `n` of their sentences."""

_SEVERAL: Final = 2
"""Stands for a fraction where a plural form is chosen, since gettext knows whole numbers only: "1.5 minutes"."""


@cache
def _catalogue(locale: str, domain: str) -> gettext.NullTranslations:
    """Read a catalogue; what a language lacks is looked up in English."""
    try:
        with catalogue_path(locale, domain).open("rb") as file:
            catalogue: gettext.NullTranslations = gettext.GNUTranslations(file)
    except FileNotFoundError:
        catalogue = gettext.NullTranslations()
    if locale != DEFAULT_LOCALE:
        catalogue.add_fallback(_catalogue(DEFAULT_LOCALE, domain))
    return catalogue


@cache
def _domain(prefix: str) -> str:
    """Catalogue that has the keys of a prefix: the one of that name, where there is one."""
    return prefix if catalogue_path(DEFAULT_LOCALE, prefix).is_file() else DEFAULT_DOMAIN


def translate(key: str, locale: str | None = None, **params: object) -> str:
    """Sentence of `key` in a language, its `{placeholders}` filled from `params`.

    The key's first part names the catalogue; where there is none of that name, it is `core.po`. The parameter `n` is a
    count: it chooses among the plural forms of a message that has them, and is written as the language does. A key that
    a language lacks is answered in English.

    Raises:
        KeyError: English lacks the key, or a placeholder is not given.
    """
    language = best_locale(locale)
    catalogue = _catalogue(language, _domain(key.partition(".")[0]))
    template, n = key, params.get("n")
    if isinstance(n, int | float):
        template = catalogue.ngettext(key, key, _whole(n, catalogue, key))
        params["n"] = number(n, language)
    if template == key:
        template = catalogue.gettext(key)
    if template == key:
        raise KeyError(key)
    return template.format(**params)


def _whole(n: float, catalogue: gettext.NullTranslations, key: str) -> int:
    """Whole number that has the plural form of `n`.

    Where none is one's form, as in French and Portuguese, so is that of all below two: "1,5 minute" (CLDR: i = 0, 1).
    """
    counts_from_two = catalogue.ngettext(key, key, 0) == catalogue.ngettext(key, key, 1)
    return int(n) if n == int(n) or counts_from_two else _SEVERAL


def error_sentence(error: GenreGenieError, locale: str | None = None) -> str:
    """Plain sentence for an error: what happened and, where there is one, what to do about it."""
    key = f"error.{error.code.value}"
    if error.params:
        params: dict[str, object] = {**error.params}
        for name in _COUNTED:
            if name in error.params:
                params["n"] = float(error.params[name])
        try:
            return translate(f"{key}.detail", locale, **params)
        except KeyError:
            pass  # no sentence has these details: the plain one serves
    return translate(key, locale)
