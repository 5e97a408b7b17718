"""The proxy: what it refuses, what it bounds, what it counts."""

import asyncio
import base64
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator

import pytest

from core.proxy.http_streams import EVENTS_PER_TURN, FREE_CHUNKS
from core.proxy.lease import MAX_OPEN, ProxyLease
from core.proxy.networks import NAT64_NAME
from core.proxy.proxy import FetchProxy
from core.proxy.url_policy import Refusal, RefusedError, is_local, is_public, parse_url
from tests.core.fetch.addresses import ADDRESSES, DISGUISES
from tests.core.fetch.servers import Exchange, Server, running_server

MIB = 1024 * 1024


@pytest.fixture
async def lease(proxy: FetchProxy) -> AsyncIterator[ProxyLease]:
    async with proxy.lease(max_bytes=MIB) as leased:
        yield leased


def authorization(proxy: FetchProxy, lease: ProxyLease) -> str:
    assert lease.secret in proxy.url_with_secret(lease)
    return "Proxy-Authorization: Basic " + base64.b64encode(f"any:{lease.secret}".encode()).decode()


async def request(proxy: FetchProxy, lease: ProxyLease, first_line: str, *headers: str, body: str = "") -> bytes:
    """Send a request just as written, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    head = "\r\n".join([first_line, authorization(proxy, lease), *headers])
    writer.write(f"{head}\r\n\r\n{body}".encode("utf-8", "surrogateescape"))
    response = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            response = await reader.read(-1)
    writer.close()
    return response


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1]) if response else 0


def get(url: str) -> str:
    return f"GET {url} HTTP/1.1"


async def test_the_allowed_host_is_reached_and_counted(proxy: FetchProxy, lease: ProxyLease, server: Server) -> None:
    server.serve("/song", b"x" * 1000, "audio/mpeg")
    response = await request(proxy, lease, get(server.url("/song")), "Host: whatever")
    assert status(response) == 200
    assert response.endswith(b"x" * 1000)
    assert proxy.connections == 1
    assert proxy.bytes_in > 1000
    assert proxy.bytes_out > 0
    assert not proxy.refusals


@pytest.mark.parametrize("host", ADDRESSES)
async def test_an_address_that_is_not_public_is_refused(
    proxy: FetchProxy, lease: ProxyLease, forbidden: Server, host: str
) -> None:
    for port in (forbidden.port, 80, 443):
        plain = await request(proxy, lease, get(f"http://{host}:{port}/"), "Host: x")
        tunnel = await request(proxy, lease, f"CONNECT {host}:{port} HTTP/1.1", "Host: x")
        assert status(plain) == status(tunnel) == 403
    assert proxy.connections == 0
    assert proxy.refusals == {Refusal.ADDRESS: 6}


@pytest.mark.parametrize("form", DISGUISES)
async def test_a_disguised_address_is_refused(
    proxy: FetchProxy, lease: ProxyLease, forbidden: Server, form: str
) -> None:
    url = form.format(port=forbidden.port)
    response = await request(proxy, lease, get(url), "Host: public.example")
    assert status(response) in (0, 400, 403)
    with pytest.raises(RefusedError):
        parse_url(url, ())
    assert proxy.connections == 0


def test_there_are_at_least_sixty_forms() -> None:
    assert len(set(ADDRESSES)) + len(set(DISGUISES)) >= 60


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e", "172.32.0.1"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_public_is_never_more_than_the_standard_library_says() -> None:
    # One address in each /16 of IPv4: ours may refuse more than `is_global`, never less.
    for high in range(256):
        for low in range(256):
            address = ipaddress.IPv4Address(f"{high}.{low}.77.5")
            assert address.is_global or not is_public(address)


def test_this_machines_own_addresses_are_recognised() -> None:
    assert is_local(ipaddress.ip_address("127.0.0.1"))
    assert not is_local(ipaddress.ip_address("93.184.216.34"))


@pytest.mark.parametrize("port", [1, 21, 22, 25, 81, 3128, 6379, 8080, 65535])
async def test_other_ports_are_refused(proxy: FetchProxy, lease: ProxyLease, port: int) -> None:
    assert status(await request(proxy, lease, get(f"http://93.184.216.34:{port}/"), "Host: x")) == 403
    assert status(await request(proxy, lease, f"CONNECT 93.184.216.34:{port} HTTP/1.1", "Host: x")) == 403
    assert proxy.refusals == {Refusal.PORT: 2}


async def test_a_request_without_the_secret_gets_nothing(proxy: FetchProxy, lease: ProxyLease, server: Server) -> None:
    for header in (
        "X: y",
        "Proxy-Authorization: Basic bm86",
        "Proxy-Authorization: Basic %%%",
        "Proxy-Authorization: Bearer x",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"{get(server.url())}\r\nHost: x\r\n{header}\r\n\r\n".encode())
        assert status(await reader.read(-1)) == 407
        writer.close()
    assert server.connections == 0
    assert proxy.refusals == {Refusal.SECRET: 4}
    assert not lease.refusals


async def test_a_lease_is_worthless_after_its_job(proxy: FetchProxy, server: Server) -> None:
    async with proxy.lease(max_bytes=MIB) as lease:
        pass
    assert status(await request(proxy, lease, get(server.url()), "Host: x")) == 407
    assert server.connections == 0


async def test_the_end_of_a_job_cuts_its_connections(proxy: FetchProxy, server: Server) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.sleep(600)

    server.routes["/"] = endless
    async with proxy.lease(max_bytes=MIB) as lease:
        pending = asyncio.create_task(request(proxy, lease, get(server.url()), "Host: x"))
        await server.wait_for_requests()
    async with asyncio.timeout(30):
        await pending


async def test_the_secret_does_not_reach_the_server(proxy: FetchProxy, lease: ProxyLease, server: Server) -> None:
    seen: dict[str, str] = {}

    async def note(exchange: Exchange) -> None:
        seen.update(exchange.headers)
        await exchange.respond()

    server.routes["/"] = note
    await request(proxy, lease, get(server.url()), "Host: x", "Proxy-Connection: keep-alive", "X-Kept: yes")
    assert seen["x-kept"] == "yes"
    assert seen["host"] == server.host
    assert not any(name.startswith("proxy-") for name in seen)
    assert lease.secret not in str(seen)


async def test_a_second_request_on_the_same_connection_goes_nowhere(
    proxy: FetchProxy, lease: ProxyLease, server: Server, forbidden: Server
) -> None:
    server.serve("/", "first")
    second = f"GET {forbidden.url()} HTTP/1.1\r\nHost: {forbidden.host}\r\n{authorization(proxy, lease)}\r\n\r\n"
    response = await request(proxy, lease, get(server.url()), "Host: x", body=second)
    assert b"secrets" not in response
    assert server.requests == [("GET", "/")]


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: x", "Content-Length: 5", "Content-Length: 60"),
        ("Host: x", "Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Host: x", "Transfer-Encoding: gzip, chunked"),
        ("Host: x", "Content-Length: -1"),
        ("Host: x", "Host: y"),
        ("Host: x", "X : y"),
        ("Host: x", " folded: y"),
    ],
)
async def test_a_request_that_two_readers_would_cut_differently_never_carries_a_second_one(
    proxy: FetchProxy, lease: ProxyLease, server: Server, headers: tuple[str, ...]
) -> None:
    smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    await request(proxy, lease, f"POST {server.url()} HTTP/1.1", *headers, body=smuggled)
    assert not any("smuggled" in target for _, target in server.requests)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS", "PATCH"])
async def test_methods_that_fetching_does_not_need_are_refused(
    proxy: FetchProxy, lease: ProxyLease, server: Server, method: str
) -> None:
    assert status(await request(proxy, lease, f"{method} {server.url()} HTTP/1.1", "Host: x")) == 400
    assert server.connections == 0


async def test_junk_and_endless_heads_are_refused(proxy: FetchProxy, server: Server) -> None:
    for junk in (
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200_000,
        b"\x16\x03\x01\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(junk)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                assert status(await reader.read(-1)) in (0, 400)
        writer.close()
    assert server.connections == 0


async def test_a_post_is_carried_whole(proxy: FetchProxy, lease: ProxyLease, server: Server) -> None:
    bodies = []

    async def keep(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        await exchange.respond(b"thanks")

    server.routes["/api"] = keep
    response = await request(
        proxy, lease, f"POST {server.url('/api')} HTTP/1.1", "Host: x", "Content-Length: 4", body="song"
    )
    assert response.endswith(b"thanks")
    assert bodies == [b"song"]


async def test_a_tunnel_carries_bytes_both_ways(proxy: FetchProxy, lease: ProxyLease, server: Server) -> None:
    server.serve("/", "through the tunnel")
    inner = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    response = await request(proxy, lease, f"CONNECT {server.host} HTTP/1.1", "Host: x", body=inner)
    assert response.startswith(b"HTTP/1.1 200")
    assert response.endswith(b"through the tunnel")


@pytest.mark.parametrize("tunnel", [False, True])
async def test_an_endless_stream_is_cut_at_the_jobs_bytes(
    proxy: FetchProxy, lease: ProxyLease, server: Server, tunnel: bool
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await exchange.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    server.routes["/"] = endless
    if tunnel:
        inner = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        response = await request(proxy, lease, f"CONNECT {server.host} HTTP/1.1", "Host: x", body=inner)
    else:
        response = await request(proxy, lease, get(server.url()), "Host: x")
        assert not response.endswith(b"0\r\n\r\n")  # broken off, not ended
    assert len(response) < 1.2 * MIB
    assert lease.refusals == {Refusal.BYTES: 1}


async def test_bytes_are_counted_over_all_connections_of_a_job(
    proxy: FetchProxy, lease: ProxyLease, server: Server
) -> None:
    server.serve("/", b"x" * (MIB // 2))
    responses = [await request(proxy, lease, get(server.url()), "Host: x") for _ in range(3)]
    assert [len(response) > MIB // 2 for response in responses] == [True, False, False]


async def test_connections_of_a_job_are_counted(proxy: FetchProxy, server: Server) -> None:
    server.serve("/", "hello")
    async with proxy.lease(max_bytes=MIB, max_connections=2) as lease:
        responses = [await request(proxy, lease, get(server.url()), "Host: x") for _ in range(3)]
    assert [status(response) for response in responses] == [200, 200, 429]


async def test_a_silent_server_is_given_up(server: Server) -> None:
    async def silent(exchange: Exchange) -> None:
        await asyncio.sleep(600)

    server.routes["/"] = silent
    async with (
        FetchProxy(allowed_hosts=[server.host], idle_seconds=0.2) as proxy,
        proxy.lease(max_bytes=MIB) as lease,
    ):
        assert status(await request(proxy, lease, get(server.url()), "Host: x")) == 504
        assert lease.refusals == {Refusal.TIME: 1}


async def test_a_server_that_dribbles_is_cut_in_the_end(server: Server) -> None:
    async def dribble(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await exchange.send(b"x")
            await asyncio.sleep(0.02)

    server.routes["/"] = dribble
    async with (
        FetchProxy(allowed_hosts=[server.host], max_seconds_per_connection=0.5) as proxy,
        proxy.lease(max_bytes=MIB) as lease,
    ):
        await request(proxy, lease, get(server.url()), "Host: x")
        assert lease.refusals == {Refusal.TIME: 1}


async def test_a_server_that_does_not_speak_http_is_unreachable(
    proxy: FetchProxy, lease: ProxyLease, server: Server
) -> None:
    server.routes["/"] = lambda exchange: exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\nmusic for ever")
    assert status(await request(proxy, lease, get(server.url()), "Host: x")) == 502
    assert lease.refusals == {Refusal.UNREACHABLE: 1}


async def test_a_body_shorter_than_announced_arrives_broken(
    proxy: FetchProxy, lease: ProxyLease, server: Server
) -> None:
    async def short(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        exchange.writer.close()

    server.routes["/"] = short
    response = await request(proxy, lease, get(server.url()), "Host: x")
    assert b"100" in response
    assert len(response.partition(b"\r\n\r\n")[2]) < 100


async def test_a_name_is_resolved_once_and_only_its_public_addresses_count(forbidden: Server) -> None:
    resolved = []

    async def rebinding(host: str) -> list[str]:
        # The first answer is allowed, every later one is not: a proxy that resolves twice connects to it.
        resolved.append(host)
        return ["192.0.2.1", "127.0.0.1"] if len(resolved) > 1 else ["127.0.0.1", "::1", "10.0.0.1"]

    async with FetchProxy(resolver=rebinding) as proxy, proxy.lease(max_bytes=MIB) as lease:
        assert status(await request(proxy, lease, get("http://rebind.example/"), "Host: x")) == 403
        assert resolved == ["rebind.example"]
        assert status(await request(proxy, lease, "CONNECT rebind.example:443 HTTP/1.1", "Host: x")) == 403
        assert resolved == ["rebind.example"] * 2
        assert lease.refusals == {Refusal.ADDRESS: 2}


async def test_the_connection_goes_to_the_address_that_was_checked(server: Server) -> None:
    responses = [["127.0.0.1"], ["127.0.0.9"]]

    async def rebinding(host: str) -> list[str]:
        return responses.pop(0)

    server.serve("/", "the first address's server")
    host = f"music.example:{server.port}"
    async with (
        FetchProxy(allowed_hosts=[host], resolver=rebinding) as proxy,
        proxy.lease(max_bytes=MIB) as lease,
    ):
        response = await request(proxy, lease, get(f"http://{host}/"), "Host: x")
    assert response.endswith(b"the first address's server")
    assert responses == [["127.0.0.9"]]


async def test_an_allowed_name_allows_neither_its_address_nor_another_name_for_it(
    server: Server, forbidden: Server
) -> None:
    async def resolve(host: str) -> list[str]:
        return ["127.0.0.1"]

    host = f"music.example:{forbidden.port}"
    async with (
        FetchProxy(allowed_hosts=[host], resolver=resolve) as proxy,
        proxy.lease(max_bytes=MIB) as lease,
    ):
        for other in (
            forbidden.host,
            f"other.example:{forbidden.port}",
            "music.example:80",
            "music.example:22",
        ):
            assert status(await request(proxy, lease, get(f"http://{other}/"), "Host: x")) == 403


@pytest.mark.parametrize(
    ("answer", "outside"),
    [
        (socket.gaierror(socket.EAI_NONAME, "there is none"), True),
        (socket.gaierror(socket.EAI_AGAIN, "no answer"), False),
        (TimeoutError(), False),
    ],
)
async def test_without_an_answer_about_a_nat64_no_ipv6_address_is_known_to_be_outside(
    answer: Exception, outside: bool
) -> None:
    async def resolve(host: str) -> list[str]:
        if host == NAT64_NAME:
            raise answer
        return ["93.184.217.20", "2a00:1450:4002::20"]

    async with FetchProxy(resolver=resolve) as proxy:
        found = await proxy._addresses(parse_url("http://song.example/", ()))
        assert [address.version for address in found] == ([4, 6] if outside else [4])


@pytest.mark.parametrize("failure", [OSError(), ValueError()])
async def test_a_name_that_does_not_resolve_is_counted_as_such(failure: Exception) -> None:
    async def resolve(host: str) -> list[str]:
        raise failure

    async with FetchProxy(resolver=resolve) as proxy, proxy.lease(max_bytes=MIB) as lease:
        assert status(await request(proxy, lease, get("http://gone.example/"), "Host: x")) == 502
        assert lease.refusals == {Refusal.NAME: 1}


async def test_without_a_resolver_the_system_resolves() -> None:
    async with FetchProxy() as proxy, proxy.lease(max_bytes=MIB) as lease:
        # `.invalid` never resolves (RFC 6761).
        assert status(await request(proxy, lease, get("http://nowhere.invalid/"), "Host: x")) == 502
        assert lease.refusals == {Refusal.NAME: 1}


async def test_closing_leaves_no_connection(server: Server) -> None:
    async def endless(exchange: Exchange) -> None:
        await asyncio.sleep(600)

    server.routes["/"] = endless
    proxy = FetchProxy(allowed_hosts=[server.host])
    await proxy.start()
    async with proxy.lease(max_bytes=MIB) as lease:
        pending = asyncio.create_task(request(proxy, lease, get(server.url()), "Host: x"))
        await server.wait_for_requests()
        port = proxy.port
        await proxy.close()
        async with asyncio.timeout(30):
            await pending
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_more_connections_than_there_may_be_at_once_are_turned_away() -> None:
    async with running_server() as server:

        async def wait(exchange: Exchange) -> None:
            await asyncio.sleep(600)

        server.routes["/"] = wait
        async with (
            FetchProxy(allowed_hosts=[server.host], max_connections=2) as proxy,
            proxy.lease(max_bytes=MIB) as lease,
        ):
            first = [asyncio.create_task(request(proxy, lease, get(server.url()), "Host: x")) for _ in range(2)]
            await server.wait_for_requests(2)
            assert await request(proxy, lease, get(server.url()), "Host: x") == b""
            assert proxy.refusals == {Refusal.CONNECTIONS: 1}
        await asyncio.gather(*first)


@pytest.mark.parametrize("parts", [(b"ICY 200 OK\r\n",), (b"I", b"CY 200 OK\r\n")], ids=["whole", "in parts"])
async def test_a_radio_stations_own_status_line_is_understood(server: Server, parts: tuple[bytes, ...]) -> None:
    async def station(exchange: Exchange) -> None:
        for part in (*parts, b"icy-name: Night\r\n\r\nmusic"):
            await exchange.send(part)
            await asyncio.sleep(0.02)

    server.routes["/"] = station
    async with FetchProxy(allowed_hosts=[server.host]) as proxy, proxy.lease(max_bytes=MIB) as lease:
        answer = await request(proxy, lease, get(server.url()), "Host: x")
    assert status(answer) == 200
    assert b"icy-name: Night" in answer
    assert b"music" in answer


async def dribble(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(0.05)


async def test_a_job_whose_servers_dribble_is_given_up_whatever_it_asks_next(server: Server) -> None:
    server.routes["/"] = dribble
    server.serve("/song", "music")
    async with FetchProxy(allowed_hosts=[server.host], patience_seconds=1) as proxy:
        async with proxy.lease(max_bytes=MIB) as lease:
            # One after the other, each in time, as a playlist's segments would.
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                head = f"{get(server.url())}\r\nHost: x\r\n{authorization(proxy, lease)}\r\n\r\n"
                writer.write(head.encode())
                await reader.read(1)
                await asyncio.sleep(0.1)
                writer.transport.abort()
                if lease.refusals:
                    break
            assert set(lease.refusals) == {Refusal.TIME}
            assert status(await request(proxy, lease, get(server.url("/song")), "Host: x")) == 504
        async with proxy.lease(max_bytes=MIB) as lease:
            assert status(await request(proxy, lease, get(server.url("/song")), "Host: x")) == 200


async def test_bytes_that_come_buy_time(server: Server) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 81920\r\n\r\n")
        for _ in range(20):
            await exchange.send(bytes(4_096))
            await asyncio.sleep(0.1)

    server.routes["/"] = slow
    async with (
        FetchProxy(allowed_hosts=[server.host], patience_seconds=1.5) as proxy,
        proxy.lease(max_bytes=MIB) as lease,
    ):
        response = await request(proxy, lease, get(server.url()), "Host: x")
        assert len(response.partition(b"\r\n\r\n")[2]) == 81_920
        assert not lease.refusals


@pytest.mark.parametrize(
    ("head", "frame", "count", "refused"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 200_000, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"20\r\n%s\r\n" % bytes(32), 6_000, False),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 100_000, True),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 3, False),
    ],
    ids=["chunks of one byte", "small chunks", "a flood of interim responses", "hints"],
)
async def test_frames_with_nothing_in_them_are_given_up_and_others_have_their_turn(
    server: Server, head: bytes, frame: bytes, count: int, refused: bool
) -> None:
    async def flood(exchange: Exchange) -> None:
        await exchange.send(head + frame * count + (b"0\r\n\r\n" if head else b"HTTP/1.1 204 No Content\r\n\r\n"))

    async def other_connections(turns: list[None]) -> None:
        while True:
            await asyncio.sleep(0)
            turns.append(None)

    server.routes["/"] = flood
    async with FetchProxy(allowed_hosts=[server.host]) as proxy, proxy.lease(max_bytes=8 * MIB) as lease:
        turns: list[None] = []
        other = asyncio.create_task(other_connections(turns))
        response = await request(proxy, lease, get(server.url()), "Host: x")
        other.cancel()
        assert bool(lease.refusals) is refused
        assert lease.refusals == ({Refusal.UNREACHABLE: 1} if refused else {})
        assert len(response) < 2 * FREE_CHUNKS or not refused
        if head:
            assert len(turns) > FREE_CHUNKS // EVENTS_PER_TURN


async def test_one_job_cannot_hold_every_connection(server: Server) -> None:
    async def wait(exchange: Exchange) -> None:
        await asyncio.sleep(600)

    server.routes["/wait"] = wait
    server.serve("/", "hello")
    async with FetchProxy(allowed_hosts=[server.host]) as proxy, proxy.lease(max_bytes=MIB) as lease:
        held = [
            asyncio.create_task(request(proxy, lease, get(server.url("/wait")), "Host: x")) for _ in range(MAX_OPEN)
        ]
        await server.wait_for_requests(MAX_OPEN)
        assert status(await request(proxy, lease, get(server.url()), "Host: x")) == 429
        async with proxy.lease(max_bytes=MIB) as another:
            assert status(await request(proxy, another, get(server.url()), "Host: x")) == 200
    await asyncio.gather(*held)
