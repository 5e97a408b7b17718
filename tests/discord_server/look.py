"""How Discord's clients show a message: as HTML for a phone 360 pixels wide, and as text for a review."""

import base64
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.discord_server.cdn import Upload
from tests.discord_server.model import Message, Payload

WIDTH: Final = 360
BUTTON_STYLES: Final = {1: "primary", 2: "secondary", 3: "success", 4: "danger"}
ESCAPED: Final = re.compile(r"\\([\\*_~`|<>@#\[\]():.-])")
STAND_INS: Final = str.maketrans({"🎧": "♫", "🏆": "★", "💬": "…"})
"""For emoji in pictures: a machine's fonts may lack them."""

MENTION: Final = re.compile(r"<(?:@!?|#|(?P<command>/[^:<>]+):)(?P<id>\d+)>")

STYLE: Final = """
.phone { width: 360px; background: #313338; color: #dbdee1; box-sizing: border-box; padding: 8px 12px 12px;
  font: 15px/1.33 "gg sans", "Noto Sans", "DejaVu Sans", fallback; overflow-wrap: break-word; }
.phone .above { font-size: 12.5px; color: #b5bac1; margin: 0 0 3px 20px; padding-left: 30px; position: relative;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.phone .above::before { content: ""; position: absolute; left: 0; top: 8px; width: 24px; height: 10px;
  border: 2px solid #4e5058; border-right: 0; border-bottom: 0; border-top-left-radius: 6px; }
.phone .row { display: grid; grid-template-columns: 40px minmax(0, 1fr); gap: 0 12px; }
.phone .avatar { width: 40px; height: 40px; border-radius: 50%; }
.phone .name { color: #f2f3f5; font-weight: 600; }
.phone .app { background: #5865f2; color: #fff; font-size: 10px; line-height: 15px; font-weight: 600;
  border-radius: 3px; padding: 0 4px; margin: 0 6px 0 4px; display: inline-block; vertical-align: 2px; }
.phone .time { color: #949ba4; font-size: 12px; }
.phone .embed { background: #2b2d31; border-left: 4px solid #1e1f22; border-radius: 4px; padding: 8px 12px 12px 10px;
  margin-top: 4px; font-size: 14px; }
.phone .author { color: #f2f3f5; font-weight: 600; font-size: 13px; }
.phone .title { color: #f2f3f5; font-size: 15.5px; font-weight: 600; margin: 6px 0 4px; }
.phone .field { margin-top: 8px; }
.phone .field b { display: block; color: #f2f3f5; font-size: 13.5px; }
.phone code { background: #1e1f22; border-radius: 3px; padding: 1px 2px;
  font: 12.5px Consolas, "DejaVu Sans Mono", monospace; }
.phone pre { background: #1e1f22; border: 1px solid #232428; border-radius: 4px; margin: 6px 0 0; padding: 6px;
  font: 12.5px/1.3 Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; }
.phone img.picture { width: 100%; border-radius: 4px; margin-top: 10px; display: block; }
.phone .footer { font-size: 12px; margin-top: 8px; }
.phone .mention { color: #c9cdfb; background: #5865f24d; border-radius: 3px; padding: 0 2px; }
.phone .buttons { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 6px; }
.phone .buttons span { color: #fff; font-size: 14px; font-weight: 500; border-radius: 3px; padding: 6px 12px; }
.phone .primary { background: #5865f2; } .phone .secondary { background: #4e5058; }
.phone .success { background: #248046; } .phone .danger { background: #da373c; }
.phone .menu { background: #1e1f22; border-radius: 4px; padding: 8px 10px; margin-top: 6px; color: #949ba4; }
.phone .menu::after { content: "⌄"; float: right; }
.phone .options { background: #2b2d31; border-radius: 4px; margin-top: 2px; font-size: 14px; }
.phone .options div { padding: 4px 10px; }
.phone .file { background: #2b2d31; border: 1px solid #232428; border-radius: 8px; padding: 10px 14px; margin-top: 4px;
  color: #00a8fc; }
.phone .only { font-size: 12px; color: #949ba4; margin-top: 4px; }
.phone ul { margin: 0; padding-left: 18px; }
"""


@dataclass(frozen=True)
class Shown:
    """What a message shows at one moment.

    Attributes:
        title: what it is an example of.
        above: what it answers: a command that somebody used, or a message.
        only_for_one: whether one member alone sees it.
    """

    title: str
    above: str
    content: str
    embeds: tuple[Payload, ...]
    components: tuple[Payload, ...]
    files: tuple[Upload, ...]
    only_for_one: bool

    @classmethod
    def of(cls, title: str, message: Message, above: str = "") -> "Shown":
        """Take down what a message shows now."""
        return cls(
            title,
            above,
            message.content,
            tuple(message.embeds),
            tuple(message.components),
            tuple(message.files),
            message.only_for is not None,
        )


