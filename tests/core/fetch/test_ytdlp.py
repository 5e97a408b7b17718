"""Links: what a page, a stream or a file leads to, and what it may not lead to."""

import asyncio
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from yarl import URL

from core.errors import ErrorCode, GenreGenieError
from core.fetch.protected import protecting_service
from core.fetch.result import FetchedFile
from core.fetch.tempfiles import TemporaryFiles
from core.fetch.ytdlp import fetch_link
from core.i18n.catalog import error_sentence
from core.proxy.proxy import FetchProxy
from core.settings import Settings
from tests.core.fetch import media
from tests.core.fetch.addresses import DISGUISES
from tests.core.fetch.certificates import Authority
from tests.core.fetch.servers import Exchange, Server, running_server

MIB = 1024 * 1024

Fetch = Callable[..., "asyncio.Future[FetchedFile]"]


@pytest.fixture
def fetch(proxy: FetchProxy, settings: Settings, directory: Path) -> Fetch:
    return lambda url, **changes: asyncio.ensure_future(
        fetch_link(url, directory, proxy=proxy, settings=changes.pop("settings", settings), **changes)
    )


@pytest.fixture
def failure(fetch: Fetch) -> Callable[..., "asyncio.Future[ErrorCode]"]:
    """Code of the error that fetching ends in."""

    async def code(url: str, **changes: object) -> ErrorCode:
        with pytest.raises(GenreGenieError) as caught:
            await fetch(url, **changes)
        return caught.value.code

    return lambda url, **changes: asyncio.ensure_future(code(url, **changes))


Failure = Callable[..., "asyncio.Future[ErrorCode]"]


def publish(server: Server, folder: Path, prefix: str = "/") -> None:
    """Serve all files of a folder."""
    kinds = {".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml", ".ts": "video/mp2t"}
    for path in folder.iterdir():
        server.serve(prefix + path.name, path.read_bytes(), kinds.get(path.suffix, "application/octet-stream"))


