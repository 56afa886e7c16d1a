"""The news of new entries: who made which, so that whoever hears them need not ask.

In the journal of touched keys an entry is two or three pairs, one right after the other: who made
it, for a retweet which post it shows, and its signed id.
"""

from collections.abc import Iterator
from typing import Final

from projections.home.merge import SignedEntry
from projections.invalidation import InvalidationKind
from projections.store import Changes
from projections.timeline import POST_ENTRIES, RETWEET_ENTRIES, RETWEETS_BY_USER, find_invalidations


def invalidations_with_entries(changes: Changes) -> Iterator[tuple[int, int]]:
    """What `timeline.touches` says of changes, but with new entries told and not only named."""
    posts, retweets = changes.puts.get(POST_ENTRIES, {}), changes.puts.get(RETWEET_ENTRIES, {})
    # Those who retweeted a post are told where they only became more.
    less = {post for _, post in changes.deletes.get(RETWEETS_BY_USER, ())}
    more = {row[2] for row in retweets.values()} - less
    for kind, id in find_invalidations(changes):
        if not (
            (kind == InvalidationKind.ENTRY and (id,) in posts)
            or (kind == InvalidationKind.RETWEETS and id in more)
        ):
            yield kind, id
    for post, author in posts.values():
        yield InvalidationKind.NEW_ENTRY_ACTOR, author
        yield InvalidationKind.NEW_ENTRY, post
    for id, actor, post in retweets.values():
        yield InvalidationKind.NEW_ENTRY_ACTOR, actor
        yield InvalidationKind.NEW_ENTRY_POST, post
        yield InvalidationKind.NEW_ENTRY, -id


class NewEntryAssembler:
    """Puts the pairs of each entry together again."""

    KINDS: Final = frozenset(
        {
            InvalidationKind.NEW_ENTRY_ACTOR,
            InvalidationKind.NEW_ENTRY_POST,
            InvalidationKind.NEW_ENTRY,
        }
    )

    def __init__(self) -> None:
        self._actor = self._post = 0

    def add_pair(self, kind: int, id: int) -> SignedEntry | None:
        """The next pair of the journal; the entry once it was the last of its pairs."""
        if kind == InvalidationKind.NEW_ENTRY_ACTOR:
            self._actor = id
        elif kind == InvalidationKind.NEW_ENTRY_POST:
            self._post = id
        else:
            return SignedEntry(id, self._actor, id if id > 0 else self._post)
        return None
