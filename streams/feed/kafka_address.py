"""Where Kafka is and how to sign in there: the value of `STARLING_KAFKA`, read.

    host:port,host:port                                          no password, no TLS
    kafka://user:password@host:port,host:port                    SASL/PLAIN
    kafka://user:password@host:port?mechanism=SCRAM-SHA-512&tls=true

User and password are percent-encoded where they hold characters such as `@`, `:` or `/`. Without
`tls=true` they go over the network as they are: for this machine, or a network that one trusts.
"""

from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, unquote

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_SCHEME: Final = "kafka://"


class InvalidKafkaAddress(ValueError):
    """The text is no address of Kafka; the message never repeats it, as it may hold a password."""


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Bootstrap servers (`host:port`), and credentials where the cluster asks for them."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str = field(default="", repr=False)
    mechanism: str = "PLAIN"
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `InvalidKafkaAddress`."""
        if not text.startswith(_SCHEME):
            return cls(_split_servers(text))
        place, _, query = text.removeprefix(_SCHEME).rstrip("/").partition("?")
        credentials, _, servers = place.rstrip("/").rpartition("@")
        user, colon, password = credentials.partition(":")
        if credentials and not (user and colon and password):
            raise InvalidKafkaAddress("needs a user and a password before the @")
        options = dict(parse_qsl(query))
        mechanism, tls = options.pop("mechanism", "PLAIN"), options.pop("tls", "false")
        if options:
            raise InvalidKafkaAddress(f"knows no option {min(options)}: mechanism and tls are all")
        if mechanism not in MECHANISMS:
            raise InvalidKafkaAddress(f"needs a mechanism of {', '.join(MECHANISMS)}")
        if tls not in ("true", "false"):
            raise InvalidKafkaAddress("needs tls=true or tls=false")
        return cls(
            _split_servers(servers),
            unquote(user) or None,
            unquote(password),
            mechanism,
            tls == "true",
        )

    def __str__(self) -> str:
        """The servers, without credentials: for people and log lines."""
        return ",".join(self.servers)


def _split_servers(text: str) -> tuple[str, ...]:
    servers = tuple(part.strip() for part in text.split(",") if part.strip())
    if not servers or any(c in server for server in servers for c in "/@?# "):
        raise InvalidKafkaAddress(
            "must be servers such as kafka1:9092,kafka2:9092, or begin with kafka://"
        )
    return servers
