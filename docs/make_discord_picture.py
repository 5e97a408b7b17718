"""Draw `docs/discord.png`, the bot's reply to the demo song as Discord shows it: `python docs/make_discord_picture.py`.

The embed, its picture and the buttons' labels are the bot's own; only Discord's look is imitated. Needs Playwright (in
requirements/dev.txt) and chromium on the PATH.
"""

import base64
import html
import re
import shutil
from pathlib import Path

import discord
from playwright.sync_api import sync_playwright

from bot.jobs.result import SongResult
from bot.ui.embeds import results_message
from core.audio.decode import DecodeLimits
from core.i18n.catalog import translate
from core.inference.chart import FONT_FILE
from core.inference.pipeline import ClassifyOptions, Models, classify_file
from core.service.identify import IdentifyResult
from core.verdict import SongInfo, Verdict

ROOT = Path(__file__).resolve().parents[1]
SONG = ROOT / "examples" / "demo.ogg"
BUTTONS = ("part", "whole", "wrong")

STYLE = """
body { margin: 0; width: 520px; background: #313338; color: #dbdee1;
  font: 16px/1.375 "gg sans", "Noto Sans", fallback; }
main { display: grid; grid-template-columns: 40px 1fr; gap: 2px 16px; padding: 14px 16px 16px; }
.command { grid-column: 2; font-size: 14px; color: #b5bac1; position: relative; }
.command::before { content: ""; position: absolute; left: -37px; top: 9px; width: 33px; height: 12px;
  border: 2px solid #4e5058; border-right: 0; border-bottom: 0; border-top-left-radius: 6px; }
.command b { color: #c9cdfb; font-weight: 500; }
.command i { font-style: normal; color: #a8b1ff; background: #5865f24d; border-radius: 3px; padding: 0 3px; }
.avatar { width: 40px; height: 40px; border-radius: 50%; margin-top: 3px; }
.name { color: #f2f3f5; font-weight: 500; }
.app { background: #5865f2; color: #fff; font-size: 10px; line-height: 15px; font-weight: 600; border-radius: 3px;
  padding: 0 4px; margin: 0 6px 0 4px; display: inline-block; vertical-align: 2px; }
.time { color: #949ba4; font-size: 12px; }
.embed { width: 400px; background: #2b2d31; border-left: 4px solid; border-radius: 4px; padding: 10px 16px 14px 12px;
  margin-top: 4px; font-size: 14px; }
.author { color: #f2f3f5; font-weight: 600; }
.title { color: #f2f3f5; font-size: 16px; font-weight: 600; margin: 6px 0; }
pre { background: #1e1f22; border: 1px solid #232428; border-radius: 4px; margin: 6px 0 0; padding: 7px;
  font: 12.5px/1.35 Consolas, "DejaVu Sans Mono", monospace; color: #dbdee1; }
.picture { width: 400px; border-radius: 4px; margin-top: 14px; display: block; }
.footer { font-size: 12px; color: #dbdee1; margin-top: 8px; }
.buttons { display: flex; gap: 8px; margin-top: 6px; }
.buttons span { background: #4e5058; color: #fff; font-size: 14px; font-weight: 500; border-radius: 3px;
  padding: 6px 16px; }
"""


def reply_to_demo() -> tuple[discord.Embed, bytes]:
    """Classify the demo song and build the bot's embed and picture."""
    result = classify_file(SONG, ClassifyOptions(picture=True), models=Models(), limits=DecodeLimits(10**8, 600, 60))
    verdict = Verdict(result.prediction, SongInfo(SONG.name), result.elapsed)
    reply = results_message([SongResult(SONG.name, IdentifyResult(verdict, "", result.picture))], "en")
    return reply.embeds[0], reply.pictures[0].png


def markdown(text: str) -> str:
    """Turn the little Markdown that embeds use into HTML."""
    text = re.sub(r"\n?```\n(.*?)\n```", r"<pre>\1</pre>", html.escape(text), flags=re.DOTALL)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\n(?![^<]*</pre>)", "<br>", text)


def data_url(kind: str, content: bytes) -> str:
    """Embed a file in the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page(embed: discord.Embed, picture: bytes) -> str:
    """Lay the message out as Discord does in its dark theme."""
    font = data_url("font/ttf", FONT_FILE.read_bytes())
    avatar = data_url("image/svg+xml", (ROOT / "web" / "static" / "icon.svg").read_bytes())
    buttons = "".join(f"<span>{html.escape(translate(f'bot.button.{name}'))}</span>" for name in BUTTONS)
    return f"""<!doctype html><meta charset="utf-8">
<style>@font-face {{ font-family: fallback; src: url({font}); }} {STYLE}</style>
<main>
<div class="command"><b>ana</b> used <i>/genre</i></div>
<img class="avatar" src="{avatar}">
<div>
  <div><span class="name">GenreGenie</span> <span class="app">APP</span><span class="time">Today at 20:14</span></div>
  <div class="embed" style="border-color: {embed.colour}">
    <div class="author">{html.escape(embed.author.name or "")}</div>
    <div class="title">{html.escape(embed.title or "")}</div>
    <div>{markdown(embed.description or "")}</div>
    <img class="picture" src="{data_url("image/png", picture)}">
    <div class="footer">{html.escape(embed.footer.text or "")}</div>
  </div>
  <div class="buttons">{buttons}</div>
</div>
</main>"""


def main() -> None:
    """Write the picture."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 520, "height": 400}, device_scale_factor=1.5)
        tab.set_content(page(*reply_to_demo()))
        tab.screenshot(path=ROOT / "docs" / "discord.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
