"""Where the internet reaches what listens."""

import socket
from typing import NamedTuple

import psutil
import pytest

from core.public_addresses import public_addresses


@pytest.mark.parametrize(
    ("host", "interfaces", "public"),
    [
        ("127.0.0.1", ["8.8.8.8"], []),
        ("localhost", ["8.8.8.8"], []),
        ("192.168.1.2", ["192.168.1.2"], []),
        ("8.8.8.8", [], ["8.8.8.8"]),
        ("0.0.0.0", ["127.0.0.1", "172.17.0.2", "2600::1"], []),
        ("0.0.0.0", ["127.0.0.1", "8.8.8.8", "2600::1"], ["8.8.8.8"]),
        ("::", ["8.8.8.8", "fe80::1%eth0", "2600::1"], ["2600::1", "8.8.8.8"]),
    ],
)
def test_an_address_of_the_internet_is_known(
    monkeypatch: pytest.MonkeyPatch, host: str, interfaces: list[str], public: list[str]
) -> None:
    class Entry(NamedTuple):
        family: int
        address: str

    entries = [Entry(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip) for ip in interfaces]
    entries.append(Entry(getattr(socket, "AF_PACKET", -1), "00:00:00:00:00:00"))
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": entries})
    assert public_addresses(host) == public


def test_a_name_stands_for_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ("192.168.1.2", "8.8.8.8")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert public_addresses("home.example") == ["8.8.8.8"]
