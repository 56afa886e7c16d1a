"""Who posted and retweeted what, under which hashtag, for whom: what every timeline is made of.

Home timelines are not rows here. They are merged from these tables on read (`projections.merge`),
or kept ready in rings that are filled from this projection's changes (`projections.home`).

Retweets of a post that ended stay in their tables, and are found to point nowhere when they are
read: the post's deletion and a retweet belong to different owners and may arrive in any order.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from events.recorded import Recorded
from events.schema import (
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostRetweeted,
    PostUnretweeted,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserUnfollowed,
    UserUnmuted,
)
from events.tags import fold
from projections.edges import BY_FOLLOWER, TAKES, Edges
from projections.projection import Need, View
from projections.store import Changes, Span
from projections.tables import Table, Tally
from projections.touched import Kind

BY_AUTHOR: Final = ("author", "post")
BY_ACTOR: Final = ("actor", "id")
BY_POST: Final = ("post", "id")
BY_TAG: Final = ("tag", "post")


class Posted(NamedTuple):
    """A post or comment that exists. Its entry id is the post's id."""

    post: int
    author: int


class Ended(NamedTuple):
    """A post that was deleted, by itself or with its author; cursors may still name it."""

    post: int
    author: int


class Retweet(NamedTuple):
    """`actor` retweets `post`. The entry id is that of the event."""

    id: int
    actor: int
    post: int


class Passed(NamedTuple):
    """The same, to be found by who and what."""

    actor: int
    post: int
    id: int


class Tagged(NamedTuple):
    """A post carries a (folded) hashtag. The post may have ended with its author."""

    post: int
    tag: str


class Mute(NamedTuple):
    """`muter` doesn't want to see `muted`."""

    muter: int
    muted: int


class Audience(NamedTuple):
    """Follows minus unfollows of an author.

    Blocks and deleted accounts don't lower it: only the followee's own events count, so that it
    is the same whatever other owners' events came between.
    """

    author: int
    follows: int


class Big(NamedTuple):
    """An author whose audience was once above the threshold: merged on read, never fanned out."""

    author: int


EDGES: Final = Edges((BY_FOLLOWER,))
POSTED: Final[Table[Posted]] = Table("posted", Posted, 1, (BY_AUTHOR,))
ENDED: Final[Table[Ended]] = Table("ended", Ended, 1)
RETWEETS: Final[Table[Retweet]] = Table("retweets", Retweet, 1, (BY_ACTOR, BY_POST))
PASSED: Final[Table[Passed]] = Table("passed", Passed, 2)
TAGGED: Final[Table[Tagged]] = Table("tagged", Tagged, 2, (BY_TAG,))
MUTES: Final[Table[Mute]] = Table("mutes", Mute, 2)
AUDIENCE: Final[Table[Audience]] = Table("audience", Audience, 1)
BIG: Final[Table[Big]] = Table("big", Big, 1)