def as_text(shown: Shown, names: Mapping[int, str]) -> str:
    """Write a message down, a line each for what a reader of the screen hears.

    Args:
        shown: the message.
        names: of users and channels, by id.
    """

    def plain(text: str) -> str:
        return MENTION.sub(lambda found: _mentioned(found, names), text)

    lines = [f"== {shown.title}{' (for one member only)' if shown.only_for_one else ''}"]
    lines += [shown.above] if shown.above else []
    lines += plain(shown.content).splitlines()
    for embed in shown.embeds:
        lines += [f"[author] {embed['author']['name']}"] if embed.get("author") else []
        lines += [f"[title] {embed['title']}"] if embed.get("title") else []
        lines += plain(embed.get("description") or "").splitlines()
        for field in embed.get("fields", []):
            lines += [f"[field] {field['name']}", *plain(field["value"]).splitlines()]
        lines += [f"[footer] {embed['footer']['text']}"] if embed.get("footer") else []
    for file in shown.files:
        lines.append(f"[picture] {file.description}" if _is_picture(file) else f"[file] {file.filename}")
    for row in shown.components:
        controls = row["components"]
        buttons = [control["label"] for control in controls if control["type"] == 2]
        lines += [f"[buttons] {' | '.join(buttons)}"] if buttons else []
        for menu in (control for control in controls if control["type"] == 3):
            options = " | ".join(option["label"] for option in menu["options"])
            lines += [f"[menu] {menu['placeholder']}: {options}"]
    return "\n".join(lines)


def as_html(shown: Shown, names: Mapping[int, str], *, avatar: str) -> str:
    """Lay a message out as Discord's phone client does in its dark theme.

    Args:
        shown: the message.
        names: of users and channels, by id.
        avatar: address of the bot's picture.
    """

    def marked(text: str) -> str:
        return markdown(text, names)

    parts = [f"<div>{marked(shown.content)}</div>"] if shown.content else []
    for embed in shown.embeds:
        parts.append(_embed(embed, shown, marked))
    for file in shown.files:
        if not _is_picture(file):
            parts.append(f'<div class="file">{html.escape(file.filename)}</div>')
    for row in shown.components:
        parts.append(_controls(row["components"]))
    if shown.only_for_one:
        parts.append('<div class="only">Only you can see this</div>')
    above = f'<div class="above">{html.escape(shown.above)}</div>' if shown.above else ""
    return f"""<div class="phone">{above}<div class="row"><img class="avatar" src="{avatar}"><div>
<div><span class="name">GenreGenie</span><span class="app">APP</span><span class="time">20:14</span></div>
{"".join(parts)}</div></div></div>"""


def _is_picture(file: Upload) -> bool:
    return file.filename.endswith(".png")


def _embed(embed: Payload, shown: Shown, marked: Callable[[str], str]) -> str:
    parts = []
    if embed.get("author"):
        parts.append(f'<div class="author">{html.escape(embed["author"]["name"])}</div>')
    if embed.get("title"):
        parts.append(f'<div class="title">{html.escape(embed["title"])}</div>')
    if embed.get("description"):
        parts.append(f"<div>{marked(embed['description'])}</div>")
    for field in embed.get("fields", []):
        parts.append(f'<div class="field"><b>{html.escape(field["name"])}</b>{marked(field["value"])}</div>')
    if embed.get("image"):
        [file] = [file for file in shown.files if embed["image"]["url"] in (file.url, f"attachment://{file.filename}")]
        parts.append(f'<img class="picture" src="{data_url("image/png", file.data)}">')
    if embed.get("footer"):
        parts.append(f'<div class="footer">{html.escape(embed["footer"]["text"])}</div>')
    colour = f"border-color: #{embed['color']:06x}" if embed.get("color") else ""
    return f'<div class="embed" style="{colour}">{"".join(parts)}</div>'


def _controls(controls: list[Payload]) -> str:
    parts = []
    buttons = [
        f'<span class="{BUTTON_STYLES[control["style"]]}">{html.escape(control["label"])}</span>'
        for control in controls
        if control["type"] == 2
    ]
    if buttons:
        parts.append(f'<div class="buttons">{"".join(buttons)}</div>')
    for menu in (control for control in controls if control["type"] == 3):
        parts.append(f'<div class="menu">{html.escape(menu["placeholder"])}</div>')
        options = "".join(f"<div>{html.escape(option['label'])}</div>" for option in menu["options"])
        parts.append(f'<div class="options">{options}</div>')
    return "".join(parts)


def markdown(text: str, names: Mapping[int, str]) -> str:
    """Turn the little Markdown that the bot uses into HTML."""
    text = text.translate(STAND_INS)
    kept: list[str] = []

    def keep(part: str) -> str:
        kept.append(part)
        return f"\x00{len(kept) - 1}\x00"

    text = re.sub(r"```\n?(.*?)\n?```\n?", lambda m: keep(f"<pre>{html.escape(m[1])}</pre>"), text, flags=re.DOTALL)
    text = re.sub(r"`([^`\n]+)`", lambda m: keep(f"<code>{html.escape(m[1])}</code>"), text)
    text = MENTION.sub(lambda m: keep(f'<span class="mention">{html.escape(_mentioned(m, names))}</span>'), text)
    text = ESCAPED.sub(lambda m: keep(html.escape(m[1])), text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))
    text = re.sub(r"(?:^- .*(?:\n|$))+", _list, text, flags=re.MULTILINE)
    text = text.replace("\n", "<br>")
    while "\x00" in text:
        text = re.sub("\x00(\\d+)\x00", lambda m: kept[int(m[1])], text)
    return text


def _mentioned(found: re.Match[str], names: Mapping[int, str]) -> str:
    return found["command"] or names[int(found["id"])]


def _list(found: re.Match[str]) -> str:
    return "<ul>" + "".join(f"<li>{line[2:]}</li>" for line in found[0].splitlines()) + "</ul>"


def data_url(kind: str, content: bytes) -> str:
    """Embed a file in the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
