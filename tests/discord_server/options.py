"""From what a member types and picks to the data of an interaction."""

from dataclasses import dataclass, field
from typing import Any

from tests.discord_server.cdn import File
from tests.discord_server.commands import (
    ATTACHMENT,
    BOOLEAN,
    CHANNEL,
    INTEGER,
    NUMBER,
    STRING,
    SUB_COMMAND,
    SUB_COMMAND_GROUP,
    USER_OPTION,
)
from tests.discord_server.model import Channel, Payload, User
from tests.discord_server.world import World

SUBCOMMANDS = {SUB_COMMAND, SUB_COMMAND_GROUP}
CHANNEL_KEYS = ("id", "type", "name", "parent_id", "guild_id", "position")
"""What a command gets of a channel."""
TYPES: dict[int, type | tuple[type, ...]] = {
    STRING: str,
    INTEGER: int,
    BOOLEAN: bool,
    NUMBER: (int, float),
    USER_OPTION: User,
    CHANNEL: Channel,
    ATTACHMENT: File,
}


@dataclass
class CommandData:
    """Builds the `data` of a slash command out of the command that the bot has registered."""

    world: World
    channel: Channel
    resolved: dict[str, Payload] = field(default_factory=dict)

    def build(self, command: Payload, subcommands: list[str], values: dict[str, Any]) -> Payload:
        """Return the data.

        Raises:
            AssertionError: Discord would not let a member type this.
        """
        options = self._options(command, subcommands, values)
        data: Payload = {
            "id": command["id"],
            "name": command["name"],
            "type": command["type"],
            "options": options,
        }
        if "guild_id" in command:
            data["guild_id"] = command["guild_id"]
        if self.resolved:
            data["resolved"] = self.resolved
        return data

    def _options(self, part: Payload, subcommands: list[str], values: dict[str, Any]) -> list[Payload]:
        known = {option["name"]: option for option in part.get("options") or []}
        if subcommands:
            first, *rest = subcommands
            assert first in known, f"{part['name']} has no subcommand {first!r}, only {list(known)}"
            kind = known[first]["type"]
            return [{"name": first, "type": kind, "options": self._options(known[first], rest, values)}]
        nested = [name for name, option in known.items() if option["type"] in SUBCOMMANDS]
        assert not nested, f"{part['name']} needs one of the subcommands {nested}"
        missing = [name for name, option in known.items() if option.get("required") and name not in values]
        assert not missing, f"{part['name']} needs {missing}"
        assert values.keys() <= known.keys(), f"{part['name']} takes {list(known)}, not {list(values)}"
        return [self._option(known[name], value) for name, value in values.items()]

    def _option(self, option: Payload, value: Any) -> Payload:
        kind = option["type"]
        assert isinstance(value, TYPES[kind]), f"{option['name']} cannot be {value!r}"
        choices = [choice["value"] for choice in option.get("choices") or []]
        assert not choices or value in choices, f"{option['name']} is one of {choices}, not {value!r}"
        if kind in {INTEGER, NUMBER}:
            within = option.get("min_value", value) <= value <= option.get("max_value", value)
            assert within, f"{option['name']} cannot be {value}"
        return {"name": option["name"], "type": kind, "value": self._resolve(value)}

    def _resolve(self, value: Any) -> Any:
        """Return what stands for the value, and put the thing itself under `resolved`."""
        if isinstance(value, File):
            upload = self.world.upload(self.channel, value, ephemeral=True)
            return self._add("attachments", upload.id, upload.payload())
        if isinstance(value, Channel):
            partial = {key: value.payload()[key] for key in CHANNEL_KEYS}
            permissions = str(self.world.bot_permissions(value))
            return self._add("channels", value.id, partial | {"permissions": permissions})
        if isinstance(value, User):
            guild = self.channel.guild
            if guild and value.id in guild.members:
                member = guild.members[value.id].payload(with_user=False)
                member["permissions"] = str(guild.permissions(value, self.channel))
                self._add("members", value.id, member)
            return self._add("users", value.id, value.payload())
        return value

    def _add(self, kind: str, identity: int, payload: Payload) -> str:
        self.resolved.setdefault(kind, {})[str(identity)] = payload
        return str(identity)