def contents(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_a_direct_link_is_fetched_with_progress(server: Server, fetch: Fetch, song: bytes) -> None:
    progress: list[tuple[int, int | None]] = []
    url = server.serve("/my-song.mp3", song, "audio/mpeg")
    fetched = await fetch(url, on_progress=lambda received, total: progress.append((received, total)))
    assert fetched.path.read_bytes() == song
    assert fetched.title == "my-song"
    assert fetched.note is None
    assert progress
    assert progress[-1][1] == len(song)


async def unranged(exchange: Exchange, song: bytes) -> None:
    await exchange.media(song, ranges=False)


async def chunked(exchange: Exchange, song: bytes) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
    if exchange.method != "HEAD":
        for start in range(0, len(song), 7_000):
            piece = song[start : start + 7_000]
            await exchange.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await exchange.send(b"0\r\n\r\n")


async def until_closed(exchange: Exchange, song: bytes) -> None:
    await exchange.send(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n")
    if exchange.method != "HEAD":
        await exchange.send(song)
    exchange.writer.close()


async def slow(exchange: Exchange, song: bytes) -> None:
    await exchange.send(f"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {len(song)}\r\n\r\n".encode())
    if exchange.method != "HEAD":
        for start in range(0, len(song), 20_000):
            await exchange.send(song[start : start + 20_000])
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("behaviour", [unranged, chunked, until_closed, slow])
async def test_servers_of_all_kinds_give_the_whole_file(
    server: Server, fetch: Fetch, song: bytes, behaviour: Callable[[Exchange, bytes], object]
) -> None:
    server.routes["/song.mp3"] = lambda exchange: behaviour(exchange, song)  # type: ignore[assignment, return-value]
    assert (await fetch(server.url("/song.mp3"))).path.read_bytes() == song


async def test_a_chain_of_redirects_is_followed(server: Server, fetch: Fetch, song: bytes) -> None:
    server.serve("/song.mp3", song, "audio/mpeg")
    for number in range(5):
        server.redirect(f"/{number}", "/song.mp3" if number == 4 else f"/{number + 1}")
    assert (await fetch(server.url("/0"))).path.read_bytes() == song


@pytest.mark.parametrize(
    "page",
    [
        "<audio src='/song.mp3'></audio>",
        "<audio><source src='song.mp3' type='audio/mpeg'></audio>",
        "<video controls><source src='/song.mp3' type='audio/mpeg'></video>",
        '<script type="application/ld+json">{"@context": "https://schema.org", "@type": "AudioObject", "name": "An '
        'evening", "contentUrl": "{base}/song.mp3"}</script>',
        # Cut in the middle of an emoji, as sites do that count in UTF-16.
        '<script type="application/ld+json">{"@context": "https://schema.org", "@type": "AudioObject", "name": "An '
        'evening \\ud83d", "contentUrl": "{base}/song.mp3"}</script>',
    ],
)
async def test_a_page_gives_its_sound_and_its_title(server: Server, fetch: Fetch, song: bytes, page: str) -> None:
    server.serve("/song.mp3", song, "audio/mpeg")
    body = page.replace("{base}", server.url("").rstrip("/"))
    url = server.serve("/page", f"<html><head><title>An evening</title></head><body>{body}</body></html>")
    fetched = await fetch(url)
    assert fetched.path.read_bytes() == song
    assert fetched.title is not None
    assert fetched.title.startswith("An evening")


async def test_a_page_with_several_songs_gives_the_first_and_says_so(server: Server, fetch: Fetch, song: bytes) -> None:
    for name in ("first", "second", "third"):
        server.serve(f"/{name}.mp3", song, "audio/mpeg")
    players = "".join(f"<audio src='/{name}.mp3'></audio>" for name in ("first", "second", "third"))
    fetched = await fetch(server.serve("/page", f"<html><title>Album</title>{players}</html>"))
    assert fetched.note == "note.playlist-first"
    assert ("GET", "/first.mp3") in server.requests
    assert not {"/second.mp3", "/third.mp3"} & {target for _, target in server.requests}


async def test_an_hls_stream_is_put_together(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    publish(server, media.hls(tmp_path / "served").parent)
    fetched = await fetch(server.url("/song.m3u8"))
    assert media.duration(fetched.path) == pytest.approx(8.0, abs=0.3)


async def test_hls_gives_its_sound_alone_where_it_can(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    publish(server, media.hls(tmp_path / "served").parent)
    server.serve(
        "/master.m3u8",
        "#EXTM3U\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="sound",DEFAULT=YES,URI="song.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=5000000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,AUDIO="a"\n'
        "video.m3u8\n",
        "application/vnd.apple.mpegurl",
    )
    server.serve(
        "/video.m3u8",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:8,\nvideo.ts\n#EXT-X-ENDLIST\n",
        "application/vnd.apple.mpegurl",
    )
    fetched = await fetch(server.url("/master.m3u8"))
    assert media.duration(fetched.path) == pytest.approx(8.0, abs=0.3)
    assert "/video.ts" not in {target for _, target in server.requests}


async def test_dash_gives_the_cheapest_sound_that_serves(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    publish(server, media.dash(tmp_path / "served").parent)
    fetched = await fetch(server.url("/song.mpd"))
    assert media.duration(fetched.path) == pytest.approx(8.0, abs=0.3)
    targets = {target for _, target in server.requests}
    assert any("chunk-stream0" in target for target in targets)
    assert not any("chunk-stream1" in target for target in targets)  # the dearer one


async def test_a_relative_data_directory_serves(
    server: Server, proxy: FetchProxy, settings: Settings, song: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = server.serve("/song.mp3", song, "audio/mpeg")
    with TemporaryFiles(Path("data/tmp"), quota=MIB, min_free=0) as files, files.job(1) as directory:
        fetched = await fetch_link(url, directory, proxy=proxy, settings=settings)
        assert fetched.path.read_bytes() == song


async def test_https_goes_through_the_proxy_and_is_verified(
    settings: Settings, directory: Path, song: bytes, authority: Authority
) -> None:
    async with running_server(authority.server_context()) as secure:
        url = secure.serve("/song.mp3", song, "audio/mpeg")
        async with FetchProxy(allowed_hosts=[secure.host], ca_file=authority.certificate) as proxy:
            allowing = Settings.model_validate({**settings.model_dump(), "allowed_hosts": secure.host})
            fetched = await fetch_link(url, directory, proxy=proxy, settings=allowing)
            assert fetched.path.read_bytes() == song
            assert proxy.connections > 0
        (directory / "again").mkdir()
        async with FetchProxy(allowed_hosts=[secure.host]) as proxy:
            with pytest.raises(GenreGenieError) as caught:
                await fetch_link(url, directory / "again", proxy=proxy, settings=allowing)
            assert caught.value.code == "unavailable"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/x.amr", "audio/amr"),
        ("/x.wv", "audio/x-wavpack"),
        ("/x.aifc?download=1", "audio/x-aiff"),
        ("/x.exe", "audio/mpeg"),
        ("/song", "application/octet-stream"),
    ],
)
async def test_a_direct_file_of_any_name_is_taken(
    server: Server, fetch: Fetch, song: bytes, path: str, kind: str
) -> None:
    server.serve(path.partition("?")[0], song, kind)
    assert (await fetch(server.url(path))).path.read_bytes() == song


# What has no sound to give.


@pytest.mark.parametrize("path", ["/account/premium-gold/ticket", "/livestream/nsfw-remix/drm-test"])
async def test_a_pages_address_says_nothing_of_what_it_ended_as(server: Server, failure: Failure, path: str) -> None:
    page = "<html><title>Your account</title>Sign in to your private live stream.</html>"
    assert await failure(server.serve(path, page)) == "unsupported-link"


async def test_a_radio_station_is_known_by_its_headers(server: Server, failure: Failure, song: bytes) -> None:
    async def station(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\nicy-name: Radio\r\nicy-br: 64\r\n\r\n")
        while True:
            await exchange.send(song[:8_000])
            await asyncio.sleep(1.0)

    server.routes["/stream"] = station
    assert await failure(server.url("/stream")) == "live-stream"
    assert len(server.requests) == 1  # before anything is downloaded


@pytest.mark.slow
async def test_a_radio_station_is_known_by_its_pace(
    server: Server, failure: Failure, song: bytes, proxy: FetchProxy
) -> None:
    async def station(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
        burst = song * 3
        while True:
            await exchange.send(f"{len(burst):x}\r\n".encode() + burst + b"\r\n")
            burst = song[:4_000]
            await asyncio.sleep(0.5)

    server.routes["/stream"] = station
    assert await failure(server.url("/stream")) == "live-stream"
    assert proxy.bytes_in < 2 * MIB


@pytest.mark.parametrize(
    ("link", "service"),
    [
        ("https://open.spotify.com/intl-es/track/4uLU6hMCjMI75M1A2tKUQC?si=1", "Spotify"),
        ("https://spotify.link/abc", "Spotify"),
        ("https://OPEN.SPOTIFY.COM./embed/album/1", "Spotify"),
        ("https://music.apple.com/es/album/x/1?i=2", "Apple Music"),
        ("https://geo.music.apple.com/us/album/_/1", "Apple Music"),
        ("https://itunes.apple.com/us/album/x/id1", "Apple Music"),
        ("http://www.deezer.com/en/track/3135556", "Deezer"),
        ("https://link.deezer.com/s/1", "Deezer"),
        ("https://deezer.page.link/1", "Deezer"),
        ("https://listen.tidal.com/album/1/track/2", "TIDAL"),
        ("https://tidal.com/browse/track/1", "TIDAL"),
    ],
)
async def test_services_that_protect_their_songs_are_named_and_not_asked(
    fetch: Fetch, directory: Path, link: str, service: str
) -> None:
    with pytest.raises(GenreGenieError) as caught:
        await fetch(link)
    assert (caught.value.code, caught.value.params) == ("drm-protected", {"service": service})
    assert error_sentence(caught.value, "en").startswith(f"{service} protects")
    assert error_sentence(caught.value, "es").startswith(f"{service} protege")
    assert not os.listdir(directory)


@pytest.mark.parametrize(
    "link",
    [
        "https://podcasters.spotify.com/pod/show/x/episodes/y",
        "https://notspotify.com/track/1",
        "https://itunes.apple.com/us/podcast/x/id1",
        "https://podcasts.apple.com/us/podcast/x/id1",
        "https://example.com/open.spotify.com/track/1",
    ],
)
def test_what_only_looks_like_such_a_service_is_none(link: str) -> None:
    assert protecting_service(URL(link)) is None


async def test_a_page_without_sound_is_unsupported(server: Server, failure: Failure) -> None:
    assert await failure(server.serve("/", "<html><title>News</title>No audio here.</html>")) == "unsupported-link"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "login-required"), (402, "not-public"), (403, "unavailable"), (404, "unavailable"), (410, "unavailable")]
    + [(451, "region-blocked"), (500, "unavailable"), (503, "unavailable")],
)
async def test_a_refusing_servers_status_decides_the_error(
    server: Server, failure: Failure, status: int, code: str
) -> None:
    server.routes["/"] = lambda exchange: exchange.respond(b"no", status=status)
    assert await failure(server.url()) == code


async def test_a_loop_of_redirects_ends(server: Server, failure: Failure) -> None:
    server.redirect("/a", "/b")
    server.redirect("/b", "/a")
    assert await failure(server.url("/a")) == "unavailable"
    assert len(server.requests) < 200


async def test_a_live_stream_is_not_waited_for(server: Server, failure: Failure, tmp_path: Path) -> None:
    folder = media.hls(tmp_path / "served").parent
    publish(server, folder)
    endless = (folder / "song.m3u8").read_text("utf-8").replace("#EXT-X-ENDLIST", "").replace("VOD", "EVENT")
    server.serve("/live.m3u8", endless, "application/vnd.apple.mpegurl")
    assert await failure(server.url("/live.m3u8")) == "live-stream"


async def test_protected_hls_is_drm_protected(server: Server, failure: Failure) -> None:
    server.serve(
        "/protected.m3u8",
        '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery"\n'
        "#EXTINF:10,\nsong.ts\n#EXT-X-ENDLIST\n",
        "application/vnd.apple.mpegurl",
    )
    assert await failure(server.url("/protected.m3u8")) == "drm-protected"


async def test_protected_dash_is_drm_protected(server: Server, failure: Failure, tmp_path: Path) -> None:
    folder = media.dash(tmp_path / "served").parent
    publish(server, folder)
    plain = (folder / "song.mpd").read_text("utf-8")
    mark = '<ContentProtection schemeIdUri="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"/>'
    server.serve("/protected.mpd", plain.replace("<SegmentTemplate", f"{mark}<SegmentTemplate"), "application/dash+xml")
    assert await failure(server.url("/protected.mpd")) == "drm-protected"


@pytest.mark.parametrize("duration", ["PT45M", "PT99999999999S"])
async def test_a_song_over_the_longest_is_refused_before_its_body(
    server: Server, failure: Failure, song: bytes, duration: str
) -> None:
    server.serve("/song.mp3", song, "audio/mpeg")
    start = '{"@context": "https://schema.org", "@type": "AudioObject", "name": "Long", '
    start += f'"duration": "{duration}", '
    page = f'<script type="application/ld+json">{start}"contentUrl": "{server.url("/song.mp3")}"}}</script>'
    assert await failure(server.serve("/page", f"<html><head>{page}</head></html>")) == "too-long"


@pytest.mark.parametrize("length", [900_000_000, 2 * 10**15])
async def test_a_length_over_the_limit_is_refused_at_once(
    server: Server, failure: Failure, proxy: FetchProxy, make: Callable[..., Settings], length: int
) -> None:
    async def boast(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {length}\r\n\r\n"
        await exchange.send(head.encode())
        if exchange.method != "HEAD":
            while True:
                await exchange.send(b"x" * 65536)
                await asyncio.sleep(0.01)

    server.routes["/big.mp3"] = boast
    assert await failure(server.url("/big.mp3"), settings=make(max_file_mb=1)) == "too-large"
    assert proxy.bytes_in < 40 * MIB


async def test_an_endless_file_is_cut_at_the_limit(
    server: Server, failure: Failure, make: Callable[..., Settings], directory: Path
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n")
        while True:
            await exchange.send(b"\xff\xfb" * 32768)

    server.routes["/endless.mp3"] = endless
    assert await failure(server.url("/endless.mp3"), settings=make(max_file_mb=2)) == "too-large"
    assert sum(path.stat().st_size for path in (directory / "out").iterdir()) <= 3 * MIB


async def test_a_file_that_breaks_off_is_unavailable(server: Server, failure: Failure, song: bytes) -> None:
    async def short(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {len(song)}\r\n\r\n"
        await exchange.send(head.encode() + (b"" if exchange.method == "HEAD" else song[:9000]))
        exchange.writer.close()

    server.routes["/short.mp3"] = short
    assert await failure(server.url("/short.mp3")) == "unavailable"


async def test_hls_with_a_missing_piece_is_unavailable(server: Server, failure: Failure, tmp_path: Path) -> None:
    publish(server, media.hls(tmp_path / "served").parent)
    del server.routes["/song2.ts"]
    assert await failure(server.url("/song.m3u8")) == "unavailable"


async def test_a_compressed_page_that_swells_is_given_up(server: Server, failure: Failure, proxy: FetchProxy) -> None:
    bomb = gzip.compress(b"<html>") + gzip.compress(b" " * (16 * MIB)) * 128  # 2 GiB
    server.routes["/"] = lambda exchange: exchange.respond(bomb, headers={"Content-Encoding": "gzip"})
    assert await failure(server.url()) == "unsupported-link"


async def test_a_page_that_never_ends_is_given_up(
    server: Server, failure: Failure, make: Callable[..., Settings]
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>")
        while True:
            await exchange.send(b"<p>" * 20_000)

    server.routes["/"] = endless
    assert await failure(server.url(), settings=make(max_file_mb=2)) == "too-large"


async def test_a_title_that_never_ends_is_given_up(server: Server, failure: Failure) -> None:
    page = f"<html><title>{'a' * 3_000_000}</title><audio src='/song.mp3'></audio></html>"
    assert await failure(server.serve("/", page)) == "unsupported-link"


async def test_a_title_cannot_forge_lines(server: Server, fetch: Fetch, song: bytes) -> None:
    server.serve("/song.mp3", song, "audio/mpeg")
    title = "one&#10;{&quot;song&quot;: {}}&#27;[2J&#8238;two"
    fetched = await fetch(server.serve("/", f"<html><title>{title}</title><audio src='/song.mp3'></audio></html>"))
    assert fetched.title is not None
    assert fetched.title.isprintable()


async def test_playlists_within_playlists_end(server: Server, failure: Failure) -> None:
    for number in range(50):
        page = f"<rss><channel><title>x</title><item><link>{server.url(f'/{number + 1}')}</link></item></channel></rss>"
        server.serve(f"/{number}", page, "application/rss+xml")
    server.serve("/50", f"<rss><channel><item><link>{server.url('/0')}</link></item></channel></rss>", "text/xml")
    code = await failure(server.url("/0"))
    assert code in ("unsupported-link", "unavailable", "timeout", "too-large")


# Where no link may lead.


@pytest.mark.parametrize("form", DISGUISES)
async def test_a_disguised_address_starts_nothing(
    fetch: Fetch, failure: Failure, forbidden: Server, directory: Path, form: str
) -> None:
    assert await failure(form.format(port=forbidden.port)) in ("blocked-address", "unsupported-link")
    assert not os.listdir(directory)


@pytest.mark.parametrize("link", ["ytsearch:house", "song.mp3", "/etc/passwd", "-U", "--exec=id", "http://", "", "\0"])
async def test_what_is_no_address_starts_nothing(failure: Failure, directory: Path, link: str) -> None:
    assert await failure(link) == "unsupported-link"
    assert not os.listdir(directory)


async def test_yt_dlps_own_notes_are_not_taken_from_a_stranger(server: Server, failure: Failure) -> None:
    assert await failure(server.url("/song.mp3#__youtubedl_smuggle=%7B%7D")) == "unsupported-link"


async def test_a_redirect_to_a_private_address_is_blocked(server: Server, forbidden: Server, failure: Failure) -> None:
    server.redirect("/song.mp3", forbidden.url("/song.mp3"))
    assert await failure(server.url("/song.mp3")) == "blocked-address"


async def test_a_page_that_embeds_a_private_address_is_blocked(
    server: Server, forbidden: Server, failure: Failure
) -> None:
    page = f"<html><title>x</title><audio src='{forbidden.url('/song.mp3')}'></audio></html>"
    assert await failure(server.serve("/", page)) == "blocked-address"


@pytest.mark.parametrize("place", ["piece", "key", "map", "variant", "sound"])
async def test_a_stream_that_leads_to_a_private_address_is_blocked(
    server: Server, forbidden: Server, failure: Failure, place: str
) -> None:
    inside = forbidden.url("/song.ts")
    server.serve("/good.ts", b"\x47" + b"\0" * 187, "video/mp2t")
    start, end = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n", "#EXTINF:9,\ngood.ts\n#EXT-X-ENDLIST\n"
    texts = {
        "piece": f"{start}#EXTINF:9,\n{inside}\n#EXT-X-ENDLIST\n",
        "key": f'{start}#EXT-X-KEY:METHOD=AES-128,URI="{inside}"\n{end}',
        "map": f'{start}#EXT-X-MAP:URI="{inside}"\n{end}',
        "variant": f'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"\n{inside}\n',
        "sound": '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="s",URI="' + inside + '"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="avc1.640028,mp4a.40.2",AUDIO="a"\nvideo.m3u8\n',
    }
    assert await failure(server.serve("/song.m3u8", texts[place], "application/vnd.apple.mpegurl")) == "blocked-address"


async def test_a_dash_manifest_that_leads_to_a_private_address_is_blocked(
    server: Server, forbidden: Server, failure: Failure, tmp_path: Path
) -> None:
    plain = media.dash(tmp_path / "served").read_text("utf-8")
    inside = plain.replace("<Period", f"<BaseURL>{forbidden.url()}</BaseURL><Period", 1)
    assert await failure(server.serve("/song.mpd", inside, "application/dash+xml")) == "blocked-address"


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "concat:/etc/passwd", "rtmp://127.0.0.1:{port}/x"])
async def test_a_playlist_that_names_another_scheme_gives_nothing_of_it(
    server: Server, forbidden: Server, failure: Failure, directory: Path, scheme: str
) -> None:
    entry = scheme.format(port=forbidden.port)
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{entry}\n#EXT-X-ENDLIST\n"
    code = await failure(server.serve("/song.m3u8", text, "application/vnd.apple.mpegurl"))
    assert code in ("unavailable", "unsupported-link", "blocked-address")
    assert b"root:" not in contents(directory)
