"""Discord on loopback: enough of its REST API and gateway for a real bot, over real sockets.

It is strict: what a client must never do is written down in `Discord.complaints`.
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
