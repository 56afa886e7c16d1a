"""Bytes <-> events.

An event's data is one JSON object, ids as decimal strings. Upcasters convert old versions:
`UPCASTERS[(name, version)]` takes the JSON object of that version and gives that of the next, so
that an event stored years ago is read as if it had been stored today. The log is never rewritten.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from events.envelope import RecordedEvent, StoredEvent
from events.event_types import EVENT_TYPES, ID_FIELDS
from events.schema import Event

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


def _media_from_ids(fields: dict[str, Any]) -> dict[str, Any]:
    """Posts named media by ids before there were images to name."""
    return {**fields, "media": [{"id": id} for id in fields.get("media", ())]}


def _without_pictures(fields: dict[str, Any]) -> dict[str, Any]:
    """Profiles had neither avatar nor header, nor (later) fields: the defaults say so."""
    return fields


def _without_warnings(fields: dict[str, Any]) -> dict[str, Any]:
    """Posts were neither sensitive nor of a known language: the fields' defaults say so."""
    return fields


def _without_terms(fields: dict[str, Any]) -> dict[str, Any]:
    """Mutes were for good, and of notifications, too: the fields' defaults say so."""
    return fields


UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {
    ("post-created", 1): _media_from_ids,
    ("post-created", 2): _without_warnings,
    ("post-edited", 1): _without_warnings,
    ("profile-changed", 1): _without_pictures,
    ("profile-changed", 2): _without_pictures,
    ("user-muted", 1): _without_terms,
}


class UnknownEvent(Exception):
    """The log holds an event with a name or version that this program doesn't know.

    A newer Starling wrote it: upgrade before reading this log.
    """


_encoder = msgspec.json.Encoder()
_id_fields = {
    kind: tuple(field for field in kind.__struct_fields__ if field in ID_FIELDS)
    for kind in EVENT_TYPES
}


def encode_event(event: Event) -> tuple[str, int, bytes]:
    """(stored name, version, JSON bytes) of an event."""
    kind = type(event)
    name, version = EVENT_TYPES[kind]
    fields = msgspec.structs.asdict(event)
    for field in _id_fields[kind]:
        value = fields[field]
        if value is None:  # only ids may be absent
            del fields[field]
        else:
            fields[field] = str(value)
    return name, version, _encoder.encode(fields)


class EventCodec:
    """Decodes the events of some types; `EVENT_CODEC` decodes those of this program."""

    def __init__(
        self,
        event_types: Mapping[type[Event], tuple[str, int]],
        upcasters: Mapping[tuple[str, int], Upcaster],
    ) -> None:
        self._upcasters = upcasters
        self._current_types = {
            name: (version, kind) for kind, (name, version) in event_types.items()
        }
        self._current_decoders = {
            # Ids are strings in JSON: not strict, so that msgspec reads them as integers.
            (name, version): msgspec.json.Decoder(kind, strict=False).decode
            for kind, (name, version) in event_types.items()
        }

    def decode(self, name: str, version: int, data: bytes) -> Event:
        """The event of a stored name, version and JSON bytes, converted to the current version.

        Raises `UnknownEvent`, or `msgspec.ValidationError` where the bytes don't fit the type.
        """
        decode = self._current_decoders.get((name, version))
        if decode is not None:
            return decode(data)
        return self._upcast(name, version, data)

    def decode_stored(self, stored: StoredEvent) -> RecordedEvent:
        """A row of the log with its event decoded. Raises as `decode`."""
        position, id, stream, version, name, schema, actor, causation, correlation, data = stored
        decode = self._current_decoders.get((name, schema))
        event = decode(data) if decode is not None else self._upcast(name, schema, data)
        return RecordedEvent(position, id, stream, version, actor, causation, correlation, event)

    def _upcast(self, name: str, version: int, data: bytes) -> Event:
        if name not in self._current_types:
            raise UnknownEvent(f"no event type is stored as {name!r}; a newer Starling wrote it")
        newest, kind = self._current_types[name]
        fields = msgspec.json.decode(data)
        while version < newest:
            fields = self._upcasters[(name, version)](fields)
            version += 1
        if version > newest:
            raise UnknownEvent(f"{name} has version {version} here, this program knows {newest}")
        return msgspec.convert(fields, kind, strict=False)


EVENT_CODEC: Final = EventCodec(EVENT_TYPES, UPCASTERS)
