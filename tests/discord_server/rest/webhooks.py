"""Interaction callbacks, and the webhook that each interaction's token opens."""

from typing import Any

from aiohttp import web

from tests.discord_server.errors import (
    INVALID_FORM_BODY,
    UNKNOWN_INTERACTION,
    UNKNOWN_MESSAGE,
    UNKNOWN_WEBHOOK,
    RefusedError,
)
from tests.discord_server.interactions import (
    COMMAND,
    COMPONENT,
    DEFERRED_REPLY,
    DEFERRED_UPDATE,
    REPLY,
    UPDATE,
    Interaction,
)
from tests.discord_server.model import EPHEMERAL, LOADING, Message, Payload
from tests.discord_server.rest.forms import Form
from tests.discord_server.rest.messages import edit_message, new_message
from tests.discord_server.world import World

AUTOCOMPLETE, MODAL = 8, 9
ANSWERS_TO = {
    REPLY: {COMMAND, COMPONENT},
    DEFERRED_REPLY: {COMMAND, COMPONENT},
    DEFERRED_UPDATE: {COMPONENT},
    UPDATE: {COMPONENT},
    MODAL: {COMMAND, COMPONENT},
}
"""Which callbacks answer which interactions."""


async def interaction_callback(world: World, request: web.Request, form: Form) -> Payload | None:
    interaction = world.interactions.get(request.match_info["token"])
    if interaction is None or str(interaction.id) != request.match_info["interaction"]:
        raise RefusedError(UNKNOWN_INTERACTION)
    kind = form.payload.get("type")
    if interaction.type not in ANSWERS_TO.get(kind, set()):
        raise RefusedError(
            INVALID_FORM_BODY, {"type": f"{kind} does not answer an interaction of type {interaction.type}"}
        )
    interaction.accept_callback(kind)
    try:
        _carry_out(world, interaction, kind, form)
    except RefusedError:
        interaction.acknowledged_at = interaction.callback = None
        raise
    finally:
        world.journal.notify()
    return _resource(interaction, kind) if request.query.get("with_response") in {"1", "true"} else None


def _carry_out(world: World, interaction: Interaction, kind: int, form: Form) -> None:
    data = form.payload.get("data") or {}
    if kind == MODAL:
        interaction.modal = data
    elif kind == REPLY:
        interaction.original = _reply(world, interaction, form, data)
    elif kind == DEFERRED_REPLY:
        interaction.original = _thinking(world, interaction, data.get("flags") or 0)
    else:
        assert interaction.source
        interaction.original = interaction.source
        if kind == UPDATE:
            edit_message(world, interaction.source, form, payload=data)


def _metadata(interaction: Interaction) -> Payload:
    return {
        "id": str(interaction.id),
        "type": interaction.type,
        "user": interaction.user.payload(),
        "authorizing_integration_owners": {},
    }


def _reply(world: World, interaction: Interaction, form: Form, payload: Payload) -> Message:
    return new_message(
        world,
        interaction.channel,
        form,
        payload=payload,
        only_for=interaction.user,
        interaction=_metadata(interaction),
    )


def _thinking(world: World, interaction: Interaction, flags: int) -> Message:
    ephemeral = flags & EPHEMERAL
    message = Message(
        interaction.channel,
        world.bot,
        flags=LOADING | ephemeral,
        only_for=interaction.user if ephemeral else None,
        interaction=_metadata(interaction),
    )
    world.add_message(message)
    return message


def _resource(interaction: Interaction, kind: int) -> Payload:
    message = interaction.original
    callback: Payload = {"id": str(interaction.id), "type": interaction.type, "activity_instance_id": None}
    if message is None:
        return {"interaction": callback}
    callback |= {
        "response_message_id": str(message.id),
        "response_message_loading": message.loading,
        "response_message_ephemeral": message.ephemeral,
    }
    return {"interaction": callback, "resource": {"type": kind, "message": message.payload()}}


def _interaction(world: World, request: web.Request) -> Interaction:
    interaction = world.interactions.get(request.match_info["token"])
    if interaction is None or request.match_info["application"] != str(world.application_id):
        raise RefusedError(UNKNOWN_WEBHOOK)
    interaction.check_token()
    return interaction


def _original(world: World, request: web.Request) -> Message:
    message = _interaction(world, request).original
    if message is None or message.deleted:
        raise RefusedError(UNKNOWN_MESSAGE)
    return message


async def execute_webhook(world: World, request: web.Request, form: Form) -> Payload:
    interaction = _interaction(world, request)
    original = interaction.original
    # The first followup takes the place of "thinking…", and is as private as that was.
    if original and original.loading and not original.deleted and interaction.callback == DEFERRED_REPLY:
        form.payload = {key: value for key, value in form.payload.items() if key != "flags"}
        edit_message(world, original, form)
        return original.payload()
    message = _reply(world, interaction, form, form.payload)
    interaction.followups.append(message)
    return message.payload()


async def get_original_response(world: World, request: web.Request, form: Form) -> Payload:
    return _original(world, request).payload()


async def edit_original_response(world: World, request: web.Request, form: Form) -> Payload:
    message = _original(world, request)
    edit_message(world, message, form)
    return message.payload()


async def delete_original_response(world: World, request: web.Request, form: Form) -> None:
    world.delete_message(_original(world, request))


def _followup(world: World, request: web.Request) -> Message:
    interaction = _interaction(world, request)
    identity = int(request.match_info["message"])
    for message in interaction.messages:
        if message.id == identity:
            return message
    # A button's webhook also reaches the message that the button is on.
    if interaction.source and interaction.source.id == identity and not interaction.source.deleted:
        return interaction.source
    raise RefusedError(UNKNOWN_MESSAGE)


async def get_followup(world: World, request: web.Request, form: Form) -> Payload:
    return _followup(world, request).payload()


async def edit_followup(world: World, request: web.Request, form: Form) -> Payload:
    message = _followup(world, request)
    edit_message(world, message, form)
    return message.payload()


async def delete_followup(world: World, request: web.Request, form: Form) -> None:
    world.delete_message(_followup(world, request))


def routes() -> dict[str, tuple[str, str, Any]]:
    """Return endpoint → method, path, handler."""
    webhook = "/webhooks/{application}/{token}"
    return {
        "interaction_callback": (
            "POST",
            "/interactions/{interaction}/{token}/callback",
            interaction_callback,
        ),
        "execute_webhook": ("POST", webhook, execute_webhook),
        "get_original_response": ("GET", f"{webhook}/messages/@original", get_original_response),
        "edit_original_response": ("PATCH", f"{webhook}/messages/@original", edit_original_response),
        "delete_original_response": ("DELETE", f"{webhook}/messages/@original", delete_original_response),
        "get_followup": ("GET", f"{webhook}/messages/{{message}}", get_followup),
        "edit_followup": ("PATCH", f"{webhook}/messages/{{message}}", edit_followup),
        "delete_followup": ("DELETE", f"{webhook}/messages/{{message}}", delete_followup),
    }
