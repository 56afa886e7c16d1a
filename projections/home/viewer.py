"""What a reader's relations say about whose entries the reader sees."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from projections.follow_graph import BY_FOLLOWER
from projections.store import BatchReads, KeyRange, ReadStore
from projections.timeline import FOLLOW_GRAPH, HIGH_FANOUT_AUTHORS, MUTES


@dataclass(frozen=True, slots=True, eq=False)
class ViewerContext:
    """A reader's relations at one moment."""

    user: int
    following: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset()
    """Users whom the reader blocks or who block the reader."""
    muted: frozenset[int] = frozenset()
    high_fanout_authors: frozenset[int] = frozenset()
    """Those whose entries are not fanned out, among the followed and the reader."""
    hidden: frozenset[int] = field(init=False)
    """Users whose posts and retweets the reader doesn't see anywhere."""
    self_and_followed: frozenset[int] = field(init=False)
    """Users whose posts are entries by themselves."""
    authors: frozenset[int] = field(init=False)
    """Those of `self_and_followed` who are not hidden: what they post and retweet shows."""

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen, and these three follow from the others
        put(self, "hidden", self.blocked | self.muted)
        put(self, "self_and_followed", self.following | {self.user})
        put(self, "authors", _without_hidden(self.self_and_followed, self.hidden))


def _without_hidden(users: frozenset[int], hidden: frozenset[int]) -> frozenset[int]:
    """The same object where none is removed: most readers hide no user, and these are large."""
    return users if users.isdisjoint(hidden) else users - hidden


async def load_contexts(
    store: ReadStore, viewers: Collection[int], *, with_high_fanout: bool = True
) -> dict[int, ViewerContext]:
    """The relations of some readers. `with_high_fanout=False` saves a read and leaves
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
    return {
        viewer: ViewerContext(
            user=viewer,
            following=followed[viewer],
            blocked=frozenset(
                [block.blocked for block in blocking if block.active]
                + [block.blocker for block in blocked_by if block.active]
            ),
            muted=frozenset(mute.muted for mute in mutes),
            high_fanout_authors=frozenset(high_fanout & {*followed[viewer], viewer}),
        )
        for viewer, (_, blocking, blocked_by, mutes) in relations.items()
    }


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


async def read_relations(
    store: ReadStore, viewer: int, users: Collection[int]
) -> dict[int, UserRelations]:
    """The relations between a reader and each of the users."""
    outward, inward = {(viewer, user) for user in users}, {(user, viewer) for user in users}
    edges = await store.get_many(FOLLOW_GRAPH.edges, outward | inward)
    blocks = await store.get_many(FOLLOW_GRAPH.blocks, outward | inward)
    mutes = await store.get_many(MUTES, outward)
    active = {key for key, row in blocks.items() if row.active}
    return {
        user: UserRelations(
            following=(user, viewer) in edges,
            followed_by=(viewer, user) in edges,
            blocking=(viewer, user) in active,
            blocked_by=(user, viewer) in active,
            muting=(viewer, user) in mutes,
        )
        for user in users
    }
