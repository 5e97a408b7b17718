"""The page's styles, script and pictures, read once."""

import hashlib
import mimetypes
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).with_name("static")
EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "demo.ogg"
YEAR_S: Final = 365 * 86_400


class Static:
    """Files that are the same for every visitor, at an address that changes with their content."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}
        if EXAMPLE.is_file():
            self._files[EXAMPLE.name] = EXAMPLE.read_bytes()
        self._versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self._files.items()}

    def address(self, name: str) -> str:
        """Address of a file."""
        return f"/static/{name}?v={self._versions[name]}"

    @property
    def example(self) -> str | None:
        """Address of the example song; None where this installation has none."""
        return self.address(EXAMPLE.name) if EXAMPLE.name in self._files else None

    def response(self, name: str, request: web.Request) -> web.Response:
        """Make the response that has a file.

        Raises:
            web.HTTPNotFound: there is no file of that name.
        """
        content = self._files.get(name)
        if content is None:
            raise web.HTTPNotFound
        current = request.query.get("v") == self._versions[name]
        return web.Response(
            body=content,
            content_type="audio/ogg"
            if name == EXAMPLE.name
            else mimetypes.guess_type(name)[0] or "application/octet-stream",
            charset="utf-8" if name.endswith((".css", ".js")) else None,
            headers={"Cache-Control": f"private, max-age={YEAR_S}, immutable" if current else "no-cache"},
        )
