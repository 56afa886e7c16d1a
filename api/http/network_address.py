"""Network addresses, as limits count them."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

_SITE_BITS: Final = 64
"""What one customer gets of IPv6, at least: who has one address there has 2**64 of them."""

_LONGEST_ADDRESS: Final = 64


@lru_cache(maxsize=4096)
def counted_address(host: str) -> str:
    """What stands for a client in limits: an IPv4 address, or the /64 of an IPv6 address.

    Anything else (a name, a path of a socket) stands for itself, cut to a bounded length.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host[:_LONGEST_ADDRESS]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    site = int(address) >> (128 - _SITE_BITS) << (128 - _SITE_BITS)
    return f"{IPv6Address(site)}/{_SITE_BITS}"


def is_loopback(host: str) -> bool:
    """Whether a network address is this machine's own; no for what is no address."""
    try:
        return ip_address(counted_address(host).partition("/")[0]).is_loopback or host == "::1"
    except ValueError:
        return False
