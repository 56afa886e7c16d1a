"""Batches of clicks as clients send them: checked, sampled, without what says who it was.

Of a session the log holds a keyed hash, of a referrer the name of its host, of a page its path:
neither what clients name a session (it may be a handle or an email address) nor what stands behind
the `?` of an address is stored. Network addresses are not asked for, and not stored where a
referrer's host is one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from api.clicks.click_log import Click, ClickFigures, ClickKind, ClickLog
from commands.errors import InvalidInput
from events.ids.snowflake import parse_decimal

MOST_RECORDS: Final = 500
"""Of one batch."""

DAY_MS: Final = 86_400_000

_HOST_NAME: Final = re.compile(r"(?:[\w-]+\.)*([\w-]+)\.?")
"""Group 1 begins with a letter, or the host is a network address: 10.1, 0x7f000001, [::1]."""

_PLACE: Final = re.compile(r"^(.*) - at `\$\.?(.*)`$")


class ClickRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record of a batch, as JSON has it."""

    session: Annotated[str, Meta(min_length=1, max_length=128)]
    kind: ClickKind
    post: Annotated[str, Meta(pattern="^[0-9]{1,19}$")] | None = None
    page: Annotated[str, Meta(pattern="^/", max_length=300)] | None = None
    dwell: Annotated[int, Meta(ge=0, le=DAY_MS, description="ms")] | None = None
    referrer: Annotated[str, Meta(max_length=2000)] | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None


class ClickBatch(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    clicks: Annotated[list[ClickRecord], Meta(min_length=1, max_length=MOST_RECORDS)]


_DECODER: Final = msgspec.json.Decoder(ClickBatch)


def decode_batch(body: bytes) -> list[ClickRecord]:
    """The records of a body. Raises `InvalidInput`; `msgspec.DecodeError` where it is no JSON."""
    try:
        return _DECODER.decode(body).clicks
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"a text in it is no UTF-8: {error}") from error
    except msgspec.ValidationError as error:
        found = _PLACE.match(str(error))
        what, place = found.groups() if found else (str(error), "")
        place = place.replace("[", ".").replace("]", "")
        message = f"{what[:1].lower()}{what[1:]}; see /docs for the fields"
        raise InvalidInput("invalid-body", f"`{place}`: {message}" if place else message) from None


@dataclass(frozen=True, slots=True)
class ClickIntake:
    """Takes batches into a log, and has the figures that come of it.

    Of all sessions the share `sample` (0 to 1) is kept, always the same ones. With `key`,
    and not without, one can tell what the hash of a given name is.
    """

    log: ClickLog
    figures: ClickFigures
    key: bytes
    clock_ms: Callable[[], int]
    sample: float = 1.0

    async def take(self, records: Sequence[ClickRecord], user: int | None) -> int:
        """Store what is wanted of a batch; returns how many records that were, durable by then.

        Raises `InvalidInput`, `ClickError`, and nothing is stored.
        """
        clicks = self._to_clicks(records, user)
        if clicks:
            await self.log.append_clicks(clicks)
        return len(clicks)

    def _to_clicks(self, records: Sequence[ClickRecord], user: int | None) -> list[Click]:
        now = self.clock_ms()
        sessions: dict[str, int] = {}
        hosts: dict[str | None, str | None] = {None: None}
        clicks = []
        below = round(self.sample * (1 << 32))
        for number, record in enumerate(records):
            post, at = _checked(record, number, now)
            session = sessions.get(record.session)
            if session is None:
                session = sessions[record.session] = self._hash_session(record.session)
            if session & 0xFFFFFFFF >= below:
                continue
            link = record.referrer
            if link not in hosts:
                hosts[link] = _host_of(link or "", number)
            page = record.page and re.split("[?#]", record.page, maxsplit=1)[0]
            clicks.append(
                Click(now, at, session, user, post, page, record.kind, record.dwell, hosts[link])
            )
        return clicks

    def _hash_session(self, session: str) -> int:
        digest = blake2b(session.encode(), digest_size=8, key=self.key, person=b"clicks").digest()
        return int.from_bytes(digest, "big", signed=True)


def _checked(record: ClickRecord, number: int, now_ms: int) -> tuple[int | None, int]:
    """The post and the time of a record. Raises `InvalidInput`."""
    if (record.post is None) == (record.page is None):
        raise _refused(number, "name either a `post` or a `page`")
    if (record.dwell is None) == (record.kind == "dwell"):
        raise _refused(number, "`dwell` (in ms) belongs to the kind dwell, and to that alone")
    post = None if record.post is None else parse_decimal(record.post)
    if record.post is not None and not post:
        raise _refused(number, f"`post` {record.post} is the id of no post")
    if record.at is None:
        return post, now_ms
    at = int(record.at.timestamp() * 1000)
    if not now_ms - DAY_MS <= at <= now_ms + DAY_MS:
        raise _refused(number, "`at` is more than a day away: leave it out, and it is now")
    return post, min(at, now_ms)  # clocks of clients go wrong


def _host_of(link: str, number: int) -> str | None:
    """The name of a link's host; None where it has no name."""
    try:
        host = urlsplit(link).hostname
    except ValueError:
        raise _refused(number, "`referrer` is no address") from None
    name = _HOST_NAME.fullmatch(host or "")
    return host if name and name[1][0].isalpha() else None


def _refused(number: int, message: str) -> InvalidInput:
    return InvalidInput("invalid-body", f"`clicks.{number}`: {message}")
