"""Which addresses a webhook may name, and which of the network may be connected to.

The first is checked when a webhook is made and again at each try, the second with what the name
resolves to, at each try. A name that resolves to a private network would let its owner ask servers
that only this machine reaches.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from commands.errors import InvalidInput

MAX_URL: Final = 2000

_NAT64: Final = IPv6Network("64:ff9b::/96")


def check_endpoint(url: str, loopback: bool) -> SplitResult:
    """The parts of an address that a webhook may name. Raises `InvalidInput`, which says what is
    wrong with it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("it is no address") from None
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL:
        raise _invalid(f"it must be at most {MAX_URL} characters of ASCII, without spaces")
    if not parts.hostname or port == 0:
        raise _invalid("it names no host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _invalid("it must have no user, password or #")
    literal = _literal(parts.hostname)
    on_this_machine = parts.hostname == "localhost" or (literal is not None and literal.is_loopback)
    if parts.scheme != "https" and not (loopback and parts.scheme == "http" and on_this_machine):
        raise _invalid("it must begin with https://")
    if literal is not None and not may_connect(parts.hostname, loopback):
        raise _invalid(f"{parts.hostname} is no public address")
    return parts


def may_connect(address: str, loopback: bool) -> bool:
    """Whether an address of the network, in figures, is a public one, or one of this machine where
    these are allowed."""
    found = _embedded(ip_address(address.partition("%")[0]))
    if found.is_loopback:
        return loopback
    site_local = isinstance(found, IPv6Address) and found.is_site_local
    return found.is_global and not (found.is_multicast or found.is_reserved or site_local)


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo is not None else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(
        "webhook-invalid", f"`url`: {reason}; give one such as https://example.org/"
    )
