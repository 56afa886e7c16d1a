"""Who posted and retweeted what, under which hashtag, for whom: what every timeline is made of.

Home timelines are not rows here. They are merged from these tables on read
(`projections.home.merge`), or kept ready in rings that are filled from this projection's changes
(`projections.home.home_timeline`).

Retweets of a post that ended stay in their tables, and are found to point nowhere when they are
read: the post's deletion and a retweet belong to different owners and may arrive in any order.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.hashtags import fold_hashtag
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
from projections.follow_graph import BY_FOLLOWER, FOLLOW_GRAPH_EVENTS, FollowGraph
from projections.invalidation import InvalidationKind
from projections.projection import BatchRows, RowRead
from projections.store import Changes, KeyRange
from projections.tables import CounterTable, Table

BY_AUTHOR: Final = ("author", "post")
BY_ACTOR: Final = ("actor", "id")
BY_POST: Final = ("post", "id")
BY_TAG: Final = ("tag", "post")


class PostEntry(NamedTuple):
    """A post or comment that exists. Its entry id is the post's id."""

    post: int
    author: int


class DeletedPost(NamedTuple):
    """A post that was deleted, by itself or with its author; cursors may still name it."""

    post: int
    author: int


class RetweetEntry(NamedTuple):
    """`actor` retweets `post`. The entry id is that of the event."""

    id: int
    actor: int
    post: int


class RetweetByUser(NamedTuple):
    """The same, to be found by who and what."""

    actor: int
    post: int
    id: int


class HashtagEntry(NamedTuple):
    """A post carries a (folded) hashtag. The post may have ended with its author."""

    post: int
    tag: str


class MutedUser(NamedTuple):
    """`muter` doesn't want to see `muted`."""

    muter: int
    muted: int


class FollowCount(NamedTuple):
    """Follows minus unfollows of an author.

    Blocks and deleted accounts don't lower it: only the followee's own events count, so that it
    is the same whatever other owners' events came between.
    """

    author: int
    follows: int


class HighFanoutAuthor(NamedTuple):
    """An author whose audience was once above the threshold: merged on read, never fanned out."""

    author: int


FOLLOW_GRAPH: Final = FollowGraph((BY_FOLLOWER,))
POST_ENTRIES: Final[Table[PostEntry]] = Table("posted", PostEntry, 1, (BY_AUTHOR,))
DELETED_POSTS: Final[Table[DeletedPost]] = Table("ended", DeletedPost, 1)
RETWEET_ENTRIES: Final[Table[RetweetEntry]] = Table(
    "retweets", RetweetEntry, 1, (BY_ACTOR, BY_POST)
)
RETWEETS_BY_USER: Final[Table[RetweetByUser]] = Table("passed", RetweetByUser, 2)
HASHTAG_ENTRIES: Final[Table[HashtagEntry]] = Table("tagged", HashtagEntry, 2, (BY_TAG,))
MUTES: Final[Table[MutedUser]] = Table("mutes", MutedUser, 2)
FOLLOW_COUNTS: Final[Table[FollowCount]] = Table("audience", FollowCount, 1)
HIGH_FANOUT_AUTHORS: Final[Table[HighFanoutAuthor]] = Table("big", HighFanoutAuthor, 1)


