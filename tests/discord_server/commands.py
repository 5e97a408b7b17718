"""Application commands: the rules for their registration, and their lookup."""

import re
from dataclasses import dataclass, field
from typing import Any

from discord import Locale

from tests.discord_server.errors import INVALID_FORM_BODY, RefusedError
from tests.discord_server.model import snowflake

Payload = dict[str, Any]

CHAT_INPUT, USER, MESSAGE = 1, 2, 3
SUB_COMMAND, SUB_COMMAND_GROUP = 1, 2
STRING, INTEGER, BOOLEAN, USER_OPTION, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(3, 12)
NAME = re.compile(r"[-_'\w]{1,32}")
LOCALES = {locale.value for locale in Locale}
MOST = {CHAT_INPUT: 100, USER: 15, MESSAGE: 15}
LONGEST_COMMAND = 8000
COMMAND_KEYS = {
    "name",
    "name_localizations",
    "description",
    "description_localizations",
    "options",
    "default_member_permissions",
    "dm_permission",
    "integration_types",
    "contexts",
    "type",
    "nsfw",
}
OPTION_KEYS = {
    "type",
    "name",
    "name_localizations",
    "description",
    "description_localizations",
    "required",
    "choices",
    "options",
    "channel_types",
    "min_value",
    "max_value",
    "min_length",
    "max_length",
    "autocomplete",
}


@dataclass
class Commands:
    """The commands of one application, global ones under the key None, those of a server under its id."""

    application_id: int
    registered: dict[int | None, list[Payload]] = field(default_factory=dict)
    puts: list[int | None] = field(default_factory=list)
    """Where each overwrite of all commands went, in order."""

    def put(self, commands: list[Payload], guild_id: int | None) -> list[Payload]:
        """Replace all commands of one scope.

        Raises:
            RefusedError: `INVALID_FORM_BODY`.
        """
        check_commands(commands)
        self.puts.append(guild_id)
        known = {(c["name"], c["type"]): c["id"] for c in self.registered.get(guild_id, [])}
        self.registered[guild_id] = [self._register(command, known, guild_id) for command in commands]
        return self.registered[guild_id]

    def _register(self, command: Payload, known: dict[tuple[str, int], str], guild_id: int | None) -> Payload:
        kind = command.get("type", CHAT_INPUT)
        full: Payload = {
            "name_localizations": None,
            "description": "",
            "description_localizations": None,
            "options": [],
            "default_member_permissions": None,
            "nsfw": False,
            "integration_types": [0],
            "contexts": None,
            **command,
            "type": kind,
            "id": known.get((command["name"], kind), str(snowflake())),
            "application_id": str(self.application_id),
            "version": str(snowflake()),
        }
        if command.get("dm_permission") is False and full["contexts"] is None:
            full["contexts"] = [0]
        return full if guild_id is None else full | {"guild_id": str(guild_id)}

    def listed(self, guild_id: int | None, *, with_localizations: bool) -> list[Payload]:
        """Return the commands of one scope as GET gives them: without localizations unless asked for."""
        commands = self.registered.get(guild_id, [])
        return commands if with_localizations else [_without_localizations(c) for c in commands]

    def find(self, name: str, kind: int, guild_id: int | None) -> Payload:
        """Return the command that members see under this name.

        Raises:
            AssertionError: the bot has registered no such command.
        """
        scopes = [guild_id, None] if guild_id else [None]
        for scope in scopes:
            for command in self.registered.get(scope, []):
                if (command["name"], command["type"]) == (name, kind):
                    return command
        names = sorted(c["name"] for scope in scopes for c in self.registered.get(scope, []))
        raise AssertionError(f"there is no command {name!r} here, only {names}")


def _without_localizations(part: Payload) -> Payload:
    kept = {key: value for key, value in part.items() if not key.endswith("_localizations")}
    for key in ("options", "choices"):
        if kept.get(key):
            kept[key] = [_without_localizations(each) for each in kept[key]]
    return kept


def check_commands(commands: list[Payload]) -> None:
    """Check the body of an overwrite of all commands.

    Raises:
        RefusedError: `INVALID_FORM_BODY`, with everything that is wrong.
    """
    problems: dict[str, str] = {}
    names = [(c.get("name"), c.get("type", CHAT_INPUT)) for c in commands]
    if len(set(names)) != len(names):
        problems["commands"] = "a name is used twice"
    for kind, most in MOST.items():
        if sum(found == kind for _, found in names) > most:
            problems["commands"] = f"more than {most} of type {kind}"
    for number, command in enumerate(commands):
        _check_command(problems, str(number), command)
    if problems:
        raise RefusedError(INVALID_FORM_BODY, problems)


