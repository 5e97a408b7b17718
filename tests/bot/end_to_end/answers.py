"""Waiting for what the bot says in the end, and reading it."""

import re

from core.constants import GENRE_COLOURS
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.languages import locales
from tests.discord_server import Discord, Interaction, Message, User

PNG = b"\x89PNG\r\n\x1a\n"
ERROR_ID = re.compile(rf"\n-# {translate('bot.reference', 'en', reference='([0-9a-f]{8})')}$")
BAR = re.compile("`([█▓▒░]+)` (.+)")
VOTE = re.compile(r"^ *\d+:\d\d  .*%$", re.MULTILINE)


def is_final(message: Message) -> bool:
    """Whether this is the answer and no progress: nothing is left to cancel."""
    return not message.loading and not any(c["custom_id"].startswith("gg:cancel") for c in message.controls)


async def answer(interaction: Interaction) -> Message:
    """Wait for the answer; the acknowledgement must have come in time."""
    assert await interaction.acknowledged() < 3
    return await interaction.reply(is_final)


async def press(discord: Discord, message: Message, label: str, user: User) -> Message:
    """Press a button whose answer takes the place of the one that it is under; wait for that answer."""
    before = len(message.revisions)
    assert await discord.click(message, label, user=user).acknowledged() < 3
    await discord.until(lambda: len(message.revisions) > before and is_final(message), what="the next answer")
    return message


async def answer_under(discord: Discord, message: Message) -> Message:
    """Wait for the answer under a message."""
    return await discord.answer_to(message, is_final)


def genre_of(message: Message, locale: str = "en") -> str:
    """Return the genre that the message's only embed has the colour of; its title or text must name it."""
    [embed] = message.embeds
    colours = {red << 16 | green << 8 | blue: genre for genre, (red, green, blue) in GENRE_COLOURS.items()}
    genre = colours[embed["color"]]
    assert translate(f"genre.{genre}", locale) in f"{embed['title']} {embed['description']}".casefold()
    return genre


def said(message: Message) -> str:
    """Return what the message says, without the id that stands under some errors."""
    return ERROR_ID.sub("", message.content)


def error_id(message: Message) -> str | None:
    """Return the id under an error, by which its host finds the log lines."""
    found = ERROR_ID.search(message.content)
    return found[1] if found else None


def votes_counted(message: Message) -> int:
    """Return how many votes the words beside the bar count."""
    found = BAR.search(message.text)
    assert found, message.text
    return sum(int(part.rpartition(" ")[2]) for part in found[2].split(", "))


async def details(discord: Discord, message: Message, user: User) -> Message:
    """Press Details under an answer; wait for them, which only the one who pressed sees."""
    [label] = {translate("bot.button.details", locale) for locale in locales()} & set(message.buttons)
    pressed = discord.click(message, label, user=user)
    assert await pressed.acknowledged() < 3
    shown = await pressed.reply(is_final)
    assert shown.only_for is user
    return shown


def votes_in(message: Message) -> list[str]:
    """Return the lines of the votes in details."""
    return VOTE.findall(message.embeds[0]["description"])


def sentence(code: ErrorCode, locale: str = "en", **params: str | float) -> str:
    return error_sentence(GenreGenieError(code, **params), locale)


def mention(discord: Discord, command: str) -> str:
    """Return a command to click on, as it stands in a message."""
    return f"</{command}:{discord.commands.find(command.partition(' ')[0], 1, None)['id']}>"


def picture_of(message: Message) -> bytes:
    """Return the picture, which must be shown in the embed."""
    file = message.file(".png")
    assert message.embeds[0]["image"]["url"] == file.url
    assert file.data.startswith(PNG)
    return file.data
