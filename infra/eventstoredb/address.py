"""The address of an EventStoreDB: `esdb://user:password@host:2113/namespace?tls=true`.

Understood are the schemes `esdb` and `kurrentdb`, each also with `+discover`, and the parameters of
the official clients that mean something here. An address with any other parameter is refused: who
wrote it counts on something that would not happen. Messages name no user and no password.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT: Final = 2113
DEFAULT_NAMESPACE: Final = "starling"
SCHEMES: Final = ("esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover")

_NAMESPACE: Final = re.compile("[A-Za-z0-9_]{1,60}")


class BadAddress(ValueError):
    """An address that can't be meant. The message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class EventStoreAddress:
    """What an address says. Times are in seconds."""

    endpoints: tuple[Endpoint, ...]
    namespace: str = DEFAULT_NAMESPACE
    """Before the names of all streams."""
    discover: bool = False
    """Ask the nodes which of them leads."""
    user: str | None = None
    password: str = field(default="", repr=False)
    tls: bool = True
    tls_verify: bool = True
    tls_ca_file: Path | None = None
    user_cert_file: Path | None = None
    user_key_file: Path | None = None
    keep_alive_interval: float | None = 10.0
    """None: never ask a silent connection whether it is alive."""
    keep_alive_timeout: float = 10.0
    deadline: float = 4.0
    """For one try of one call."""
    gossip_timeout: float = 3.0
    discovery_interval: float = 0.1
    max_discover_attempts: int = 10

    def __str__(self) -> str:
        """Without a user and without a password."""
        hosts = ",".join(map(str, self.endpoints))
        return f"esdb://{hosts}/{self.namespace}"


def parse_address(text: str) -> EventStoreAddress:
    """Raises `BadAddress`."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise BadAddress(f"an address of EventStoreDB begins with {', '.join(SCHEMES)} and ://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = urlsplit(f"//host{rest[len(authority) :]}")
    if tail.fragment:
        raise BadAddress("an address of EventStoreDB has no part behind #")
    login, _, hosts = authority.rpartition("@")
    user, colon, password = login.partition(":")
    if login and not (user and colon):
        raise BadAddress("before the @ of the address there must be user:password")
    endpoints = tuple(map(_parse_endpoint, hosts.split(",")))
    fields = _parse_parameters(tail.query)
    return EventStoreAddress(
        endpoints=endpoints,
        namespace=_parse_namespace(tail.path),
        discover="discover" in scheme.lower() or len(endpoints) > 1,
        user=unquote(user) or None,
        password=unquote(password),
        **fields,  # type: ignore[arg-type]
    )


def _parse_endpoint(text: str) -> Endpoint:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", text.strip())
    if found is None:
        raise BadAddress("the address must name a host, or several with commas between them")
    port = int(found[3] or DEFAULT_PORT)
    if not 0 < port < 1 << 16:
        raise BadAddress(f"the address has a port that is none: {port}")
    return Endpoint(found[1] or found[2], port)


def _parse_namespace(path: str) -> str:
    name = unquote(path.strip("/"))
    if not name:
        return DEFAULT_NAMESPACE
    if not _NAMESPACE.fullmatch(name):
        raise BadAddress(
            "the path of the address is a namespace: up to 60 letters, digits and underscores"
        )
    return name


def _parse_parameters(query: str) -> dict[str, object]:
    fields: dict[str, object] = {}
    for given, text in parse_qsl(query, keep_blank_values=True):
        name = given.lower()
        if name not in _PARAMETERS:
            known = ", ".join(spelling for spelling, _, _ in _PARAMETERS.values())
            raise BadAddress(f"the address has an unknown parameter; there are: {known}")
        spelling, field, parse = _PARAMETERS[name]
        try:
            value = parse(text.strip())
        except ValueError as error:
            raise BadAddress(f"the address's parameter {spelling} {error}") from None
        if field is not None:
            fields[field] = value
    if ("user_cert_file" in fields) != ("user_key_file" in fields):
        raise BadAddress("the address needs both userCertFile and userKeyFile, or neither")
    return fields


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("must be a number above 0")
    return int(text)


def _seconds(text: str) -> float:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("must be a number of milliseconds above 0")
    return int(text) / 1000


def _seconds_or_never(text: str) -> float | None:
    return None if text == "-1" else _seconds(text)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"names no file: {text}")
    return path


def _leader(text: str) -> str:
    if text.lower() != "leader":
        raise ValueError("must be leader: only the leader shows each append at once")
    return text


_PARAMETERS: Final[dict[str, tuple[str, str | None, Callable[[str], object]]]] = {
    spelling.lower(): (spelling, field, parse)
    for spelling, field, parse in (
        ("tls", "tls", _truth),
        ("tlsVerifyCert", "tls_verify", _truth),
        ("tlsCaFile", "tls_ca_file", _file),
        ("userCertFile", "user_cert_file", _file),
        ("userKeyFile", "user_key_file", _file),
        ("keepAliveInterval", "keep_alive_interval", _seconds_or_never),
        ("keepAliveTimeout", "keep_alive_timeout", _seconds),
        ("defaultDeadline", "deadline", _seconds),
        ("gossipTimeout", "gossip_timeout", _seconds),
        ("discoveryInterval", "discovery_interval", _seconds),
        ("maxDiscoverAttempts", "max_discover_attempts", _count),
        ("nodePreference", None, _leader),
        ("connectionName", None, str),
    )
}
"""By its name in small letters: (spelling, field, how to read it)."""
