"""When a follow is alive: the rule that every projection with follow edges shares.

An edge (followee, follower) is alive while its last follow event is `UserFollowed`, that event's
`blocks` equals the number of blocks between the two in either direction, and neither of them
deleted the account. So a block ends follows without events of their own (`docs/adr/0006`).

Events of different owners may arrive in any interleaving, and the rows end the same: a follow that
saw more blocks than have arrived yet is pending until they have, and the tombstone of a deleted
account outlives its edges. Each projection has its own tables of these, because projections don't
read one another's.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.schema import (
    Event,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserUnblocked,
    UserUnfollowed,
)
from projections.projection import BatchRows, RowRead
from projections.store import KeyRange
from projections.tables import Table

FOLLOW_GRAPH_EVENTS: Final[tuple[type[Event], ...]] = (
    UserFollowed,
    UserUnfollowed,
    UserBlocked,
    UserUnblocked,
    UserDeleted,
)


class FollowEdge(NamedTuple):
    """A follow that is alive; `id` is that of its `UserFollowed`."""

    followee: int
    follower: int
    id: int


class PendingFollow(NamedTuple):
    """A follow that saw `blocks` blocks of which some have not arrived here yet."""

    followee: int
    follower: int
    id: int
    blocks: int


class BlockEdge(NamedTuple):
    """`times` blocks of `blocked` by `blocker` so far; `active` is 1 while the last one holds."""

    blocker: int
    blocked: int
    times: int
    active: int


class DeletedUser(NamedTuple):
    """A deleted account."""

    user: int


class EdgeChange(NamedTuple):
    """An edge began or ended."""

    followee: int
    follower: int
    began: bool


BY_FOLLOWER: Final = ("follower", "followee")


class FollowGraph:
    """The tables of a projection's follow edges, and how events change them."""

    def __init__(
        self, indexes: tuple[tuple[str, ...], ...], *, ends_with_followee: bool = True
    ) -> None:
        """`indexes` of the living edges beside their key (followee, follower).

        One of them must begin with the follower: `by_follower` is the first that does. Without
        `ends_with_followee`, edges outlive the deletion of the followee, for readers who leave
        deleted accounts out by themselves.
        """
        self._ends_with_followee = ends_with_followee
        self.edges: Table[FollowEdge] = Table("edges", FollowEdge, 2, indexes, cross_owner=True)
        self.pending_follows: Table[PendingFollow] = Table(
            "pending_edges", PendingFollow, 2, (BY_FOLLOWER,), cross_owner=True
        )
        self.blocks: Table[BlockEdge] = Table(
            "blocks",
            BlockEdge,
            2,
            (("blocked", "blocker"),),
            cross_owner=True,
            conflict_checked=True,
        )
        self.deleted_users: Table[DeletedUser] = Table(
            "gone", DeletedUser, 1, cross_owner=True, conflict_checked=True
        )
        self.by_follower = next(index for index in indexes if index[0] == "follower")

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        """All of them."""
        return (self.edges, self.pending_follows, self.blocks, self.deleted_users)

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """What `project` reads for an event of `FOLLOW_GRAPH_EVENTS`."""
        event = recorded.event
        if isinstance(event, UserFollowed):
            yield from self._pair_reads(event.followee, event.follower)
            yield RowRead(self.deleted_users, (event.followee,), single_owner=True)
            yield RowRead(self.deleted_users, (event.follower,))
        elif isinstance(event, UserUnfollowed):
            yield RowRead(self.edges, (event.followee, event.follower))
            yield RowRead(self.pending_follows, (event.followee, event.follower))
        elif isinstance(event, UserBlocked):
            yield from self._pair_reads(event.blocker, event.blocked)
            yield RowRead(self.edges, (event.blocked, event.blocker))
            yield RowRead(self.pending_follows, (event.blocked, event.blocker))
        elif isinstance(event, UserUnblocked):
            yield RowRead(self.blocks, (event.blocker, event.blocked), single_owner=True)
        elif isinstance(event, UserDeleted):
            yield from self._deletion_ranges(event.user)

    def project(self, recorded: RecordedEvent, view: BatchRows) -> list[EdgeChange]:
        """Change the tables as an event says; the edges that began or ended by it."""
        event = recorded.event
        if isinstance(event, UserFollowed):
            return self._add_follow(recorded.id, event, view)
        if isinstance(event, UserUnfollowed):
            return self._end_follow(event.followee, event.follower, view)
        if isinstance(event, UserBlocked):
            return self._add_block(event, view)
        if isinstance(event, UserUnblocked):
            block = view.get(self.blocks, (event.blocker, event.blocked))
            if block is not None:
                view.put(self.blocks, block._replace(active=0))
        elif isinstance(event, UserDeleted):
            return self._delete_user(event.user, view)
        return []

    def _pair_reads(self, owner: int, other: int) -> Iterator[RowRead]:
        """The rows about two users that an event of `owner` reads."""
        yield RowRead(self.edges, (owner, other))
        yield RowRead(self.pending_follows, (owner, other))
        yield RowRead(self.blocks, (owner, other), single_owner=True)
        yield RowRead(self.blocks, (other, owner))

    def _deletion_ranges(self, user: int) -> Iterator[KeyRange]:
        if self._ends_with_followee:
            yield KeyRange(self.edges, (user,))
            yield KeyRange(self.pending_follows, (user,))
        yield KeyRange(self.edges, (user,), order_by=self.by_follower)
        yield KeyRange(self.pending_follows, (user,), order_by=BY_FOLLOWER)

    def _count_blocks(self, one: int, other: int, view: BatchRows) -> int:
        """Blocks between two users so far, in both directions."""
        rows = view.get(self.blocks, (one, other)), view.get(self.blocks, (other, one))
        return sum(row.times for row in rows if row)

    def _add_follow(self, id: int, event: UserFollowed, view: BatchRows) -> list[EdgeChange]:
        followee, follower = event.followee, event.follower
        if view.get(self.deleted_users, (followee,)) or view.get(self.deleted_users, (follower,)):
            return []
        count = self._count_blocks(followee, follower, view)
        if event.blocks == count:
            was = view.get(self.edges, (followee, follower))
            if view.get(self.pending_follows, (followee, follower)):
                view.delete(self.pending_follows, (followee, follower))
            view.put(self.edges, FollowEdge(followee, follower, id))
            return [] if was else [EdgeChange(followee, follower, True)]
        ended = self._end_follow(followee, follower, view)
        if event.blocks > count:
            view.put(self.pending_follows, PendingFollow(followee, follower, id, event.blocks))
        return ended

    def _end_follow(self, followee: int, follower: int, view: BatchRows) -> list[EdgeChange]:
        if view.get(self.pending_follows, (followee, follower)):
            view.delete(self.pending_follows, (followee, follower))
        if not view.get(self.edges, (followee, follower)):
            return []
        view.delete(self.edges, (followee, follower))
        return [EdgeChange(followee, follower, False)]

    def _add_block(self, event: UserBlocked, view: BatchRows) -> list[EdgeChange]:
        one, other = event.blocker, event.blocked
        view.put(self.blocks, BlockEdge(one, other, event.count, 1))
        count = self._count_blocks(one, other, view)
        changes: list[EdgeChange] = []
        for followee, follower in ((one, other), (other, one)):
            pending = view.get(self.pending_follows, (followee, follower))
            if pending is not None and pending.blocks > count:
                continue  # then there is no living edge either
            changes += self._end_follow(followee, follower, view)
            if pending is not None and pending.blocks == count:
                view.put(self.edges, FollowEdge(followee, follower, pending.id))
                changes.append(EdgeChange(followee, follower, True))
        return changes

    def _delete_user(self, user: int, view: BatchRows) -> list[EdgeChange]:
        view.put(self.deleted_users, DeletedUser(user))
        ended: dict[tuple[int, int], None] = {}
        for span in self._deletion_ranges(user):
            for followee, follower, *_ in view.rows_in_range(span):
                view.delete(span.table, (followee, follower))
                if span.table is self.edges:
                    ended[followee, follower] = None
        return [EdgeChange(followee, follower, False) for followee, follower in ended]
