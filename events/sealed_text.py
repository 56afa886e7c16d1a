"""Personal texts as the log holds them: sealed, so that they can be forgotten.

Nothing is ever removed from the log, nor from the feed, the views, exports of rows or back-ups that
are made from it. What a person wrote must be erasable all the same. So an append seals the fields
of `PERSONAL_FIELDS` under keys that lie beside the log, and erasing a text destroys its keys: every
copy of it turns into bytes that can't be read ('crypto-shredding', `docs/adr/0060`).

A sealed text is a string like any other, and says by itself which keys open it. Projections keep it
as it is, and what shows texts to people opens it: the API's answers, exports, `starling sql`. Texts
of logs of before this stand as they were written.
"""

import base64
import binascii
import re
import struct
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from events.envelope import StoredEvent
from events.event_filter import EventBatchSource, EventFilter, SelectedEvents, SelectedLines
from events.event_types import EVENT_TYPES
from events.schema import (
    Event,
    FilterChanged,
    FilterKeyword,
    ListChanged,
    Medium,
    PostCreated,
    PostEdited,
    PrivateNoteChanged,
    ProfileChanged,
    UserRegistered,
)

PERSONAL_FIELDS: Final[dict[type[Event], tuple[str, ...]]] = {
    UserRegistered: ("name", "bio"),
    ProfileChanged: ("name", "bio", "fields"),
    PostCreated: ("text", "spoiler_text", "media"),
    PostEdited: ("text", "spoiler_text"),
    ListChanged: ("title",),
    PrivateNoteChanged: ("note",),
    FilterChanged: ("title", "keywords"),
}
"""The fields whose texts are sealed: of media those that say what is seen. Ids, times, handles,
hashtags and mentions are not."""

SEALED_TYPES: Final = frozenset(EVENT_TYPES[kind][0] for kind in PERSONAL_FIELDS)
"""Stored names of the types that hold such fields."""

ERASED: Final = ""
"""What a text reads as once one of its keys was destroyed."""

_PREFIX: Final = "sealed."
_HEAD: Final = struct.Struct(">QQ")
_SHORTEST: Final = len(_PREFIX) + 43
"""Characters, with both numbers and an authentication tag of 16 bytes."""
_PATTERN: Final = re.compile(rb'"(sealed\.[A-Za-z0-9_-]{43,})"')

OpenText = Callable[[str], str]
"""Gives a text as it was written: opens a sealed one (`ERASED` where a key of it is gone), and
returns any other as it is."""

E = TypeVar("E", bound=Event)

_encode_json = msgspec.json.encode


class SealedText(NamedTuple):
    """What a sealed text is made of."""

    account: int
    """The user whose key it is sealed under; deleting the account destroys that key."""
    number: int
    """Of the key that this text alone is sealed under."""
    ciphertext: bytes

    def render(self) -> str:
        """The string that stands in the event."""
        packed = _HEAD.pack(self.account, self.number) + self.ciphertext
        return _PREFIX + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def parse_sealed(text: str) -> SealedText | None:
    """What a sealed text is made of; None for any other text."""
    if not text.startswith(_PREFIX) or len(text) < _SHORTEST:
        return None
    encoded = text[len(_PREFIX) :]
    try:
        packed = base64.b64decode(
            encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True
        )
        account, number = _HEAD.unpack_from(packed)
        return SealedText(account, number, packed[_HEAD.size :])
    except (binascii.Error, ValueError, struct.error):
        return None


def as_written(text: str) -> str:
    """The `OpenText` of logs whose texts are not sealed."""
    return text


def owner_of_texts(event: Event) -> int:
    """The user whose texts an event of `PERSONAL_FIELDS` holds."""
    match event:
        case (
            UserRegistered()
            | ProfileChanged()
            | ListChanged()
            | PrivateNoteChanged()
            | FilterChanged()
        ):
            return event.user
        case PostCreated() | PostEdited():
            return event.author
    raise TypeError(f"{type(event).__name__} holds no personal text")


def count_texts(event: Event) -> int:
    """How many texts an event of `PERSONAL_FIELDS` holds at most."""
    values = [getattr(event, name) for name in PERSONAL_FIELDS[type(event)]]
    parts = [part for value in values if not isinstance(value, str) for part in value]
    return len(values) + sum(2 if isinstance(part, tuple) else 1 for part in parts)


def map_texts(event: E, change: Callable[[str], str]) -> E:
    """The event with each of its personal texts changed."""
    changed: dict[str, object] = {}
    for name in PERSONAL_FIELDS.get(type(event), ()):
        value = getattr(event, name)
        if isinstance(value, str):
            changed[name] = change(value)
        elif value:
            changed[name] = tuple(_map_part(part, change) for part in value)
    return replace(event, **changed) if changed else event


def _map_part(
    part: Medium | FilterKeyword | tuple[str, str], change: Callable[[str], str]
) -> object:
    """An image, a keyword or a pair of texts, with its texts changed."""
    if isinstance(part, Medium):
        return replace(part, alt=change(part.alt))
    if isinstance(part, FilterKeyword):
        return replace(part, text=change(part.text))
    return change(part[0]), change(part[1])


def sealed_texts(data: bytes) -> list[SealedText]:
    """The sealed texts in the JSON of an event."""
    found = (parse_sealed(match.decode()) for match in _PATTERN.findall(data))
    return [sealed for sealed in found if sealed is not None]


def open_json(json: bytes, open_text: OpenText) -> bytes:
    """JSON (of an event, of many lines) with its sealed texts opened."""
    if _PREFIX.encode() not in json:
        return json
    return _PATTERN.sub(lambda match: _encode_json(open_text(match[1].decode())), json)


def open_stored(stored: StoredEvent, open_text: OpenText) -> StoredEvent:
    """An event of the log with its texts opened."""
    if stored.type not in SEALED_TYPES:
        return stored
    return stored._replace(data=open_json(stored.data, open_text))


def open_source(source: EventBatchSource, open_text: OpenText) -> EventBatchSource:
    """A source whose events have their texts opened."""

    async def read_opened(
        event_filter: EventFilter, after: int
    ) -> AsyncIterator[SelectedEvents | SelectedLines]:
        async for batch in source(event_filter, after):
            if isinstance(batch, SelectedEvents):
                yield batch._replace(events=[open_stored(e, open_text) for e in batch.events])
            elif batch.lines is None:
                yield batch
            else:
                opened = open_json(batch.lines.text, open_text)
                yield batch._replace(lines=batch.lines._replace(text=opened))

    return read_opened
