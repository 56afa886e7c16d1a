"""Which addresses webhooks may name, and which they may reach."""

import pytest

from api.webhooks.endpoint_address import check_endpoint, may_connect
from commands.errors import InvalidInput


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "::", "fe80::1%eth0", "fc00::1", "fec0::1",
        "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1",
        "2002:0a00:0001::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_only_some_networks_reach_are_never_connected_to(address: str) -> None:
    assert not may_connect(address, loopback=False)
    assert not may_connect(address, loopback=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_connected_to_where_that_is_allowed(address: str) -> None:
    assert not may_connect(address, loopback=False)
    assert may_connect(address, loopback=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1"])
def test_public_addresses_are_connected_to(address: str) -> None:
    assert may_connect(address, loopback=False)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/", "must begin with https"),
        ("ftp://example.org/", "must begin with https"),
        ("https:///path", "names no host"),
        ("https://example.org:0/", "names no host"),
        ("https://example.org:99999/", "is no address"),
        ("https://[::1/", "is no address"),
        ("https://ada:secret@example.org/", "no user"),
        ("https://example.org/#part", "no user, password or #"),
        ("https://example.org/a b", "without spaces"),
        ("https://example.org/a\r\nx: y", "without spaces"),
        ("https://bücher.example/", "ASCII"),
        ("https://example.org/" + "a" * 2000, "at most 2000"),
        ("https://10.0.0.1/", "no public address"),
        ("https://[::ffff:127.0.0.1]/", "no public address"),
        ("https://127.0.0.1/", "no public address"),
    ],
)
def test_addresses_that_can_not_be_sent_to_are_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_endpoint(url, loopback=False)


def test_plain_http_goes_to_this_machine_alone_where_that_is_allowed() -> None:
    assert check_endpoint("https://example.org:8443/a?b=c", loopback=False).port == 8443
    assert check_endpoint("http://127.0.0.1:5000/", loopback=True).port == 5000
    assert check_endpoint("http://localhost:5000/", loopback=True).hostname == "localhost"
    for url in ("http://example.org/", "http://10.0.0.1/"):
        with pytest.raises(InvalidInput):
            check_endpoint(url, loopback=True)
    with pytest.raises(InvalidInput):
        check_endpoint("http://localhost/", loopback=False)
