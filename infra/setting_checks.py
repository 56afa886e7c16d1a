"""What values of settings must be, where their type alone does not say it.

Each check gives the value, or raises pydantic's error with a text that says what would do.
"""

from email.utils import parseaddr
from ipaddress import ip_network
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic_core import PydanticCustomError

from streams.feed.kafka_address import InvalidKafkaAddress, KafkaAddress

MIN_SECRET_LENGTH: Final = 16

EXPECTED_VALUES: Final = {
    "port": "a whole number, 0-65535",
    **dict.fromkeys(("workers", "image_workers"), "a whole number, 1-64"),
    **dict.fromkeys(("fast_path", "limits", "access_log", "webhooks_loopback"), "on or off"),
    "mongo_driver": "motor or pymongo",
    "ids": "snowflake, tickets or global",
    "log_format": "console or json",
    **dict.fromkeys(("connections", "connections_per_address"), "a whole number, 1-1000000"),
    **dict.fromkeys(("head_seconds", "body_seconds", "idle_seconds"), "seconds, at most 3600"),
    "media_bytes": "a whole number, 1000-100000000",
    "clicks_days": "a whole number, 1-3650",
    "clicks_sample": "a number from 0 to 1",
    "metrics": "local, open or off",
    "metrics_port": "a whole number, 1-65535",
}
"""What a value must be, where pydantic's own words name neither the setting nor its range well."""


def setting_error(text: str) -> PydanticCustomError:
    """An error whose text may hold braces. It never repeats an address, which may hold a password,
    nor a secret."""
    return PydanticCustomError("setting", "{text}", {"text": text})


def check_log(value: str) -> str:
    """`sqlite`, or the address of an EventStoreDB."""
    schemes = ("esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover")
    if value != "sqlite" and urlsplit(value).scheme not in schemes:
        raise setting_error(
            "must be 'sqlite' or an address that begins with esdb:// or kurrentdb://"
        )
    return value


def check_views(value: str) -> str:
    """`sqlite`, or the address of a MongoDB."""
    if value != "sqlite" and urlsplit(value).scheme not in ("mongodb", "mongodb+srv"):
        raise setting_error("must be 'sqlite' or an address that begins with mongodb://")
    return value


def check_media(value: str | None) -> str | None:
    """A folder, or a bucket of an S3-compatible store."""
    parts = urlsplit(value or "")
    no_bucket = parts.scheme == "s3" and (not parts.hostname or parts.username is not None)
    if no_bucket or ("://" in (value or "") and parts.scheme != "s3"):
        raise setting_error("must be a folder or s3://bucket?endpoint=..., without a password")
    if parts.scheme == "s3" and (unknown := parse_qs(parts.query).keys() - {"endpoint", "region"}):
        raise setting_error(f"takes endpoint and region behind the '?', not {min(unknown)!r}")
    return value


def check_kafka(value: str | None) -> str | None:
    """An address of Kafka."""
    try:
        if value is not None:
            KafkaAddress.parse(value)
    except InvalidKafkaAddress as error:
        raise setting_error(str(error)) from None
    return value


def check_smtp(value: str | None) -> str | None:
    """An address of a mail server."""
    parts = urlsplit(value or "smtp://localhost")
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise setting_error("must be an address that begins with smtp:// or smtps://")
    if parts.query not in ("", "tls=false", "tls=true") or parts.path not in ("", "/"):
        raise setting_error("may end in ?tls=false, and in nothing else after its host and port")
    return value


def check_mail_from(value: str | None) -> str | None:
    """One email address, perhaps with a name."""
    if value is not None and (not value.isprintable() or "@" not in parseaddr(value)[1]):
        raise setting_error("must be an address such as 'Starling <starling@example.org>'")
    return value


def check_secret(value: str | None) -> str | None:
    """A text that is hard to guess."""
    if value is not None and len(value) < MIN_SECRET_LENGTH:
        raise setting_error(f"must have at least {MIN_SECRET_LENGTH} characters")
    return value


def check_tickets(value: str) -> str:
    """Two places, or none."""
    if len(value.split()) not in (0, 2):
        raise setting_error(
            "must be two places with a space between: two files, or two mongodb:// ones"
        )
    return value


def check_id_server(value: str | None) -> str | None:
    """An address without a password in it."""
    parts = urlsplit(value or "http://localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise setting_error("must be an address such as http://127.0.0.1:8010, without a password")
    return value if value is None else value.rstrip("/")


def check_base_url(value: str) -> str:
    """What absolute URLs begin with, without a slash at the end."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise setting_error("must be an address such as https://starling.example.org")
    if parts.query or parts.fragment or parts.username is not None:
        raise setting_error("must have no user, ? or #")
    return value.rstrip("/")


def check_networks(value: str) -> str:
    """Addresses and networks."""
    try:
        for network in split_list(value):
            ip_network(network)
    except ValueError:
        raise setting_error("must be addresses or networks such as 127.0.0.1,10.0.0.0/8") from None
    return value


def check_rates(value: str) -> str:
    """Limits on rates of requests."""
    # Here, for it takes the library of limits with it: commands start without.
    from api.accounts.request_limits import read_rates

    try:
        read_rates(split_list(value))
    except ValueError as error:
        raise setting_error(str(error)) from None
    return value


def split_list(value: str) -> tuple[str, ...]:
    """The parts between commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())
