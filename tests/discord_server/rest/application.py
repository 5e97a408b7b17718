"""The application itself: who the bot is, its commands, its servers, and where its gateway is."""

from typing import Any

from aiohttp import web

from tests.discord_server.errors import (
    INVALID_FORM_BODY,
    MISSING_ACCESS,
    UNKNOWN_GUILD,
    UNKNOWN_USER,
    RefusedError,
)
from tests.discord_server.model import Guild, Payload
from tests.discord_server.rest.forms import Form
from tests.discord_server.world import World


async def gateway_bot(world: World, request: web.Request, form: Form) -> Payload:
    limit = {"total": 1000, "remaining": 1000, "reset_after": 0}
    limit["max_concurrency"] = world.gateway.max_concurrency
    return {"url": world.gateway.url, "shards": world.gateway.shards, "session_start_limit": limit}


async def get_current_user(world: World, request: web.Request, form: Form) -> Payload:
    return world.bot.payload()


async def get_user(world: World, request: web.Request, form: Form) -> Payload:
    user = world.users.get(int(request.match_info["user"]))
    if user is None:
        raise RefusedError(UNKNOWN_USER)
    return user.payload()


async def create_dm(world: World, request: web.Request, form: Form) -> Payload:
    user = world.users.get(int(form.payload["recipient_id"]))
    if user is None or user is world.bot:
        raise RefusedError(UNKNOWN_USER)
    return world.direct_messages(user).payload()


async def get_application(world: World, request: web.Request, form: Form) -> Payload:
    return world.application()


def _scope(world: World, request: web.Request) -> int | None:
    if request.match_info["application"] != str(world.application_id):
        raise RefusedError(MISSING_ACCESS)
    return _guild(world, request).id if "guild" in request.match_info else None


def _guild(world: World, request: web.Request) -> Guild:
    guild = world.guilds.get(int(request.match_info["guild"]))
    if guild is None:
        raise RefusedError(UNKNOWN_GUILD)
    return guild


async def list_commands(world: World, request: web.Request, form: Form) -> list[Payload]:
    with_localizations = request.query.get("with_localizations", "").lower() in {"1", "true"}
    return world.commands.listed(_scope(world, request), with_localizations=with_localizations)


async def put_commands(world: World, request: web.Request, form: Form) -> list[Payload]:
    if not isinstance(form.payload, list):
        raise RefusedError(INVALID_FORM_BODY, {"body": "must be a list"})
    return world.commands.put(form.payload, _scope(world, request))


async def get_guild(world: World, request: web.Request, form: Form) -> Payload:
    return _guild(world, request).payload(bot=world.bot, with_members=False)


async def get_member(world: World, request: web.Request, form: Form) -> Payload:
    member = _guild(world, request).members.get(int(request.match_info["user"]))
    if member is None:
        raise RefusedError(UNKNOWN_USER)
    return member.payload()


async def leave_guild(world: World, request: web.Request, form: Form) -> None:
    guild = _guild(world, request)
    del world.guilds[guild.id]
    world.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)}, guild=guild)
    world.journal.notify()


async def refresh_urls(world: World, request: web.Request, form: Form) -> Payload:
    links = form.payload["attachment_urls"]
    if not 0 < len(links) <= 50:
        raise RefusedError(INVALID_FORM_BODY, {"attachment_urls": "must be 1 to 50"})
    renewed = [{"original": link, "refreshed": world.cdn.renew(link)} for link in links]
    if any(link["refreshed"] is None for link in renewed):
        raise RefusedError(INVALID_FORM_BODY, {"attachment_urls": "is no attachment's"})
    return {"refreshed_urls": renewed}


def routes() -> dict[str, tuple[str, str, Any]]:
    """Return endpoint → method, path, handler."""
    commands = "/applications/{application}/commands"
    guild_commands = "/applications/{application}/guilds/{guild}/commands"
    return {
        "gateway_bot": ("GET", "/gateway/bot", gateway_bot),
        "get_current_user": ("GET", "/users/@me", get_current_user),
        "get_user": ("GET", r"/users/{user:\d+}", get_user),
        "create_dm": ("POST", "/users/@me/channels", create_dm),
        "leave_guild": ("DELETE", "/users/@me/guilds/{guild}", leave_guild),
        "get_current_application": ("GET", "/applications/@me", get_application),
        "get_oauth2_application": ("GET", "/oauth2/applications/@me", get_application),
        "refresh_urls": ("POST", "/attachments/refresh-urls", refresh_urls),
        "list_commands": ("GET", commands, list_commands),
        "put_commands": ("PUT", commands, put_commands),
        "list_guild_commands": ("GET", guild_commands, list_commands),
        "put_guild_commands": ("PUT", guild_commands, put_commands),
        "get_guild": ("GET", "/guilds/{guild}", get_guild),
        "get_member": ("GET", "/guilds/{guild}/members/{user}", get_member),
    }
