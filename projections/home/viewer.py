"""What a reader's relations say about whose entries the reader sees."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from projections.follow_graph import BY_FOLLOWER
from projections.store import BatchReads, KeyRange, OldSchema, ReadStore
from projections.timeline import FOLLOW_GRAPH, HIGH_FANOUT_AUTHORS, MUTES, MutedUser


@dataclass(frozen=True, slots=True, eq=False)
class ViewerContext:
    """A reader's relations at one moment."""

    user: int
    following: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset()
    """Users whom the reader blocks or who block the reader."""
    muted: frozenset[int] = frozenset()
    muted_posts_alone: frozenset[int] = frozenset()
    """Those of the muted of whom the reader is notified all the same."""
    mute_ends_ms: int | None = None
    """When the first of the mutes ends; from then on these relations are those of before."""
    high_fanout_authors: frozenset[int] = frozenset()
    """Those whose entries are not fanned out, among the followed and the reader."""
    hidden: frozenset[int] = field(init=False)
    """Users whose posts and retweets the reader doesn't see anywhere."""
    silenced: frozenset[int] = field(init=False)
    """Users of whom the reader is notified of nothing."""
    self_and_followed: frozenset[int] = field(init=False)
    """Users whose posts are entries by themselves."""
    authors: frozenset[int] = field(init=False)
    """Those of `self_and_followed` who are not hidden: what they post and retweet shows."""

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen, and these four follow from the others
        put(self, "hidden", self.blocked | self.muted)
        put(self, "silenced", self.hidden - (self.muted_posts_alone - self.blocked))
        put(self, "self_and_followed", self.following | {self.user})
        put(self, "authors", _without_hidden(self.self_and_followed, self.hidden))

    def is_over(self, now_ms: int) -> bool:
        """Whether a mute has ended since these relations were read."""
        return self.mute_ends_ms is not None and self.mute_ends_ms <= now_ms


def _without_hidden(users: frozenset[int], hidden: frozenset[int]) -> frozenset[int]:
    """The same object where none is removed: most readers hide no user, and these are large."""
    return users if users.isdisjoint(hidden) else users - hidden


async def load_contexts(
    store: ReadStore, viewers: Collection[int], now_ms: int, *, with_high_fanout: bool = True
) -> dict[int, ViewerContext]:
    """The relations of some readers at a time. `with_high_fanout=False` saves a read and leaves
    `high_fanout_authors` empty."""
    ranges = [span for viewer in viewers for span in _relation_ranges(viewer)]
    if isinstance(store, BatchReads):
        rows = iter(await store.scan_many(ranges))
    else:
        rows = iter(
            [await store.scan(span.table, span.prefix, index=span.order_by) for span in ranges]
        )
    relations = dict(zip(viewers, zip(rows, rows, rows, rows, strict=True), strict=True))
    followed = {
        viewer: frozenset(edge.followee for edge in edges)
        for viewer, (edges, *_) in relations.items()
    }
    high_fanout = set[int]()
    if with_high_fanout:
        users = {(user,) for viewer in viewers for user in (*followed[viewer], viewer)}
        high_fanout = {author for (author,) in await store.get_many(HIGH_FANOUT_AUTHORS, users)}
    terms = {viewer: _terms_that_hold(mutes, now_ms) for viewer, (*_, mutes) in relations.items()}
    return {
        viewer: ViewerContext(
            user=viewer,
            following=followed[viewer],
            blocked=frozenset(
                [block.blocked for block in blocking if block.active]
                + [block.blocker for block in blocked_by if block.active]
            ),
            muted=frozenset(terms[viewer]),
            muted_posts_alone=frozenset(
                user for user, mute in terms[viewer].items() if not mute.notifications
            ),
            mute_ends_ms=min(
                (mute.until for mute in terms[viewer].values() if mute.until), default=None
            ),
            high_fanout_authors=frozenset(high_fanout & {*followed[viewer], viewer}),
        )
        for viewer, (_, blocking, blocked_by, _) in relations.items()
    }


class MuteTerms(NamedTuple):
    """Until when a mute holds (Unix ms, 0 for good), and whether it is one of notifications."""

    until: int
    notifications: bool


def _terms_that_hold(mutes: Iterable[MutedUser], now_ms: int) -> dict[int, MuteTerms]:
    """By muted user, without mutes whose time is over."""
    terms = {row.muted: _terms_of(row) for row in mutes}
    return {user: mute for user, mute in terms.items() if not 0 < mute.until <= now_ms}


def _terms_of(row: MutedUser) -> MuteTerms:
    """Those of every mute where the view is of before mutes had any."""
    try:
        return MuteTerms(row.until, bool(row.notifications))
    except OldSchema:
        return MuteTerms(0, True)


def _relation_ranges(viewer: int) -> tuple[KeyRange, KeyRange, KeyRange, KeyRange]:
    return (
        KeyRange(FOLLOW_GRAPH.edges, (viewer,), order_by=BY_FOLLOWER),
        KeyRange(FOLLOW_GRAPH.blocks, (viewer,)),
        KeyRange(FOLLOW_GRAPH.blocks, (viewer,), order_by=("blocked", "blocker")),
        KeyRange(MUTES, (viewer,)),
    )


class UserRelations(NamedTuple):
    """What holds between a reader and another user."""

    following: bool
    followed_by: bool
    blocking: bool
    blocked_by: bool
    muting: bool
    muting_notifications: bool
    mute_ends_ms: int
    """0 where there is no end, or no mute."""


async def read_relations(
    store: ReadStore, viewer: int, users: Collection[int], now_ms: int
) -> dict[int, UserRelations]:
    """The relations between a reader and each of the users at a time."""
    outward, inward = {(viewer, user) for user in users}, {(user, viewer) for user in users}
    edges = await store.get_many(FOLLOW_GRAPH.edges, outward | inward)
    blocks = await store.get_many(FOLLOW_GRAPH.blocks, outward | inward)
    mutes = await store.get_many(MUTES, outward)
    terms = _terms_that_hold(mutes.values(), now_ms)
    none = MuteTerms(0, False)
    active = {key for key, row in blocks.items() if row.active}
    return {
        user: UserRelations(
            following=(user, viewer) in edges,
            followed_by=(viewer, user) in edges,
            blocking=(viewer, user) in active,
            blocked_by=(user, viewer) in active,
            muting=user in terms,
            muting_notifications=terms.get(user, none).notifications,
            mute_ends_ms=terms.get(user, none).until,
        )
        for user in users
    }