class TimelineProjection:
    """The projection. `big_above` followers make an author big."""

    name = "timeline"
    version = 1
    event_types: tuple[type[Event], ...] = (
        PostCreated,
        PostEdited,
        PostDeleted,
        PostRetweeted,
        PostUnretweeted,
        UserMuted,
        UserUnmuted,
        *FOLLOW_GRAPH_EVENTS,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        POST_ENTRIES, DELETED_POSTS, RETWEET_ENTRIES, RETWEETS_BY_USER, HASHTAG_ENTRIES, MUTES,
        FOLLOW_COUNTS, HIGH_FANOUT_AUTHORS, *FOLLOW_GRAPH.tables,
    )  # fmt: skip

    def __init__(self, big_above: int = 10_000) -> None:
        self._fanout_limit = big_above

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """What `project` reads: spans only where a post changes or an account ends."""
        event = recorded.event
        if isinstance(event, PostCreated):
            yield RowRead(FOLLOW_GRAPH.deleted_users, (event.author,), single_owner=True)
        elif isinstance(event, PostRetweeted | PostUnretweeted):
            yield RowRead(FOLLOW_GRAPH.deleted_users, (event.user,), single_owner=True)
            yield RowRead(RETWEETS_BY_USER, (event.user, event.post))
        elif isinstance(event, PostEdited | PostDeleted):
            yield RowRead(POST_ENTRIES, (event.post,))
            yield KeyRange(HASHTAG_ENTRIES, (event.post,))
        else:
            yield from FOLLOW_GRAPH.rows_to_read(recorded)
        if isinstance(event, UserFollowed | UserUnfollowed):
            yield RowRead(FOLLOW_COUNTS, (event.followee,))
        elif isinstance(event, UserDeleted):
            yield KeyRange(POST_ENTRIES, (event.user,), order_by=BY_AUTHOR)
            yield KeyRange(RETWEETS_BY_USER, (event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Change the entries or the edges, as the event says."""
        event = recorded.event
        if isinstance(event, PostCreated):
            if view.get(FOLLOW_GRAPH.deleted_users, (event.author,)) is None:
                view.put(POST_ENTRIES, PostEntry(event.post, event.author))
                _add_hashtags(event.post, event.hashtags, view)
        elif isinstance(event, PostRetweeted):
            _remove_retweet(event.user, event.post, view)
            if view.get(FOLLOW_GRAPH.deleted_users, (event.user,)) is None:
                view.put(RETWEET_ENTRIES, RetweetEntry(recorded.id, event.user, event.post))
                view.put(RETWEETS_BY_USER, RetweetByUser(event.user, event.post, recorded.id))
        elif isinstance(event, PostUnretweeted):
            _remove_retweet(event.user, event.post, view)
        elif isinstance(event, PostDeleted):
            _remove_hashtags(event.post, view)
            view.delete(POST_ENTRIES, (event.post,))
            view.put(DELETED_POSTS, DeletedPost(event.post, event.author))
        elif isinstance(event, PostEdited):
            _remove_hashtags(event.post, view)
            if view.get(POST_ENTRIES, (event.post,)) is not None:
                _add_hashtags(event.post, event.hashtags, view)
        elif isinstance(event, UserMuted):
            view.put(MUTES, MutedUser(event.muter, event.muted))
        elif isinstance(event, UserUnmuted):
            view.delete(MUTES, (event.muter, event.muted))
        else:
            FOLLOW_GRAPH.project(recorded, view)
            self._project_user_event(event, view)

    def _project_user_event(self, event: Event, view: BatchRows) -> None:
        """Follows change an author's audience; the end of an account ends its entries."""
        if isinstance(event, UserFollowed | UserUnfollowed):
            was = view.get(FOLLOW_COUNTS, (event.followee,)) or FollowCount(event.followee, 0)
            follows = was.follows + (1 if isinstance(event, UserFollowed) else -1)
            view.put(FOLLOW_COUNTS, FollowCount(event.followee, follows))
            if was.follows <= self._fanout_limit < follows:
                view.put(HIGH_FANOUT_AUTHORS, HighFanoutAuthor(event.followee))
        elif isinstance(event, UserDeleted):
            for post, author in view.rows_in_range(
                KeyRange(POST_ENTRIES, (event.user,), order_by=BY_AUTHOR)
            ):
                view.delete(POST_ENTRIES, (post,))
                view.put(DELETED_POSTS, DeletedPost(post, author))
            for actor, post, _ in view.rows_in_range(KeyRange(RETWEETS_BY_USER, (event.user,))):
                _remove_retweet(actor, post, view)


def _add_hashtags(post: int, hashtags: Iterable[str], view: BatchRows) -> None:
    for tag in {fold_hashtag(tag) for tag in hashtags}:
        view.put(HASHTAG_ENTRIES, HashtagEntry(post, tag))


def _remove_hashtags(post: int, view: BatchRows) -> None:
    for row in view.rows_in_range(KeyRange(HASHTAG_ENTRIES, (post,))):
        view.delete(HASHTAG_ENTRIES, row)


def _remove_retweet(actor: int, post: int, view: BatchRows) -> None:
    if row := view.get(RETWEETS_BY_USER, (actor, post)):
        view.delete(RETWEET_ENTRIES, (row.id,))
        view.delete(RETWEETS_BY_USER, (actor, post))


def find_invalidations(changes: Changes) -> Iterator[tuple[int, int]]:
    """What readers must forget after these changes: `InvalidationKind` and id."""
    for (entry,) in (
        *_changed_keys(changes, POST_ENTRIES),
        *changes.deletes.get(RETWEET_ENTRIES, ()),
    ):
        yield InvalidationKind.ENTRY, entry
    for _, post in _changed_keys(changes, RETWEETS_BY_USER):
        yield InvalidationKind.RETWEETS, post
    for _, follower in _changed_keys(changes, FOLLOW_GRAPH.edges):
        yield InvalidationKind.RELATIONS, follower
    for muter, _ in _changed_keys(changes, MUTES):
        yield InvalidationKind.RELATIONS, muter
    for blocker, blocked in _changed_keys(changes, FOLLOW_GRAPH.blocks):
        yield InvalidationKind.RELATIONS, blocker
        yield InvalidationKind.RELATIONS, blocked
    if changes.puts.get(HIGH_FANOUT_AUTHORS):
        yield InvalidationKind.HIGH_FANOUT, 0


def _changed_keys(changes: Changes, table: Table[Any]) -> Iterator[tuple[Any, ...]]:
    """The keys of rows that were put or deleted."""
    yield from changes.puts.get(table, ())
    yield from changes.deletes.get(table, ())
