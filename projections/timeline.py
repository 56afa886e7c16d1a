"""Who posted and retweeted what, under which hashtag, for whom: what every timeline is made of.

The timelines of a user, of all and of a hashtag are read from these tables page by page
(`projections.timeline_pages`). Home timelines are not rows: they are merged from these tables on
read (`projections.home.merge`) or kept in memory, in rings that follow this projection's changes
(`projections.home.home_timeline`).

A retweet of a deleted post stays in its tables, and readers find that its post is gone: the
deletion and the retweet belong to different owners and may arrive in any order.
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
    PostRemoved,
    PostRetweeted,
    PostUnretweeted,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserUnfollowed,
    UserUnmuted,
)
from projections.follow_graph import BY_FOLLOWER, FOLLOW_GRAPH_EVENTS, FollowGraph
from projections.invalidation import Invalidation, InvalidationKind
from projections.projection import BatchRows, RowRead
from projections.store import Changes, KeyRange
from projections.tables import CounterTable, Table

BY_AUTHOR: Final = ("author", "post")
BY_ACTOR: Final = ("actor", "id")
BY_POST: Final = ("post", "id")
BY_TAG: Final = ("tag", "post")

MAX_SCANNED_ROWS: Final = 4000
"""Rows that are read for one page of a list from which readers hide authors."""


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
    """The same, to be found by user and post."""

    actor: int
    post: int
    id: int


class UndoneRetweet(NamedTuple):
    """`actor` retweeted `post` by the event `id`, and undid it, or deleted the account (then
    `account_deleted` is 1). The newest such event; cursors may still name the post."""

    post: int
    actor: int
    id: int
    account_deleted: int


class HashtagEntry(NamedTuple):
    """A post carries a (folded) hashtag. The post may be deleted, with its author's account."""

    post: int
    tag: str


class MutedUser(NamedTuple):
    """`muter` doesn't want to see `muted`, until a Unix ms if not for good (0); with 1 in
    `notifications`, nor to be notified of them."""

    muter: int
    muted: int
    until: int
    notifications: int


class FollowCount(NamedTuple):
    """Follows minus unfollows of an author.

    Blocks and deleted accounts don't lower it: only the followee's own events count, so that it
    is the same however they interleave with other owners' events.
    """

    author: int
    follows: int


class HighFanoutAuthor(NamedTuple):
    """An author with more follows than the limit, once: merged on read, never fanned out."""

    author: int


FOLLOW_GRAPH: Final = FollowGraph((BY_FOLLOWER,))
POST_ENTRIES: Final[Table[PostEntry]] = Table("posted", PostEntry, 1, (BY_AUTHOR,))
DELETED_POSTS: Final[Table[DeletedPost]] = Table("ended", DeletedPost, 1)
RETWEET_ENTRIES: Final[Table[RetweetEntry]] = Table(
    "retweets", RetweetEntry, 1, (BY_ACTOR, BY_POST)
)
RETWEETS_BY_USER: Final[Table[RetweetByUser]] = Table("passed", RetweetByUser, 2)
UNDONE_RETWEETS: Final[Table[UndoneRetweet]] = Table("undone", UndoneRetweet, 2)
HASHTAG_ENTRIES: Final[Table[HashtagEntry]] = Table("tagged", HashtagEntry, 2, (BY_TAG,))
MUTES: Final[Table[MutedUser]] = Table("mutes", MutedUser, 2)
FOLLOW_COUNTS: Final[Table[FollowCount]] = Table("audience", FollowCount, 1)
HIGH_FANOUT_AUTHORS: Final[Table[HighFanoutAuthor]] = Table("big", HighFanoutAuthor, 1)


class TimelineProjection:
    """The projection. An author whose follows were above `fanout_limit` once is high-fanout."""

    name = "timeline"
    version = 3
    event_types: tuple[type[Event], ...] = (
        PostCreated,
        PostEdited,
        PostDeleted,
        PostRemoved,
        PostRetweeted,
        PostUnretweeted,
        UserMuted,
        UserUnmuted,
        *FOLLOW_GRAPH_EVENTS,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        POST_ENTRIES, DELETED_POSTS, RETWEET_ENTRIES, RETWEETS_BY_USER, UNDONE_RETWEETS,
        HASHTAG_ENTRIES, MUTES, FOLLOW_COUNTS, HIGH_FANOUT_AUTHORS, *FOLLOW_GRAPH.tables,
    )  # fmt: skip

    def __init__(self, fanout_limit: int = 10_000) -> None:
        self._fanout_limit = fanout_limit

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """What `project` reads: ranges only where a post changes or an account is deleted."""
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
            row = MutedUser(event.muter, event.muted, event.until, int(event.notifications))
            view.put(MUTES, row)
        elif isinstance(event, UserUnmuted):
            view.delete(MUTES, (event.muter, event.muted))
        else:
            FOLLOW_GRAPH.project(recorded, view)
            self._project_user_event(event, view)

    def _project_user_event(self, event: Event, view: BatchRows) -> None:
        """Follows change an author's count; a deleted account's entries go."""
        if isinstance(event, UserFollowed | UserUnfollowed):
            before = view.get(FOLLOW_COUNTS, (event.followee,)) or FollowCount(event.followee, 0)
            follows = before.follows + (1 if isinstance(event, UserFollowed) else -1)
            view.put(FOLLOW_COUNTS, FollowCount(event.followee, follows))
            if before.follows <= self._fanout_limit < follows:
                view.put(HIGH_FANOUT_AUTHORS, HighFanoutAuthor(event.followee))
        elif isinstance(event, UserDeleted):
            for post, author in view.rows_in_range(
                KeyRange(POST_ENTRIES, (event.user,), order_by=BY_AUTHOR)
            ):
                view.delete(POST_ENTRIES, (post,))
                view.put(DELETED_POSTS, DeletedPost(post, author))
            for actor, post, _ in view.rows_in_range(KeyRange(RETWEETS_BY_USER, (event.user,))):
                _remove_retweet(actor, post, view, account_deleted=True)


