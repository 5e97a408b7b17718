"""What is near is refused, though its addresses are global."""

import json
import shutil
import subprocess
import sys

import pytest

from core.proxy import networks
from core.proxy.networks import nat64_prefixes, on_link_networks
from core.proxy.proxy import FetchProxy
from core.proxy.url_policy import Refusal, RefusedError, parse_authority
from tests.support.data import ROOT

UNSHARE = ("unshare", "-rn")


@pytest.fixture(scope="module")
def answers() -> dict[str, int]:
    """The proxy's answers on a link with a neighbour."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("needs unshare, nsenter and ip")
    if subprocess.run([*UNSHARE, "ip", "link", "add", "near", "type", "veth"], capture_output=True).returncode != 0:
        pytest.skip("network namespaces are not allowed here")
    run = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.core.proxy.neighbourhood"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, int] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("what", ["a routed IPv4 address", "a routed IPv6 address", "before an address is added"])
def test_what_is_behind_a_router_is_reached(answers: dict[str, int], what: str) -> None:
    assert answers[what] == 200


@pytest.mark.parametrize(
    "what",
    [
        "an IPv4 neighbour",
        "an IPv6 neighbour",
        "a delegated prefix",
        "10.0.0.1 behind a NAT64",
        "after an address is added",
        "a neighbour by a route only",
    ],
)
def test_what_is_near_is_refused(answers: dict[str, int], what: str) -> None:
    assert answers[what] == 403


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        # RFC 6052, section 2.4, with the addresses of ipv4only.arpa.
        ("2001:db8:c000:aa::", "2001:db8::/32"),
        ("2001:db8:1c0:0:aa::", "2001:db8:100::/40"),
        ("2001:db8:122:c000:0:aa00::", "2001:db8:122::/48"),
        ("2001:db8:122:3c0:0:ab::", "2001:db8:122:300::/56"),
        ("2001:db8:122:344:c0:0:aa00::", "2001:db8:122:344::/64"),
        ("2001:db8:122:344::192.0.0.171", "2001:db8:122:344::/96"),
    ],
)
def test_nat64_prefixes_are_found_at_every_length(address: str, prefix: str) -> None:
    assert {str(network) for network in nat64_prefixes(["192.0.0.170", address])} == {prefix}


@pytest.mark.parametrize("address", ["2001:db8::1", "nonsense", "192.0.0.170", "2001:db8::192.0.0.172"])
def test_other_addresses_show_no_nat64(address: str) -> None:
    assert nat64_prefixes([address]) == set()


def test_loopback_is_on_the_link_of_every_machine() -> None:
    assert "127.0.0.0/8" in {str(network) for network in on_link_networks()}


async def test_a_machine_that_does_not_name_its_networks_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no netlink")

    monkeypatch.setattr(networks.psutil, "net_if_addrs", fail)
    monkeypatch.setattr(networks, "_linux_routes", lambda: iter(()))
    with pytest.raises(RefusedError, match=Refusal.ADDRESS):
        await FetchProxy()._addresses(parse_authority("93.184.216.34:80", None, ()))
