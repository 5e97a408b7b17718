"""Discord on loopback: enough of its REST API and gateway for a real bot, over real sockets.

    async with Discord() as discord:
        ...  # start the bot with discord.api_url, discord.gateway.url and discord.token
        guild, ana = discord.guild("Vinyl"), discord.user("ana", locale="es-ES")
        guild.join(ana)
        asked = discord.slash("genre", user=ana, channel=guild.channels[0], file=File("song.ogg", data))
        reply = await asked.reply(lambda message: message.embeds)
        discord.fail("edit_original_response", status=502, times=2)
        await discord.click(reply, "Whole song", user=ana).acknowledged()
        assert discord.complaints == []

It is strict: what a client must never do (a late acknowledgement, an embed over a limit, an unknown route) is refused
as Discord refuses it and written down in `Discord.complaints`. What a correct client may meet all the same (missing
permissions, a message that is gone) is refused only. Limits and codes are those of https://docs.discord.com/developers.
"""

from tests.discord_server.cdn import File, Upload
from tests.discord_server.interactions import Interaction
from tests.discord_server.journal import Complaint, Exchange
from tests.discord_server.model import Channel, Guild, Message, User
from tests.discord_server.server import Discord

__all__ = [
    "Channel",
    "Complaint",
    "Discord",
    "Exchange",
    "File",
    "Guild",
    "Interaction",
    "Message",
    "Upload",
    "User",
]