def _check_command(problems: dict[str, str], where: str, command: Payload) -> None:
    kind = command.get("type", CHAT_INPUT)
    for key in command.keys() - COMMAND_KEYS:
        problems[f"{where}.{key}"] = "unknown key"
    if kind == CHAT_INPUT:
        _check_texts(problems, where, command)
        _check_options(problems, where, command.get("options") or [], depth=0)
        if _length(command) > LONGEST_COMMAND:
            problems[where] = f"more than {LONGEST_COMMAND} characters"
    else:
        for key, name in _every(command, "name"):
            if not isinstance(name, str) or not 1 <= len(name) <= 32:
                problems[f"{where}.{key}"] = f"must be 1 to 32 characters: {name!r}"
        if command.get("description") or command.get("options"):
            problems[where] = "only slash commands have a description and options"
    _check_scope(problems, where, command)


def _check_scope(problems: dict[str, str], where: str, command: Payload) -> None:
    permissions = command.get("default_member_permissions")
    if permissions is not None and not str(permissions).isdigit():
        problems[f"{where}.default_member_permissions"] = "must be a number"
    if not set(command.get("contexts") or []) <= {0, 1, 2}:
        problems[f"{where}.contexts"] = "unknown context"
    if not set(command.get("integration_types") or []) <= {0, 1}:
        problems[f"{where}.integration_types"] = "unknown integration type"


def _check_options(problems: dict[str, str], where: str, options: list[Payload], depth: int) -> None:
    if len(options) > 25:
        problems[f"{where}.options"] = "at most 25"
    names = [option.get("name") for option in options]
    if len(set(names)) != len(names):
        problems[f"{where}.options"] = "a name is used twice"
    optional_seen = False
    for number, option in enumerate(options):
        place = f"{where}.options.{number}"
        for key in option.keys() - OPTION_KEYS:
            problems[f"{place}.{key}"] = "unknown key"
        _check_texts(problems, place, option)
        nested = option.get("type") in {SUB_COMMAND, SUB_COMMAND_GROUP}
        if option.get("type") not in range(1, 12) or (nested and depth > 1):
            problems[f"{place}.type"] = "is not possible here"
        if nested:
            _check_options(problems, place, option.get("options") or [], depth + 1)
            continue
        if option.get("required") and optional_seen:
            problems[place] = "required options come first"
        optional_seen |= not option.get("required")
        _check_choices(problems, place, option)


def _check_choices(problems: dict[str, str], where: str, option: Payload) -> None:
    choices = option.get("choices") or []
    if len(choices) > 25:
        problems[f"{where}.choices"] = "at most 25"
    for choice in choices:
        for _, name in _every(choice, "name"):
            if not isinstance(name, str) or not 1 <= len(name) <= 100:
                problems[f"{where}.choices"] = f"a name must be 1 to 100 characters: {name!r}"


def _check_texts(problems: dict[str, str], where: str, part: Payload) -> None:
    for key, name in _every(part, "name"):
        if not isinstance(name, str) or not NAME.fullmatch(name) or name != name.lower():
            problems[f"{where}.{key}"] = f"is not allowed: {name!r}"
    for key, text in _every(part, "description"):
        if not isinstance(text, str) or not 1 <= len(text) <= 100:
            problems[f"{where}.{key}"] = f"must be 1 to 100 characters: {text!r}"
    for key in ("name_localizations", "description_localizations"):
        for locale in (part.get(key) or {}).keys() - LOCALES:
            problems[f"{where}.{key}"] = f"{locale!r} is no language of Discord's"


def _every(part: Payload, key: str) -> list[tuple[str, object]]:
    """Return the text under `key` and all its translations, with where each stands."""
    translations = part.get(f"{key}_localizations") or {}
    translated = [(f"{key}_localizations.{locale}", text) for locale, text in translations.items()]
    return [(key, part.get(key)), *translated]


def _length(part: Payload) -> int:
    """Discord counts the longest translation of each text."""
    own = sum(
        max((len(text) for _, text in _every(part, key) if isinstance(text, str)), default=0)
        for key in ("name", "description")
    )
    return own + sum(_length(each) for key in ("options", "choices") for each in part.get(key) or [])
