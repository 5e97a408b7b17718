"""Writing messages: what is common to channels, interaction callbacks and webhooks."""

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from discord import MessageFlags

from tests.discord_server.cdn import Upload
from tests.discord_server.errors import TOO_LARGE, RefusedError
from tests.discord_server.model import EPHEMERAL, LOADING, Channel, Message, Payload, User
from tests.discord_server.rest.forms import Form
from tests.discord_server.validation import check_message, check_not_empty
from tests.discord_server.world import World

SETTABLE = EPHEMERAL | MessageFlags(suppress_embeds=True, suppress_notifications=True).value


def new_message(
    world: World,
    channel: Channel,
    form: Form,
    *,
    payload: Payload | None = None,
    reply_to: Message | None = None,
    only_for: User | None = None,
    interaction: Payload | None = None,
) -> Message:
    """Make a message of the bot's out of a form, and send it.

    Args:
        payload: the message's part of the form, where it is not all of it.
        only_for: who sees it, if the payload's flags make it ephemeral.

    Raises:
        RefusedError: Discord would not take it.
    """
    payload = payload if payload is not None else form.payload or {}
    check_message(payload, new_files=[file.name for file in form.files], kept_files={})
    check_not_empty(payload, form.files)
    flags = (payload.get("flags") or 0) & SETTABLE
    files = _store(world, channel, form, payload, ephemeral=bool(flags & EPHEMERAL))
    message = Message(
        channel,
        world.bot,
        content=payload.get("content") or "",
        embeds=_resolved(payload.get("embeds") or [], files),
        components=_numbered(payload.get("components") or []),
        files=files,
        flags=flags,
        reply_to=reply_to,
        only_for=only_for if flags & EPHEMERAL else None,
        interaction=interaction,
        nonce=None if payload.get("nonce") is None else str(payload["nonce"]),
    )
    world.add_message(message)
    return message


def edit_message(world: World, message: Message, form: Form, *, payload: Payload | None = None) -> None:
    """Change a message by a form: keys that are not in it stay as they are.

    Raises:
        RefusedError: Discord would not take it.
    """
    payload = payload if payload is not None else form.payload or {}
    kept = {file.id: file.filename for file in message.files}
    check_message(payload, new_files=[file.name for file in form.files], kept_files=kept)
    files = list(message.files)
    if payload.get("attachments") is not None:
        listed = {int(attachment["id"]) for attachment in payload["attachments"]}
        files = [file for file in files if file.id in listed]
    # A message that was only "thinking" counts as empty until now.
    result: dict[str, Any] = {
        "content": message.content,
        "embeds": message.embeds,
        "components": message.components,
        **{key: value for key, value in payload.items() if key in {"content", "embeds", "components"}},
    }
    check_not_empty(result, [*files, *form.files])
    files += _store(world, message.channel, form, payload, ephemeral=message.ephemeral)
    message.files = files
    message.content = result["content"] or ""
    message.embeds = _resolved(result["embeds"] or [], files)
    message.components = _numbered(result["components"] or [])
    message.flags &= ~LOADING
    message.edited_at = datetime.now(UTC)
    world.changed_message(message)


def _store(world: World, channel: Channel, form: Form, payload: Payload, *, ephemeral: bool) -> list[Upload]:
    if any(len(file.data) > world.attachment_size_limit for file in form.files):
        raise RefusedError(TOO_LARGE)
    descriptions = {int(a["id"]): a.get("description") for a in payload.get("attachments") or []}
    described = [replace(file, description=descriptions.get(i)) for i, file in enumerate(form.files)]
    return [world.upload(channel, file, ephemeral=ephemeral) for file in described]


def _resolved(embeds: list[Payload], files: list[Upload]) -> list[Payload]:
    """Return the embeds with `attachment://` replaced by the files' addresses, as Discord gives them back."""
    addresses = {f"attachment://{file.filename}": file.url for file in files}
    resolved = copy.deepcopy(embeds)
    for embed in resolved:
        embed.setdefault("type", "rich")
        for key in ("image", "thumbnail"):
            if key in embed and embed[key]["url"] in addresses:
                embed[key] |= {"url": addresses[embed[key]["url"]], "width": 600, "height": 400}
    return resolved


def _numbered(rows: list[Payload]) -> list[Payload]:
    """Give each component the number that Discord gives it."""
    numbered = copy.deepcopy(rows)
    number = 0
    for row in numbered:
        for part in (row, *row["components"]):
            number += 1
            part["id"] = number
    return numbered
