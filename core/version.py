"""The program's version, and the model's that it would use."""

from typing import Final

VERSION: Final = "0.2.0"
"""Stands here and nowhere else; pyproject.toml reads it."""


def version_line(model: str | None = None) -> str:
    """Name the program's version and the model's, as a report of a fault needs both.

    Args:
        model: as `Settings.model` has it.
    """
    # Imported here: whoever only wants the version waits for no model.
    from core.errors import ConfigurationError
    from core.inference.model_card import model_file, read_card

    try:
        card = read_card(model_file(model))
    except ConfigurationError as error:
        return f"GenreGenie {VERSION}, no model: {error}"
    return f"GenreGenie {VERSION}, model {card.name} {card.version}"
