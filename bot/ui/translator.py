"""Names and descriptions of commands in every language that there is."""

from typing import Final

from discord import Locale, app_commands
from discord.app_commands import TranslationContextTypes, locale_str

from core.i18n.catalog import translate
from core.i18n.languages import DEFAULT_LOCALE, best_locale

PREFIX: Final = "bot.command."


def phrase(key: str) -> locale_str:
    """Sentence of `bot.command.KEY`, which Discord gets in all languages."""
    return locale_str(translate(PREFIX + key), key=PREFIX + key)


class PhraseTranslator(app_commands.Translator):
    """Reads the languages that Discord asks for from `locales/`."""

    async def translate(self, string: locale_str, locale: Locale, context: TranslationContextTypes) -> str | None:
        """Translate; None where the language is not there, which leaves the English."""
        key = string.extras.get("key")
        language = best_locale(locale.value)
        if key is None or language == DEFAULT_LOCALE:
            return None
        return translate(key, language)
