"""The language that a browser prefers."""

from core.i18n.languages import DEFAULT_LOCALE, locales

MAX_LANGUAGE_TAGS = 20


def accepted_locale(header: str | None) -> str:
    """Best available language for an `Accept-Language` header, by its weights (RFC 9110, section 12.5.4)."""
    available = {name.lower(): name for name in locales()}
    preferred: list[tuple[float, str]] = []
    for part in (header or "").split(",")[:MAX_LANGUAGE_TAGS]:
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        if quality > 0:
            preferred.append((quality, tag.strip().lower()))
    for _, tag in sorted(preferred, key=lambda item: -item[0]):
        for name in (tag, tag.split("-")[0]):
            if name in available:
                return available[name]
    return DEFAULT_LOCALE