def _add_hashtags(post: int, hashtags: Iterable[str], view: BatchRows) -> None:
    for tag in {fold_hashtag(tag) for tag in hashtags}:
        view.put(HASHTAG_ENTRIES, HashtagEntry(post, tag))


def _remove_hashtags(post: int, view: BatchRows) -> None:
    for row in view.rows_in_range(KeyRange(HASHTAG_ENTRIES, (post,))):
        view.delete(HASHTAG_ENTRIES, row)


def _remove_retweet(actor: int, post: int, view: BatchRows, account_deleted: bool = False) -> None:
    if row := view.get(RETWEETS_BY_USER, (actor, post)):
        view.put(UNDONE_RETWEETS, UndoneRetweet(post, actor, row.id, int(account_deleted)))
        view.delete(RETWEET_ENTRIES, (row.id,))
        view.delete(RETWEETS_BY_USER, (actor, post))


class TimelineEntry(NamedTuple):
    """A line of a timeline. `id` is what cursors name: the post's, or the retweet event's."""

    id: int
    post: int
    retweeter: int | None = None


class EntryPage(list[TimelineEntry]):
    """The entries of a page, newest first.

    A page has fewer entries than its limit where the list ends, and where it took too much work to
    find more. Then `scanned_to` is the id up to which the list was read: `max_id` of the next page,
    or `min_id` where the page counts from the oldest.
    """

    __slots__ = ("scanned_to",)

    def __init__(self, entries: Iterable[TimelineEntry] = (), scanned_to: int | None = None):
        super().__init__(entries)
        self.scanned_to = scanned_to


class SignedEntry(NamedTuple):
    """An entry of home timelines: its id (negative for a retweet), its author or retweeter, and
    the post that it shows."""

    signed_id: int
    actor: int
    post: int


def find_invalidations(changes: Changes) -> Iterator[Invalidation]:
    """What API processes must drop from their caches after these changes."""
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


def invalidations_with_entries(changes: Changes) -> Iterator[Invalidation]:
    """The same, with new entries given in full, for processes that keep home timelines by them.

    A new entry is two or three pairs, one right after the other: its author or retweeter, for a
    retweet the post that it shows, and its signed id. `NewEntryDecoder` reads them.
    """
    posts, retweets = changes.puts.get(POST_ENTRIES, {}), changes.puts.get(RETWEET_ENTRIES, {})
    removed = {post for _, post in changes.deletes.get(RETWEETS_BY_USER, ())}
    only_added = {row[2] for row in retweets.values()} - removed
    for kind, id in find_invalidations(changes):
        if not (
            (kind == InvalidationKind.ENTRY and (id,) in posts)
            or (kind == InvalidationKind.RETWEETS and id in only_added)
        ):
            yield kind, id
    for post, author in posts.values():
        yield InvalidationKind.NEW_ENTRY_ACTOR, author
        yield InvalidationKind.NEW_ENTRY, post
    for id, actor, post in retweets.values():
        yield InvalidationKind.NEW_ENTRY_ACTOR, actor
        yield InvalidationKind.NEW_ENTRY_POST, post
        yield InvalidationKind.NEW_ENTRY, -id


class NewEntryDecoder:
    """Reads the new entries from the pairs that `invalidations_with_entries` made of them."""

    def __init__(self) -> None:
        self._actor = self._post = 0

    def decode(self, kind: int, id: int) -> SignedEntry | None:
        """The entry, once the last of its pairs is given."""
        if kind == InvalidationKind.NEW_ENTRY_ACTOR:
            self._actor = id
        elif kind == InvalidationKind.NEW_ENTRY_POST:
            self._post = id
        else:
            return SignedEntry(id, self._actor, id if id > 0 else self._post)
        return None
