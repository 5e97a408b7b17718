"""Which languages there are: one a folder of `locales/`."""

from functools import cache
from pathlib import Path
from typing import Final

LOCALES_DIR: Final = Path(__file__).parents[2] / "locales"
DEFAULT_LOCALE: Final = "en"
DEFAULT_DOMAIN: Final = "core"


def catalogue_path(locale: str, domain: str) -> Path:
    """Where the compiled catalogue of a language and a domain is."""
    return LOCALES_DIR / locale / "LC_MESSAGES" / f"{domain}.mo"


@cache
def locales() -> tuple[str, ...]:
    """Languages that there are, as the names of their folders: `("en", "es")`."""
    names = sorted(path.name for path in LOCALES_DIR.iterdir())
    return tuple(name for name in names if catalogue_path(name, DEFAULT_DOMAIN).is_file())


def best_locale(wanted: str | None) -> str:
    """Language to answer in: `es-ES` and `es-419` are served by `es`, an unknown one by English."""
    if wanted:
        for name in (wanted, wanted.split("-")[0]):
            if name in locales():
                return name
    return DEFAULT_LOCALE
