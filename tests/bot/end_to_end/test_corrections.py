"""What members say that a song is: shown beside the model's answer, and used for training if they allow it."""

import sqlite3

from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, genre_of, mention, press
from tests.bot.end_to_end.conftest import House
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord

WRONG, CONSENT = (translate(f"bot.button.{name}", "en") for name in ("wrong", "consent"))


async def test_three_members_who_agree_are_heard_beside_the_model(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = new_song(12)
    first = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song))
    other = next(genre for genre in GENRES if genre != genre_of(first))
    say = translate("bot.reply.members-say", "en", n=3, genre=translate(f"genre.{other}", "en").capitalize())
    for user in (house.ana, house.ben, house.owner):
        again = await answer(discord.slash("genre", user=user, channel=house.channel, file=song))
        assert say not in again.content
        menu = await discord.click(first, WRONG, user=user).reply()
        await discord.select(menu, other, user=user).acknowledged()
        await discord.until(lambda menu=menu: menu.buttons == [CONSENT], what="the thanks")  # type: ignore[misc]
        assert translate("bot.correction.use", "en") in menu.content
    thanks = translate("bot.correction.consented", "en", privacy=mention(discord, "privacy"))
    agreed = await press(discord, menu, CONSENT, house.owner)
    assert (agreed.content, agreed.buttons) == (thanks, [])
    heard = await answer(discord.slash("genre", user=house.ben, channel=house.channel, file=song))
    assert say in heard.content
    assert genre_of(heard) == genre_of(first), "the model's own answer stays"
    with sqlite3.connect(f"file:{bot.data / 'genregenie.sqlite3'}?mode=ro", uri=True) as connection:
        consents = connection.execute(
            "SELECT user_id FROM corrections WHERE guild_id = ? AND consented_at IS NOT NULL", (house.guild.id,)
        ).fetchall()
    assert consents == [(house.owner.id,)]
