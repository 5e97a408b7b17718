"""`.po` → `.mo`: `python -m core.i18n.compile` compiles every language of `locales/`."""

import io
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from core.i18n.languages import LOCALES_DIR


def compiled(source: Path) -> bytes:
    """Compile a `.po` file; what a translator has marked as fuzzy is left out.

    Raises:
        babel.messages.pofile.PoFileError: it is not a `.po` file.
    """
    with source.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def main() -> None:
    """Compile all languages."""
    for source in sorted(LOCALES_DIR.glob("*/LC_MESSAGES/*.po")):
        source.with_suffix(".mo").write_bytes(compiled(source))


if __name__ == "__main__":
    main()
