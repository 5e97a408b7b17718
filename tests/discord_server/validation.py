"""What Discord refuses in the body of a message: limits of content, embeds, components and attachments.

Stricter than Discord where it silently shows something broken, such as an embed's picture that is not attached.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from tests.discord_server.errors import EMPTY_MESSAGE, INVALID_FORM_BODY, RefusedError

Payload = dict[str, Any]

MESSAGE_KEYS = {
    "content",
    "embeds",
    "components",
    "attachments",
    "flags",
    "allowed_mentions",
    "message_reference",
    "tts",
    "nonce",
    "enforce_nonce",
    "thread_name",
}
EMBED_KEYS = {
    "title",
    "description",
    "url",
    "color",
    "timestamp",
    "footer",
    "image",
    "thumbnail",
    "author",
    "fields",
    "type",
}
EMBED_KEYS |= {"flags"}
EMBED_TOTAL = 6000
MAX_EMBEDS = 10
MAX_FIELDS = 25
MAX_ROWS = 5
MAX_FILES = 10
SENDABLE_FLAGS = 1 << 2 | 1 << 6 | 1 << 12

ACTION_ROW, BUTTON, STRING_SELECT = 1, 2, 3
LINK_STYLE = 5


class _Form:
    """Collects what is wrong, by the place in the form."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def need(self, holds: bool, where: str, problem: str) -> bool:
        if not holds:
            self.problems.setdefault(where, problem)
        return holds

    def text(self, value: object, where: str, longest: int, *, shortest: int = 0) -> None:
        fits = isinstance(value, str) and shortest <= len(value) <= longest
        self.need(fits, where, f"must be {shortest} to {longest} characters, got {_measure(value)}")

    def finish(self) -> None:
        if self.problems:
            raise RefusedError(INVALID_FORM_BODY, self.problems)


def _measure(value: object) -> str:
    return f"{len(value)}" if isinstance(value, str) else repr(value)


def check_message(payload: Payload, *, new_files: Collection[str], kept_files: dict[int, str]) -> None:
    """Check the body of a message that is sent or edited.

    Args:
        payload: the JSON part.
        new_files: names of the files uploaded with it, in the order of their numbers.
        kept_files: the files that the message has already, by id.

    Raises:
        RefusedError: `INVALID_FORM_BODY`, with everything that is wrong.
    """
    form = _Form()
    for key in payload.keys() - MESSAGE_KEYS:
        form.need(False, key, "unknown key")
    if payload.get("content") is not None:
        form.text(payload["content"], "content", 2000)
    if payload.get("nonce") is not None:
        form.text(str(payload["nonce"]), "nonce", 25)
    flags = payload.get("flags") or 0
    form.need(isinstance(flags, int) and not flags & ~SENDABLE_FLAGS, "flags", "cannot be set by a bot")
    names = _check_attachments(form, payload.get("attachments"), list(new_files), kept_files)
    _check_embeds(form, payload.get("embeds") or [], names)
    _check_components(form, payload.get("components") or [])
    _check_mentions(form, payload.get("allowed_mentions") or {})
    form.finish()


def check_not_empty(payload: Payload, files: Collection[object]) -> None:
    """Refuse a message that would show nothing."""
    if not (payload.get("content") or payload.get("embeds") or payload.get("components") or files):
        raise RefusedError(EMPTY_MESSAGE)


def _check_attachments(
    form: _Form, listed: list[Payload] | None, new_files: list[str], kept_files: dict[int, str]
) -> set[str]:
    """Return the names of the files that the message has after this."""
    form.need(len(new_files) <= MAX_FILES, "files", f"at most {MAX_FILES}")
    names = set(new_files)
    if listed is None:
        return names | set(kept_files.values())
    for number, attachment in enumerate(listed):
        where = f"attachments.{number}"
        identity = int(attachment["id"])
        if not form.need(identity < len(new_files) or identity in kept_files, where, "no such file"):
            continue
        names.add(new_files[identity] if identity < len(new_files) else kept_files[identity])
        if attachment.get("description") is not None:
            form.text(attachment["description"], f"{where}.description", 1024)
    return names


def _check_embeds(form: _Form, embeds: list[Payload], names: set[str]) -> None:
    form.need(len(embeds) <= MAX_EMBEDS, "embeds", f"at most {MAX_EMBEDS}")
    total = sum(_embed_length(embed) for embed in embeds)
    form.need(total <= EMBED_TOTAL, "embeds", f"{total} characters together, at most {EMBED_TOTAL}")
    for number, embed in enumerate(embeds):
        _check_embed(form, f"embeds.{number}", embed, names)


