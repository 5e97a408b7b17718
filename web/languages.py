"""Which of our languages a browser asks for."""

from core.i18n.languages import DEFAULT_LOCALE, locales

MAX_ASKED = 20


def accepted_locale(header: str | None) -> str:
    """Language to greet in: the first of `Accept-Language`, by its weights, that there is (RFC 9110, 12.5.4)."""
    there = {name.lower(): name for name in locales()}
    asked: list[tuple[float, str]] = []
    for part in (header or "").split(",")[:MAX_ASKED]:
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        if quality > 0:
            asked.append((quality, tag.strip().lower()))
    for _, tag in sorted(asked, key=lambda item: -item[0]):
        for name in (tag, tag.split("-")[0]):
            if name in there:
                return there[name]
    return DEFAULT_LOCALE
