"""The catalogues as translators see them."""

import string
from collections.abc import Iterable
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from core.i18n.languages import LOCALES_DIR


def sources(locale: str = "*") -> list[Path]:
    """The `.po` files of a language, or of all."""
    return sorted(LOCALES_DIR.glob(f"{locale}/LC_MESSAGES/*.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def messages(catalogue: Catalog) -> list[Message]:
    """All messages in their order, without the header."""
    return [message for message in catalogue if message.id]


def key_of(message: Message) -> str:
    return message.id[0] if isinstance(message.id, tuple | list) else message.id


def forms(message: Message) -> tuple[str, ...]:
    """The sentence, or its plural forms."""
    return (message.string,) if isinstance(message.string, str) else tuple(message.string)


def placeholders(sentences: Iterable[str]) -> set[str]:
    return {name for text in sentences for _, name, _, _ in string.Formatter().parse(text) if name is not None}
