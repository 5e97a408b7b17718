"""The proxy: what it refuses, what it bounds, what it counts."""

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import AsyncIterator

import pytest

from core.fetch.address import Refusal, RefusedError, is_own, is_public, parse_url
from core.fetch.egress import Egress, Permit
from tests.fetch.addresses import ADDRESSES, DISGUISES
from tests.fetch.servers import Exchange, Server, running_server

MIB = 1024 * 1024


@pytest.fixture
async def permit(egress: Egress) -> AsyncIterator[Permit]:
    async with egress.permit(max_bytes=MIB) as granted:
        yield granted


def authorization(egress: Egress, permit: Permit) -> str:
    assert permit.secret in egress.url_with_secret(permit)
    return "Proxy-Authorization: Basic " + base64.b64encode(f"any:{permit.secret}".encode()).decode()


async def ask(egress: Egress, permit: Permit, first_line: str, *headers: str, body: str = "") -> bytes:
    """Send a request just as written, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", egress.port)
    head = "\r\n".join([first_line, authorization(egress, permit), *headers])
    writer.write(f"{head}\r\n\r\n{body}".encode("utf-8", "surrogateescape"))
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            answer = await reader.read(-1)
    writer.close()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def get(url: str) -> str:
    return f"GET {url} HTTP/1.1"


async def test_the_allowed_host_is_reached_and_counted(egress: Egress, permit: Permit, server: Server) -> None:
    server.serve("/song", b"x" * 1000, "audio/mpeg")
    answer = await ask(egress, permit, get(server.url("/song")), "Host: whatever")
    assert status(answer) == 200
    assert answer.endswith(b"x" * 1000)
    assert egress.connections == 1
    assert egress.bytes_in > 1000
    assert egress.bytes_out > 0
    assert not egress.refusals


@pytest.mark.parametrize("host", ADDRESSES)
async def test_an_address_that_is_not_public_is_refused(
    egress: Egress, permit: Permit, forbidden: Server, host: str
) -> None:
    for port in (forbidden.port, 80, 443):
        plain = await ask(egress, permit, get(f"http://{host}:{port}/"), "Host: x")
        tunnel = await ask(egress, permit, f"CONNECT {host}:{port} HTTP/1.1", "Host: x")
        assert status(plain) == status(tunnel) == 403
    assert egress.connections == 0
    assert egress.refusals == {Refusal.ADDRESS: 6}


@pytest.mark.parametrize("form", DISGUISES)
async def test_a_disguised_address_is_refused(egress: Egress, permit: Permit, forbidden: Server, form: str) -> None:
    url = form.format(port=forbidden.port)
    answer = await ask(egress, permit, get(url), "Host: public.example")
    assert status(answer) in (0, 400, 403)
    with pytest.raises(RefusedError):
        parse_url(url, ())
    assert egress.connections == 0


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


def test_this_machines_own_addresses_are_known_without_being_asked() -> None:
    assert is_own(ipaddress.ip_address("127.0.0.1"))
    assert not is_own(ipaddress.ip_address("93.184.216.34"))


@pytest.mark.parametrize("port", [1, 21, 22, 25, 81, 3128, 6379, 8080, 65535])
async def test_other_ports_are_refused(egress: Egress, permit: Permit, port: int) -> None:
    assert status(await ask(egress, permit, get(f"http://93.184.216.34:{port}/"), "Host: x")) == 403
    assert status(await ask(egress, permit, f"CONNECT 93.184.216.34:{port} HTTP/1.1", "Host: x")) == 403
    assert egress.refusals == {Refusal.PORT: 2}


async def test_a_request_without_the_secret_gets_nothing(egress: Egress, permit: Permit, server: Server) -> None:
    for header in (
        "X: y",
        "Proxy-Authorization: Basic bm86",
        "Proxy-Authorization: Basic %%%",
        "Proxy-Authorization: Bearer x",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", egress.port)
        writer.write(f"{get(server.url())}\r\nHost: x\r\n{header}\r\n\r\n".encode())
        assert status(await reader.read(-1)) == 407
        writer.close()
    assert server.connections == 0
    assert egress.refusals == {Refusal.SECRET: 4}
    assert not permit.refusals


async def test_a_permit_is_worthless_after_its_job(egress: Egress, server: Server) -> None:
    async with egress.permit(max_bytes=MIB) as permit:
        pass
    assert status(await ask(egress, permit, get(server.url()), "Host: x")) == 407
    assert server.connections == 0


async def test_the_end_of_a_job_cuts_its_connections(egress: Egress, server: Server) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.sleep(600)

    server.routes["/"] = endless
    async with egress.permit(max_bytes=MIB) as permit:
        asking = asyncio.create_task(ask(egress, permit, get(server.url()), "Host: x"))
        await server.wait_for_requests()
    async with asyncio.timeout(30):
        await asking


async def test_the_secret_does_not_reach_the_server(egress: Egress, permit: Permit, server: Server) -> None:
    seen: dict[str, str] = {}

    async def note(exchange: Exchange) -> None:
        seen.update(exchange.headers)
        await exchange.respond()

    server.routes["/"] = note
    await ask(egress, permit, get(server.url()), "Host: x", "Proxy-Connection: keep-alive", "X-Kept: yes")
    assert seen["x-kept"] == "yes"
    assert seen["host"] == server.host
    assert not any(name.startswith("proxy-") for name in seen)
    assert permit.secret not in str(seen)


async def test_a_second_request_on_the_same_connection_goes_nowhere(
    egress: Egress, permit: Permit, server: Server, forbidden: Server
) -> None:
    server.serve("/", "first")
    second = f"GET {forbidden.url()} HTTP/1.1\r\nHost: {forbidden.host}\r\n{authorization(egress, permit)}\r\n\r\n"
    answer = await ask(egress, permit, get(server.url()), "Host: x", body=second)
    assert b"secrets" not in answer
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
    egress: Egress, permit: Permit, server: Server, headers: tuple[str, ...]
) -> None:
    smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    await ask(egress, permit, f"POST {server.url()} HTTP/1.1", *headers, body=smuggled)
    assert not any("smuggled" in target for _, target in server.requests)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS", "PATCH"])
async def test_methods_that_fetching_does_not_need_are_refused(
    egress: Egress, permit: Permit, server: Server, method: str
) -> None:
    assert status(await ask(egress, permit, f"{method} {server.url()} HTTP/1.1", "Host: x")) == 400
    assert server.connections == 0


async def test_junk_and_endless_heads_are_refused(egress: Egress, server: Server) -> None:
    for junk in (
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200_000,
        b"\x16\x03\x01\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", egress.port)
        writer.write(junk)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                assert status(await reader.read(-1)) in (0, 400)
        writer.close()
    assert server.connections == 0


async def test_a_post_is_carried_whole(egress: Egress, permit: Permit, server: Server) -> None:
    bodies = []

    async def keep(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        await exchange.respond(b"thanks")

    server.routes["/api"] = keep
    answer = await ask(
        egress, permit, f"POST {server.url('/api')} HTTP/1.1", "Host: x", "Content-Length: 4", body="song"
    )
    assert answer.endswith(b"thanks")
    assert bodies == [b"song"]


async def test_a_tunnel_carries_bytes_both_ways(egress: Egress, permit: Permit, server: Server) -> None:
    server.serve("/", "through the tunnel")
    inner = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await ask(egress, permit, f"CONNECT {server.host} HTTP/1.1", "Host: x", body=inner)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"through the tunnel")


@pytest.mark.parametrize("tunnel", [False, True])
async def test_an_endless_stream_is_cut_at_the_jobs_bytes(
    egress: Egress, permit: Permit, server: Server, tunnel: bool
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await exchange.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    server.routes["/"] = endless
    if tunnel:
        inner = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await ask(egress, permit, f"CONNECT {server.host} HTTP/1.1", "Host: x", body=inner)
    else:
        answer = await ask(egress, permit, get(server.url()), "Host: x")
        assert not answer.endswith(b"0\r\n\r\n")  # broken off, not ended
    assert len(answer) < 1.2 * MIB
    assert permit.refusals == {Refusal.BYTES: 1}


async def test_bytes_are_counted_over_all_connections_of_a_job(egress: Egress, permit: Permit, server: Server) -> None:
    server.serve("/", b"x" * (MIB // 2))
    answers = [await ask(egress, permit, get(server.url()), "Host: x") for _ in range(3)]
    assert [len(answer) > MIB // 2 for answer in answers] == [True, False, False]


async def test_connections_of_a_job_are_counted(egress: Egress, server: Server) -> None:
    server.serve("/", "hello")
    async with egress.permit(max_bytes=MIB, max_connections=2) as permit:
        answers = [await ask(egress, permit, get(server.url()), "Host: x") for _ in range(3)]
    assert [status(answer) for answer in answers] == [200, 200, 429]


async def test_a_silent_server_is_given_up(server: Server) -> None:
    async def silent(exchange: Exchange) -> None:
        await asyncio.sleep(600)

    server.routes["/"] = silent
    async with (
        Egress(allowed_hosts=[server.host], idle_seconds=0.2) as egress,
        egress.permit(max_bytes=MIB) as permit,
    ):
        assert status(await ask(egress, permit, get(server.url()), "Host: x")) == 504
        assert permit.refusals == {Refusal.TIME: 1}


async def test_a_server_that_dribbles_is_cut_in_the_end(server: Server) -> None:
    async def dribble(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await exchange.send(b"x")
            await asyncio.sleep(0.02)

    server.routes["/"] = dribble
    async with (
        Egress(allowed_hosts=[server.host], max_seconds_per_connection=0.5) as egress,
        egress.permit(max_bytes=MIB) as permit,
    ):
        await ask(egress, permit, get(server.url()), "Host: x")
        assert permit.refusals == {Refusal.TIME: 1}


async def test_a_server_that_does_not_speak_http_is_unreachable(egress: Egress, permit: Permit, server: Server) -> None:
    server.routes["/"] = lambda exchange: exchange.send(b"ICY 200 OK\r\n\r\nmusic for ever")
    assert status(await ask(egress, permit, get(server.url()), "Host: x")) == 502
    assert permit.refusals == {Refusal.UNREACHABLE: 1}


async def test_a_body_shorter_than_announced_arrives_broken(egress: Egress, permit: Permit, server: Server) -> None:
    async def short(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        exchange.writer.close()

    server.routes["/"] = short
    answer = await ask(egress, permit, get(server.url()), "Host: x")
    assert b"100" in answer
    assert len(answer.partition(b"\r\n\r\n")[2]) < 100


async def test_a_name_is_resolved_once_and_only_its_public_addresses_count(forbidden: Server) -> None:
    asked = []

    async def rebinding(host: str) -> list[str]:
        # The first answer is one that passes, every later one is not: who asks twice is lost.
        asked.append(host)
        return ["192.0.2.1", "127.0.0.1"] if len(asked) > 1 else ["127.0.0.1", "::1", "10.0.0.1"]

    async with Egress(resolver=rebinding) as egress, egress.permit(max_bytes=MIB) as permit:
        assert status(await ask(egress, permit, get("http://rebind.example/"), "Host: x")) == 403
        assert asked == ["rebind.example"]
        assert status(await ask(egress, permit, "CONNECT rebind.example:443 HTTP/1.1", "Host: x")) == 403
        assert asked == ["rebind.example"] * 2
        assert permit.refusals == {Refusal.ADDRESS: 2}


async def test_the_connection_goes_to_the_address_that_was_checked(server: Server) -> None:
    answers = [["127.0.0.1"], ["127.0.0.9"]]

    async def rebinding(host: str) -> list[str]:
        return answers.pop(0)

    server.serve("/", "the first answer's server")
    host = f"music.example:{server.port}"
    async with (
        Egress(allowed_hosts=[host], resolver=rebinding) as egress,
        egress.permit(max_bytes=MIB) as permit,
    ):
        answer = await ask(egress, permit, get(f"http://{host}/"), "Host: x")
    assert answer.endswith(b"the first answer's server")
    assert answers == [["127.0.0.9"]]


async def test_an_allowed_name_allows_neither_its_address_nor_another_name_for_it(
    server: Server, forbidden: Server
) -> None:
    async def resolve(host: str) -> list[str]:
        return ["127.0.0.1"]

    host = f"music.example:{forbidden.port}"
    async with (
        Egress(allowed_hosts=[host], resolver=resolve) as egress,
        egress.permit(max_bytes=MIB) as permit,
    ):
        for other in (
            forbidden.host,
            f"other.example:{forbidden.port}",
            "music.example:80",
            "music.example:22",
        ):
            assert status(await ask(egress, permit, get(f"http://{other}/"), "Host: x")) == 403


@pytest.mark.parametrize("failure", [OSError(), ValueError()])
async def test_a_name_that_does_not_resolve_is_told_so(failure: Exception) -> None:
    async def resolve(host: str) -> list[str]:
        raise failure

    async with Egress(resolver=resolve) as egress, egress.permit(max_bytes=MIB) as permit:
        assert status(await ask(egress, permit, get("http://gone.example/"), "Host: x")) == 502
        assert permit.refusals == {Refusal.NAME: 1}


async def test_the_system_is_asked_for_names_where_nobody_else_is() -> None:
    async with Egress() as egress, egress.permit(max_bytes=MIB) as permit:
        # `.invalid` never resolves (RFC 6761).
        assert status(await ask(egress, permit, get("http://nowhere.invalid/"), "Host: x")) == 502
        assert permit.refusals == {Refusal.NAME: 1}


async def test_closing_leaves_no_connection(server: Server) -> None:
    async def endless(exchange: Exchange) -> None:
        await asyncio.sleep(600)

    server.routes["/"] = endless
    egress = Egress(allowed_hosts=[server.host])
    await egress.start()
    async with egress.permit(max_bytes=MIB) as permit:
        asking = asyncio.create_task(ask(egress, permit, get(server.url()), "Host: x"))
        await server.wait_for_requests()
        port = egress.port
        await egress.close()
        async with asyncio.timeout(30):
            await asking
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_more_connections_than_there_may_be_at_once_are_turned_away() -> None:
    async with running_server() as server:

        async def wait(exchange: Exchange) -> None:
            await asyncio.sleep(600)

        server.routes["/"] = wait
        async with (
            Egress(allowed_hosts=[server.host], max_connections=2) as egress,
            egress.permit(max_bytes=MIB) as permit,
        ):
            first = [asyncio.create_task(ask(egress, permit, get(server.url()), "Host: x")) for _ in range(2)]
            await server.wait_for_requests(2)
            assert await ask(egress, permit, get(server.url()), "Host: x") == b""
            assert egress.refusals == {Refusal.CONNECTIONS: 1}
        await asyncio.gather(*first)
