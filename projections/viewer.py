"""What a reader's relations say about whose entries the reader sees."""

from dataclasses import dataclass, field

from projections.edges import BY_FOLLOWER
from projections.store import ReadStore
from projections.timeline import BIG, EDGES, MUTES


@dataclass(frozen=True, slots=True, eq=False)
class ViewerContext:
    """A reader's relations at one moment. Change none of the sets."""

    user: int
    following: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset()
    """Whom the reader blocks and who blocks the reader."""
    muted: frozenset[int] = frozenset()
    big: frozenset[int] = frozenset()
    """Those whose entries are not fanned out, among the followed and the reader."""
    hidden: frozenset[int] = field(init=False)
    """Whose posts and retweets the reader doesn't see anywhere."""
    own: frozenset[int] = field(init=False)
    """Whose posts are entries by themselves: the followed and the reader."""
    authors: frozenset[int] = field(init=False)
    """Those of `own` who are not hidden."""
    retweeters: frozenset[int] = field(init=False)
    """Whose retweets the home timeline shows: the followed who are not hidden."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "hidden", self.blocked | self.muted)
        put(self, "own", self.following | {self.user})
        put(self, "authors", _without(self.own, self.hidden))
        put(self, "retweeters", _without(self.following, self.hidden))


def _without(users: frozenset[int], hidden: frozenset[int]) -> frozenset[int]:
    """The same set where nobody goes: most readers hide nobody, and these sets are large."""
    return users if users.isdisjoint(hidden) else users - hidden


async def context(store: ReadStore, viewer: int) -> ViewerContext:
    """The relations of a reader as the store has them."""
    edges = await store.scan(EDGES.alive, (viewer,), index=BY_FOLLOWER)
    blocking = await store.scan(EDGES.blocks, (viewer,))
    blocking_back = await store.scan(EDGES.blocks, (viewer,), index=("blocked", "blocker"))
    mutes = await store.scan(MUTES, (viewer,))
    following = frozenset(edge.followee for edge in edges)
    big = await store.get_many(BIG, {(user,) for user in (*following, viewer)})
    return ViewerContext(
        user=viewer,
        following=following,
        blocked=frozenset(
            [block.blocked for block in blocking if block.active]
            + [block.blocker for block in blocking_back if block.active]
        ),
        muted=frozenset(mute.muted for mute in mutes),
        big=frozenset(author for (author,) in big),
    )
