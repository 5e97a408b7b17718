"""What the tests of the proxy share."""

from tests.support.network import authority, forbidden, proxy, server  # noqa: F401 - fixtures
