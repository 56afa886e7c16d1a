"""Which of a log's streams the node hides, as an administrator of it can have it do.

Metadata of a stream can truncate it, or let its events expire, and a stream can be deleted. The
node shows the events in $all until it scavenges, but not to readers of the stream; so commands are
decided on less than happened, while views still show all of it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from infra.eventstoredb.stream_names import StreamNames
from infra.eventstoredb.wire import ReadEvent, ReadRequest, encode_read_all

EVENTS_PER_READ: Final = 2000
TOMBSTONE_TYPE: Final = "$streamDeleted"
METADATA_PREFIX: Final = "$$"
"""Before a stream's name in that of the stream of its metadata."""
HIDING: Final = ("$tb", "$maxCount", "$maxAge")
"""What metadata may hide events by: truncate before, a count, an age."""


def find_hidden_streams(
    read: Callable[[ReadRequest], list[ReadEvent]], names: StreamNames
) -> list[str]:
    """The log's streams that are deleted, truncated, or may lose events by age or count."""
    reasons: dict[str, bool] = {}
    for event in _read_pages(read, streams=[METADATA_PREFIX + names.prefix]):
        reasons[event.stream.removeprefix(METADATA_PREFIX)] = _hides(event.data)
    for event in _read_pages(read, types=[TOMBSTONE_TYPE]):
        if event.stream.startswith(names.prefix):
            reasons[event.stream] = True
    hidden = (stream for stream, hides in reasons.items() if hides)
    return sorted(stream.removeprefix(names.prefix) for stream in hidden)


def _read_pages(
    read: Callable[[ReadRequest], list[ReadEvent]],
    streams: Sequence[str] = (),
    types: Sequence[str] = (),
) -> Iterator[ReadEvent]:
    place = 0
    while True:
        # The event at the place is read again: the node knows no other way to go on.
        there = read(encode_read_all(place, count=EVENTS_PER_READ, streams=streams, types=types))
        yield from (event for event in there if event.position > place)
        if len(there) < EVENTS_PER_READ:
            return
        place = there[-1].position


def _hides(metadata: bytes) -> bool:
    try:
        return any(name in msgspec.json.decode(metadata, type=dict[str, object]) for name in HIDING)
    except msgspec.DecodeError:
        return True  # not to be understood: it may mean anything
