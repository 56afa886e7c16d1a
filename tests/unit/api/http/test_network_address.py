"""Network addresses as limits count them."""

import pytest

from api.http.network_address import counted_address


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("a" * 1_000_000, "a" * 64),
    ],
)
def test_an_ipv6_network_of_one_customer_counts_as_one_address(host: str, counted: str) -> None:
    assert counted_address(host) == counted
