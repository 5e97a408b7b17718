"""Draw what the bot says as Discord shows it on a phone: `python -m docs.make_discord_picture`.

Starts a real bot on the Discord of the tests and writes `docs/messages/`, every message in every language as text and
as a picture, and `docs/discord.png`, the reply to the demo song. Only Discord's look is imitated. Needs Playwright (in
requirements/dev.txt) and chromium on the PATH.
"""

import asyncio
import html
import io
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from core.i18n.languages import locales
from core.inference.chart import FONT_FILE
from tests.bot.end_to_end.answers import answer, details
from tests.bot.end_to_end.conftest import LIMITS
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.scenes import GUESS_S, Scenes, interrupted, make_known, spectrogram
from tests.discord_server import Discord, File
from tests.discord_server.look import STYLE, WIDTH, Shown, as_html, as_text, data_url

ROOT: Final = Path(__file__).resolve().parents[1]
SONG: Final = ROOT / "examples" / "demo.ogg"
MESSAGES: Final = ROOT / "docs" / "messages"
COLUMNS: Final = 6
GAP: Final = 12
COLOURS: Final = 256
"""Of a sheet."""


async def say_everything() -> tuple[list[Scenes], Scenes]:
    """Let a bot say everything in every language, and answer the demo song."""
    with tempfile.TemporaryDirectory() as place:
        more = {"GENREGENIE_WORKERS": "6", "GENREGENIE_GUESS_S": str(GUESS_S)}
        async with Discord() as discord, BotProcess(discord, Path(place), **LIMITS, **more) as bot:
            for number in range(2):
                discord.guild(f"another {number}")
            demo = Scenes(discord, "en")
            song = File.at(SONG)
            reply = await answer(discord.slash("genre", user=demo.ana, channel=demo.channel, file=song))
            demo.keep("answer", reply, "ana used /genre")
            demo.keep("details", await details(discord, reply, demo.ana))
            scenes = [Scenes(discord, locale) for locale in locales()]
            for scene in scenes:
                make_known(bot.data, spectrogram())
                await scene.play()
            await interrupted(discord, bot, scenes)
            for complaint in discord.complaints:
                print(complaint, file=sys.stderr)
    return scenes, demo


def sheet(shown: Sequence[Shown], names: Mapping[int, str], columns: int, *, captions: bool = True) -> str:
    """Lay messages out in columns, each as wide as a phone."""
    font = data_url("font/ttf", FONT_FILE.read_bytes())
    avatar = data_url("image/svg+xml", (ROOT / "web" / "static" / "icon.svg").read_bytes())
    tiles = "".join(
        f"<section>{f'<h2>{html.escape(one.title)}</h2>' if captions else ''}"
        f"{as_html(one, names, avatar=avatar)}</section>"
        for one in shown
    )
    return f"""<!doctype html><meta charset="utf-8">
<style>@font-face {{ font-family: fallback; src: url({font}); }}
body {{ margin: {GAP}px; background: #1e1f22; columns: {columns}; column-gap: {GAP}px;
  width: {columns * (WIDTH + GAP) - GAP}px; }}
section {{ break-inside: avoid; margin-bottom: {GAP}px; }}
h2 {{ color: #949ba4; font: 11px "Noto Sans", "DejaVu Sans", fallback; margin: 0 0 2px; }}
{STYLE}</style>{tiles}"""


def draw(pages: Mapping[Path, tuple[str, int, float]]) -> None:
    """Write pictures of pages: their HTML, how many columns they have, and how many pixels a pixel is."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for path, (page, columns, scale) in pages.items():
            width = columns * (WIDTH + GAP) + GAP
            tab = browser.new_page(viewport={"width": width, "height": 100}, device_scale_factor=scale)
            tab.set_content(page)
            image = Image.open(io.BytesIO(tab.screenshot(full_page=True))).convert("RGB")
            if path.suffix == ".webp":
                # Of few colours and as WebP: for reviews that does, in a third of the bytes.
                image = image.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
            image.save(path, lossless=True, method=6, optimize=True)
            tab.close()
        browser.close()


def main() -> None:
    """Write the pictures and the texts."""
    scenes, demo = asyncio.run(say_everything())
    MESSAGES.mkdir(exist_ok=True)
    for scene in scenes:
        said = "\n\n".join(as_text(shown, scene.names) for shown in scene.shown)
        (MESSAGES / f"{scene.locale}.txt").write_text(said + "\n", "utf-8")
    pages = {
        MESSAGES / f"{scene.locale}.webp": (sheet(scene.shown, scene.names, COLUMNS), COLUMNS, 1.0) for scene in scenes
    }
    readme = sheet(demo.shown, demo.names, 2, captions=False)
    draw({**pages, ROOT / "docs" / "discord.png": (readme, 2, 1.5)})


if __name__ == "__main__":
    main()
