"""How times, shares and numbers are written, by every face alike.

Babel knows how languages write numbers, but takes a tenth of a second to load: English does without it.
"""

from core.i18n.languages import DEFAULT_LOCALE, best_locale


def clock(seconds: float) -> str:
    """Write a time as `1:02`, or `1:02:03` from an hour on."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def percent(share: float, locale: str = DEFAULT_LOCALE) -> str:
    """Write a share of one as the language does: `61%`, or `61 %` with a space that does not break."""
    language = best_locale(locale)
    if language == DEFAULT_LOCALE:
        return f"{share:.0%}"
    from babel import Locale
    from babel.numbers import format_percent

    return format_percent(share, locale=Locale.parse(language, sep="-"))


def number(value: float, locale: str = DEFAULT_LOCALE) -> str:
    """Write a number as the language does, with two decimals at most: `30`, `1.5`, or `1,5`."""
    rounded, language = round(value, 2), best_locale(locale)
    if rounded == int(rounded):
        return str(int(rounded))
    if language == DEFAULT_LOCALE:
        return str(rounded)
    from babel import Locale
    from babel.numbers import format_decimal

    return format_decimal(rounded, locale=Locale.parse(language, sep="-"), group_separator=False)
