"""Filters of posts, each its owner's alone.

A row is what the newest event of a filter says. Its texts are sealed, and whether it has expired,
the reader finds out.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from events.envelope import RecordedEvent
from events.schema import (
    Event,
    FilterChanged,
    FilterDeleted,
    FilteredPost,
    FilterKeyword,
    UserDeleted,
)
from projections.invalidation import Invalidation, InvalidationKind
from projections.projection import BatchRows, RowRead
from projections.store import Changes, KeyRange, ReadStore
from projections.tables import CounterTable, Table


class FilterRow(NamedTuple):
    """A filter of `user`'s. `expires_at` is in Unix ms, 0 for never.

    `contexts`, `keywords` and `posts` are JSON arrays, as in the event.
    """

    user: int
    filter: int
    title: str
    contexts: str
    action: str
    expires_at: int
    keywords: str
    posts: str


FILTERS: Final[Table[FilterRow]] = Table("filters", FilterRow, key_size=2)

_encode = msgspec.json.Encoder().encode
_decode_contexts = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_keywords = msgspec.json.Decoder(tuple[FilterKeyword, ...]).decode
_decode_posts = msgspec.json.Decoder(tuple[FilteredPost, ...]).decode


class FiltersProjection:
    """Keeps filters."""

    name = "filters"
    version = 1
    event_types: tuple[type[Event], ...] = (FilterChanged, FilterDeleted, UserDeleted)
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (FILTERS,)

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """All of a user's where the account ends."""
        if isinstance(recorded.event, UserDeleted):
            yield KeyRange(FILTERS, (recorded.event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Put or delete a filter."""
        match recorded.event:
            case FilterChanged() as event:
                view.put(
                    FILTERS,
                    FilterRow(
                        event.user,
                        event.filter,
                        event.title,
                        _encode(event.contexts).decode(),
                        event.action,
                        event.expires_at,
                        _encode(event.keywords).decode(),
                        _encode(event.posts).decode(),
                    ),
                )
            case FilterDeleted(filter=id, user=user):
                view.delete(FILTERS, (user, id))
            case UserDeleted(user=user):
                for row in view.rows_in_range(KeyRange(FILTERS, (user,))):
                    view.delete(FILTERS, row[:2])


async def read_filters(store: ReadStore, user: int) -> list[FilterChanged]:
    """A user's filters, the oldest first."""
    return [
        FilterChanged(
            row.filter,
            row.user,
            row.title,
            _decode_contexts(row.contexts),
            row.action,
            row.expires_at,
            _decode_keywords(row.keywords),
            _decode_posts(row.posts),
        )
        for row in await store.scan(FILTERS, (user,))
    ]


def find_invalidations(changes: Changes) -> Iterator[Invalidation]:
    """What API processes must drop from their caches after these changes."""
    users = {user for user, _ in changes.puts.get(FILTERS, ())}
    users.update(user for user, _ in changes.deletes.get(FILTERS, ()))
    for user in users:
        yield InvalidationKind.FILTERS, user
