"""Messages as discord.py makes them of what Discord sends."""

from typing import Any

import discord

CHANNEL = 11
TIME = "2026-01-01T00:00:00+00:00"

Payload = dict[str, Any]


def attachment(filename: str, content_type: str | None = None, **more: Any) -> Payload:
    """Payload of an attachment; Discord leaves the type out where it does not know it."""
    url = f"https://cdn.discordapp.com/attachments/11/12/{filename}?ex=1&is=2&hm=3&"
    payload = {"id": "12", "filename": filename, "size": 1_000, "url": url, "proxy_url": url} | more
    return payload if content_type is None else payload | {"content_type": content_type}


def payload(content: str = "", **more: Any) -> Payload:
    """Payload of a message; `more` replaces its keys."""
    return {
        "id": "13",
        "type": 0,
        "channel_id": str(CHANNEL),
        "author": {"id": "14", "username": "ana", "discriminator": "0", "avatar": None},
        "content": content,
        "embeds": [],
        "attachments": [],
        "components": [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": False,
        "flags": 0,
        "timestamp": TIME,
        "edited_timestamp": None,
    } | more


def message(content: str = "", **more: Any) -> discord.Message:
    """Make a message; `more` replaces keys of its payload."""
    client = discord.Client(intents=discord.Intents.none())
    channel = client.get_partial_messageable(CHANNEL)
    data: Any = payload(content, **more)
    return discord.Message(state=client._connection, channel=channel, data=data)  # type: ignore[arg-type]  # noqa: SLF001  # as discord.py does


def forwarding(content: str = "", **more: Any) -> discord.Message:
    """Make a message that forwards another, of which `more` replaces keys."""
    return message(
        message_reference={"type": 1, "message_id": "15", "channel_id": "16"},
        message_snapshots=[{"message": payload(content, **more)}],
    )