def _check_embed(form: _Form, where: str, embed: Payload, names: set[str]) -> None:
    for key in embed.keys() - EMBED_KEYS:
        form.need(False, f"{where}.{key}", "unknown key")
    for key, longest in (("title", 256), ("description", 4096)):
        if embed.get(key) is not None:
            form.text(embed[key], f"{where}.{key}", longest)
    if "footer" in embed:
        form.text(embed["footer"].get("text"), f"{where}.footer.text", 2048, shortest=1)
    if "author" in embed:
        form.text(embed["author"].get("name"), f"{where}.author.name", 256, shortest=1)
    if embed.get("color") is not None:
        form.need(0 <= embed["color"] <= 0xFFFFFF, f"{where}.color", "no colour")
    if embed.get("timestamp") is not None:
        form.need(_is_time(embed["timestamp"]), f"{where}.timestamp", "no ISO 8601 time")
    fields = embed.get("fields", [])
    form.need(len(fields) <= MAX_FIELDS, f"{where}.fields", f"at most {MAX_FIELDS}")
    for number, entry in enumerate(fields):
        form.text(entry.get("name"), f"{where}.fields.{number}.name", 256, shortest=1)
        form.text(entry.get("value"), f"{where}.fields.{number}.value", 1024, shortest=1)
    for key in ("image", "thumbnail"):
        if key in embed:
            _check_address(form, f"{where}.{key}.url", embed[key].get("url"), names)
    if embed.get("url") is not None:
        _check_address(form, f"{where}.url", embed["url"], set())


def _embed_length(embed: Payload) -> int:
    parts = [embed.get("title"), embed.get("description")]
    parts += [embed.get("footer", {}).get("text"), embed.get("author", {}).get("name")]
    for entry in embed.get("fields", []):
        parts += [entry.get("name"), entry.get("value")]
    return sum(len(part) for part in parts if isinstance(part, str))


def _check_address(form: _Form, where: str, address: object, names: set[str]) -> None:
    if not form.need(isinstance(address, str) and len(address) <= 2048, where, "no address"):
        return
    assert isinstance(address, str)
    scheme, _, rest = address.partition("://")
    if scheme == "attachment":
        form.need(rest in names, where, f"{rest!r} is not attached")
    else:
        form.need(scheme in {"http", "https"}, where, f"scheme {scheme!r} is not allowed")


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return True


def _check_components(form: _Form, rows: list[Payload]) -> None:
    form.need(len(rows) <= MAX_ROWS, "components", f"at most {MAX_ROWS} rows")
    seen: set[str] = set()
    for number, row in enumerate(rows):
        where = f"components.{number}"
        if not form.need(row.get("type") == ACTION_ROW, where, "must be an action row"):
            continue
        controls = row.get("components", [])
        form.need(1 <= len(controls) <= 5, where, "must hold 1 to 5 controls")
        menus = sum(control.get("type") != BUTTON for control in controls)
        form.need(menus == 0 or len(controls) == 1, where, "a menu takes a whole row")
        for place, control in enumerate(controls):
            _check_control(form, f"{where}.components.{place}", control, seen)


def _check_control(form: _Form, where: str, control: Payload, seen: set[str]) -> None:
    kind = control.get("type")
    if kind == BUTTON:
        _check_button(form, where, control)
    elif kind == STRING_SELECT:
        _check_select(form, where, control)
    else:
        form.need(5 <= (kind or 0) <= 8, where, f"component type {kind} is unknown")
    if kind == BUTTON and control.get("style") == LINK_STYLE:
        return
    identity = control.get("custom_id")
    form.text(identity, f"{where}.custom_id", 100, shortest=1)
    form.need(identity not in seen, f"{where}.custom_id", "is used twice")
    seen.add(str(identity))


def _check_button(form: _Form, where: str, button: Payload) -> None:
    form.need(button.get("style") in range(1, 7), f"{where}.style", "unknown style")
    form.need(bool(button.get("label") or button.get("emoji")), where, "needs a label or an emoji")
    if button.get("label") is not None:
        form.text(button["label"], f"{where}.label", 80)
    if button.get("style") == LINK_STYLE:
        form.need("custom_id" not in button and bool(button.get("url")), where, "a link has only an address")
    else:
        form.need(not button.get("url"), where, "only a link has an address")


def _check_select(form: _Form, where: str, menu: Payload) -> None:
    options = menu.get("options", [])
    form.need(1 <= len(options) <= 25, f"{where}.options", "must be 1 to 25")
    values = [option.get("value") for option in options]
    form.need(len(set(values)) == len(values), f"{where}.options", "a value is used twice")
    for number, option in enumerate(options):
        place = f"{where}.options.{number}"
        form.text(option.get("label"), f"{place}.label", 100, shortest=1)
        form.text(option.get("value"), f"{place}.value", 100, shortest=1)
        if option.get("description") is not None:
            form.text(option["description"], f"{place}.description", 100)
    if menu.get("placeholder") is not None:
        form.text(menu["placeholder"], f"{where}.placeholder", 150)
    least, most = menu.get("min_values", 1), menu.get("max_values", 1)
    form.need(0 <= least <= most <= 25, where, "min_values and max_values do not fit")
    form.need(sum(bool(option.get("default")) for option in options) <= most, where, "too many defaults")


def _check_mentions(form: _Form, mentions: Payload) -> None:
    for key in mentions.keys() - {"parse", "users", "roles", "replied_user"}:
        form.need(False, f"allowed_mentions.{key}", "unknown key")
    parse = mentions.get("parse") or []
    form.need(set(parse) <= {"everyone", "users", "roles"}, "allowed_mentions.parse", "unknown kind")
    for kind in ("users", "roles"):
        form.need(not (kind in parse and mentions.get(kind)), "allowed_mentions", f"{kind} is in parse and listed")
