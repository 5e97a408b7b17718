"""Services that protect all of their songs (DRM), by the hosts of their links."""

from typing import Final

from yarl import URL

_SERVICES: Final = {
    "Spotify": ("spotify.com", "spotify.link", "spoti.fi", "spotify.app.link"),
    "Apple Music": ("music.apple.com", "itunes.apple.com", "itun.es"),
    "Deezer": ("deezer.com", "deezer.page.link", "dzr.page.link", "dzr.fm"),
    "TIDAL": ("tidal.com", "tidalhifi.com", "tidal.link"),
}
"""Hosts; those below them (`open.`, `geo.`, `listen.`) count too."""

_OPEN_HOSTS: Final = ("podcasters.spotify.com", "creators.spotify.com")
"""Podcasts' own pages: their files are not protected."""


def protecting_service(url: URL) -> str | None:
    """Give the name of the service that a link leads to, if it protects what it plays."""
    host = (url.host or "").lower().rstrip(".")
    if host in _OPEN_HOSTS or "podcast" in url.parts:
        return None
    for service, names in _SERVICES.items():
        if any(host == name or host.endswith(f".{name}") for name in names):
            return service
    return None