class Timeline:
    """The projection. `big_above` followers make an author big."""

    name = "timeline"
    version = 1
    takes: tuple[type[Event], ...] = (
        PostCreated,
        PostEdited,
        PostDeleted,
        PostRetweeted,
        PostUnretweeted,
        UserMuted,
        UserUnmuted,
        *TAKES,
    )
    tables: tuple[Table[Any] | Tally[Any], ...] = (
        POSTED, ENDED, RETWEETS, PASSED, TAGGED, MUTES, AUDIENCE, BIG, *EDGES.tables,
    )  # fmt: skip

    def __init__(self, big_above: int = 10_000) -> None:
        self._big_above = big_above

    def needs(self, recorded: Recorded) -> Iterator[Need | Span]:
        """What `project` reads: spans only where a post changes or an account ends."""
        event = recorded.event
        if isinstance(event, PostCreated):
            yield Need(EDGES.gone, (event.author,), own=True)
        elif isinstance(event, PostRetweeted | PostUnretweeted):
            yield Need(EDGES.gone, (event.user,), own=True)
            yield Need(PASSED, (event.user, event.post))
        elif isinstance(event, PostEdited | PostDeleted):
            yield Need(POSTED, (event.post,))
            yield Span(TAGGED, (event.post,))
        else:
            yield from EDGES.needs(recorded)
        if isinstance(event, UserFollowed | UserUnfollowed):
            yield Need(AUDIENCE, (event.followee,))
        elif isinstance(event, UserDeleted):
            yield Span(POSTED, (event.user,), by=BY_AUTHOR)
            yield Span(PASSED, (event.user,))

    def project(self, recorded: Recorded, view: View) -> None:
        """Change the entries or the edges, as the event says."""
        event = recorded.event
        if isinstance(event, PostCreated):
            if view.get(EDGES.gone, (event.author,)) is None:
                view.put(POSTED, Posted(event.post, event.author))
                _tag(event.post, event.hashtags, view)
        elif isinstance(event, PostRetweeted):
            _unretweet(event.user, event.post, view)
            if view.get(EDGES.gone, (event.user,)) is None:
                view.put(RETWEETS, Retweet(recorded.id, event.user, event.post))
                view.put(PASSED, Passed(event.user, event.post, recorded.id))
        elif isinstance(event, PostUnretweeted):
            _unretweet(event.user, event.post, view)
        elif isinstance(event, PostDeleted):
            _untag(event.post, view)
            view.delete(POSTED, (event.post,))
            view.put(ENDED, Ended(event.post, event.author))
        elif isinstance(event, PostEdited):
            _untag(event.post, view)
            if view.get(POSTED, (event.post,)) is not None:
                _tag(event.post, event.hashtags, view)
        elif isinstance(event, UserMuted):
            view.put(MUTES, Mute(event.muter, event.muted))
        elif isinstance(event, UserUnmuted):
            view.delete(MUTES, (event.muter, event.muted))
        else:
            EDGES.project(recorded, view)
            self._audience(event, view)

    def _audience(self, event: Event, view: View) -> None:
        """Follows change an author's audience; the end of an account ends its entries."""
        if isinstance(event, UserFollowed | UserUnfollowed):
            was = view.get(AUDIENCE, (event.followee,)) or Audience(event.followee, 0)
            follows = was.follows + (1 if isinstance(event, UserFollowed) else -1)
            view.put(AUDIENCE, Audience(event.followee, follows))
            if was.follows <= self._big_above < follows:
                view.put(BIG, Big(event.followee))
        elif isinstance(event, UserDeleted):
            for post, author in view.scan(Span(POSTED, (event.user,), by=BY_AUTHOR)):
                view.delete(POSTED, (post,))
                view.put(ENDED, Ended(post, author))
            for actor, post, _ in view.scan(Span(PASSED, (event.user,))):
                _unretweet(actor, post, view)


def _tag(post: int, hashtags: Iterable[str], view: View) -> None:
    for tag in {fold(tag) for tag in hashtags}:
        view.put(TAGGED, Tagged(post, tag))


def _untag(post: int, view: View) -> None:
    for row in view.scan(Span(TAGGED, (post,))):
        view.delete(TAGGED, row)


def _unretweet(actor: int, post: int, view: View) -> None:
    if row := view.get(PASSED, (actor, post)):
        view.delete(RETWEETS, (row.id,))
        view.delete(PASSED, (actor, post))


def touches(changes: Changes) -> Iterator[tuple[int, int]]:
    """What readers must forget after these changes: `Kind` and id."""
    for (entry,) in (*_keys(changes, POSTED), *changes.deletes.get(RETWEETS, ())):
        yield Kind.ENTRY, entry
    for _, post in _keys(changes, PASSED):
        yield Kind.RETWEETS, post
    for _, follower in _keys(changes, EDGES.alive):
        yield Kind.CONTEXT, follower
    for muter, _ in _keys(changes, MUTES):
        yield Kind.CONTEXT, muter
    for blocker, blocked in _keys(changes, EDGES.blocks):
        yield Kind.CONTEXT, blocker
        yield Kind.CONTEXT, blocked
    if changes.puts.get(BIG):
        yield Kind.BIG, 0


def _keys(changes: Changes, table: Table[Any]) -> Iterator[tuple[Any, ...]]:
    """The keys of rows that were put or deleted."""
    yield from changes.puts.get(table, ())
    yield from changes.deletes.get(table, ())
