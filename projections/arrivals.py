"""The news of new entries: who made which, so that whoever hears them need not ask.

In the journal of touched keys an entry is two or three pairs, one right after the other: who made
it, for a retweet which post it shows, and its signed id.
"""

from collections.abc import Iterator
from typing import Final

from projections.merge import Found
from projections.store import Changes
from projections.timeline import PASSED, POSTED, RETWEETS, touches
from projections.touched import Kind


def told(changes: Changes) -> Iterator[tuple[int, int]]:
    """What `timeline.touches` says of changes, but with new entries told and not only named."""
    posts, retweets = changes.puts.get(POSTED, {}), changes.puts.get(RETWEETS, {})
    # Those who retweeted a post are told where they only became more.
    less = {post for _, post in changes.deletes.get(PASSED, ())}
    more = {row[2] for row in retweets.values()} - less
    for kind, id in touches(changes):
        if not ((kind == Kind.ENTRY and (id,) in posts) or (kind == Kind.RETWEETS and id in more)):
            yield kind, id
    for post, author in posts.values():
        yield Kind.ACTOR, author
        yield Kind.CAME, post
    for id, actor, post in retweets.values():
        yield Kind.ACTOR, actor
        yield Kind.SHOWS, post
        yield Kind.CAME, -id


class Arrivals:
    """Puts the pairs of each entry together again."""

    KINDS: Final = frozenset({Kind.ACTOR, Kind.SHOWS, Kind.CAME})

    def __init__(self) -> None:
        self._actor = self._post = 0

    def take(self, kind: int, id: int) -> Found | None:
        """The next pair of the journal; the entry once it was the last of its pairs."""
        if kind == Kind.ACTOR:
            self._actor = id
        elif kind == Kind.SHOWS:
            self._post = id
        else:
            return Found(id, self._actor, id if id > 0 else self._post)
        return None
