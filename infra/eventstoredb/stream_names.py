"""What a log's streams and events are called in EventStoreDB, and how their envelopes are kept.

A log lives in a namespace, so that several share one server:

    NAMESPACE.post-17            the stream `post-17`; all of these, and only these, are its events
    NAMESPACE:key-<digest>       the claims of one idempotency key
    NAMESPACE:identity           the log's identity
    NAMESPACE:owner              which accounts, leases and text keys go with it

The event's data are the JSON bytes of the event as every log keeps them; id, schema, actor,
causation and correlation are its metadata.
"""

import hashlib
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

import msgspec

from events.codec import encode_event
from events.envelope import StoredEvent
from events.json_lines import Number63
from events.log import AppendRequest, LogError, NewEvent
from infra.eventstoredb.wire import LARGEST_INT64, ProposedEvent, ReadEvent

KEY_DIGITS: Final = 32


class _Metadata(msgspec.Struct):
    id: Number63
    schema: Number63
    actor: Number63
    causation: Number63
    correlation: Number63


# Numbers are strings in JSON, for readers without 64-bit integers.
_decode_metadata: Final = msgspec.json.Decoder(_Metadata, strict=False).decode


class StreamNames:
    """The names in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix: Final = f"{namespace}."
        """Of every stream with events."""
        self.identity: Final = f"{namespace}:identity"
        self.owner: Final = f"{namespace}:owner"
        self._keys = f"{namespace}:key-"

    def of_stream(self, stream: str) -> str:
        """The name of one of the log's streams in EventStoreDB."""
        return self.prefix + stream

    def of_key(self, key: str) -> str:
        """The stream of an idempotency key's claims."""
        return self._keys + hashlib.sha256(key.encode()).hexdigest()[:KEY_DIGITS]

    def stored_events(self, events: Iterable[ReadEvent]) -> list[StoredEvent]:
        """What the log holds, of what was read; other namespaces' events are passed over.

        Raises `LogError` for an event that no Starling wrote.
        """
        prefix = self.prefix
        cut = len(prefix)
        found: list[StoredEvent] = []
        try:
            for stream, revision, position, _, type, metadata, data in events:
                if not stream.startswith(prefix) or type.startswith("$"):
                    continue  # a tombstone is no event, and `verify` tells of it
                if not 0 < position <= LARGEST_INT64:
                    raise LogError("the node tells no positions of a stream's events: too old")
                kept = _decode_metadata(metadata)
                envelope = kept.actor, kept.causation, kept.correlation
                name = stream[cut:]
                found.append(
                    StoredEvent(
                        position, kept.id, name, revision + 1, type, kept.schema, *envelope, data
                    )
                )
        except msgspec.DecodeError as error:
            raise LogError(
                f"{stream} holds an event that no Starling wrote, at position {position}"
            ) from error
        return found


def propose_events(append: AppendRequest, events: Iterable[NewEvent]) -> tuple[ProposedEvent, ...]:
    """The events of an append, each with a UUID of its own.

    It is random, not made of the event's id: an append that is made a second time must be refused,
    where one that is sent a second time must not.
    """
    envelope = b'","actor":"%d","causation":"%d","correlation":"%d"}' % (
        append.actor,
        append.causation,
        append.correlation,
    )
    proposed: list[ProposedEvent] = []
    for id, event in events:
        name, schema, data = encode_event(event)
        metadata = b'{"id":"%d","schema":"%d%b' % (id, schema, envelope)
        proposed.append(ProposedEvent(str(uuid4()), name, metadata, data))
    return tuple(proposed)
