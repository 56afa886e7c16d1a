"""When a follow is alive: the rule that every projection with follow edges shares.

An edge (followee, follower) is alive while its last follow event is `UserFollowed`, that event's
`blocks` equals the number of blocks between the two in either direction, and neither of them
deleted the account. So a block ends follows without events of their own (`docs/adr/0006`).

Events of different owners may arrive in any interleaving, and the rows end the same: a follow that
saw more blocks than arrived yet is kept as pending until they did, and the tombstone of a deleted
account outlives its edges. Each projection makes its own tables of these, because projections don't
read one another's.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from events.recorded import Recorded
from events.schema import (
    Event,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserUnblocked,
    UserUnfollowed,
)
from projections.projection import Need, View
from projections.store import Span
from projections.tables import Table

TAKES: Final[tuple[type[Event], ...]] = (
    UserFollowed,
    UserUnfollowed,
    UserBlocked,
    UserUnblocked,
    UserDeleted,
)


class Edge(NamedTuple):
    """A follow that is alive; `id` is that of the event that made it."""

    followee: int
    follower: int
    id: int


class Pending(NamedTuple):
    """A follow that saw `blocks` blocks of which some have not arrived here yet."""

    followee: int
    follower: int
    id: int
    blocks: int


class Block(NamedTuple):
    """`times` blocks of one by the other so far; `active` is 1 while the last of them holds."""

    blocker: int
    blocked: int
    times: int
    active: int


class Gone(NamedTuple):
    """A deleted account."""

    user: int


class Life(NamedTuple):
    """An edge began (`alive`) or ended."""

    followee: int
    follower: int
    alive: bool


BY_FOLLOWER: Final = ("follower", "followee")


class Edges:
    """The tables of a projection's follow edges, and how events change them."""

    def __init__(self, indexes: tuple[tuple[str, ...], ...]) -> None:
        """`indexes` of the living edges beside their key (followee, follower).

        One of them must begin with the follower: `by_follower` is the first that does.
        """
        self.alive: Table[Edge] = Table("edges", Edge, 2, indexes, shared=True)
        self.pending: Table[Pending] = Table(
            "pending_edges", Pending, 2, (BY_FOLLOWER,), shared=True
        )
        self.blocks: Table[Block] = Table(
            "blocks", Block, 2, (("blocked", "blocker"),), shared=True, watched=True
        )
        self.gone: Table[Gone] = Table("gone", Gone, 1, shared=True, watched=True)
        self.by_follower = next(index for index in indexes if index[0] == "follower")

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        """All of them."""
        return (self.alive, self.pending, self.blocks, self.gone)

    def needs(self, recorded: Recorded) -> Iterator[Need | Span]:
        """What `project` reads for an event of `TAKES`."""
        event = recorded.event
        if isinstance(event, UserFollowed):
            yield from self._between(event.followee, event.follower)
            yield Need(self.gone, (event.followee,), own=True)
            yield Need(self.gone, (event.follower,))
        elif isinstance(event, UserUnfollowed):
            yield Need(self.alive, (event.followee, event.follower))
            yield Need(self.pending, (event.followee, event.follower))
        elif isinstance(event, UserBlocked):
            yield from self._between(event.blocker, event.blocked)
            yield Need(self.alive, (event.blocked, event.blocker))
            yield Need(self.pending, (event.blocked, event.blocker))
        elif isinstance(event, UserUnblocked):
            yield Need(self.blocks, (event.blocker, event.blocked), own=True)
        elif isinstance(event, UserDeleted):
            yield from self._ending(event.user)

    def project(self, recorded: Recorded, view: View) -> list[Life]:
        """Change the tables as an event says; tells which edges began or ended."""
        event = recorded.event
        if isinstance(event, UserFollowed):
            return self._followed(recorded.id, event, view)
        if isinstance(event, UserUnfollowed):
            return self._end(event.followee, event.follower, view)
        if isinstance(event, UserBlocked):
            return self._blocked(event, view)
        if isinstance(event, UserUnblocked):
            block = view.get(self.blocks, (event.blocker, event.blocked))
            if block is not None:
                view.put(self.blocks, block._replace(active=0))
        elif isinstance(event, UserDeleted):
            return self._deleted(event.user, view)
        return []

    def _between(self, owner: int, other: int) -> Iterator[Need]:
        """What an event of `owner` reads about who follows it, and blocks."""
        yield Need(self.alive, (owner, other))
        yield Need(self.pending, (owner, other))
        yield Need(self.blocks, (owner, other), own=True)
        yield Need(self.blocks, (other, owner))

    def _ending(self, user: int) -> Iterator[Span]:
        yield Span(self.alive, (user,))
        yield Span(self.alive, (user,), by=self.by_follower)
        yield Span(self.pending, (user,))
        yield Span(self.pending, (user,), by=BY_FOLLOWER)

    def _count(self, one: int, other: int, view: View) -> int:
        """Blocks between two users so far, in both directions."""
        there = view.get(self.blocks, (one, other))
        back = view.get(self.blocks, (other, one))
        return (there.times if there else 0) + (back.times if back else 0)

    def _followed(self, id: int, event: UserFollowed, view: View) -> list[Life]:
        followee, follower = event.followee, event.follower
        if view.get(self.gone, (followee,)) or view.get(self.gone, (follower,)):
            return []
        count = self._count(followee, follower, view)
        if event.blocks == count:
            was = view.get(self.alive, (followee, follower))
            if view.get(self.pending, (followee, follower)):
                view.delete(self.pending, (followee, follower))
            view.put(self.alive, Edge(followee, follower, id))
            return [] if was else [Life(followee, follower, True)]
        ended = self._end(followee, follower, view)
        if event.blocks > count:
            view.put(self.pending, Pending(followee, follower, id, event.blocks))
        return ended

    def _end(self, followee: int, follower: int, view: View) -> list[Life]:
        if view.get(self.pending, (followee, follower)):
            view.delete(self.pending, (followee, follower))
        if not view.get(self.alive, (followee, follower)):
            return []
        view.delete(self.alive, (followee, follower))
        return [Life(followee, follower, False)]

    def _blocked(self, event: UserBlocked, view: View) -> list[Life]:
        one, other = event.blocker, event.blocked
        view.put(self.blocks, Block(one, other, event.count, 1))
        count = self._count(one, other, view)
        lives: list[Life] = []
        for followee, follower in ((one, other), (other, one)):
            waiting = view.get(self.pending, (followee, follower))
            if waiting is not None and waiting.blocks > count:
                continue  # then there is no living edge either
            lives += self._end(followee, follower, view)
            if waiting is not None and waiting.blocks == count:
                view.put(self.alive, Edge(followee, follower, waiting.id))
                lives.append(Life(followee, follower, True))
        return lives

    def _deleted(self, user: int, view: View) -> list[Life]:
        view.put(self.gone, Gone(user))
        edges = {*view.scan(Span(self.alive, (user,)))}
        edges |= {*view.scan(Span(self.alive, (user,), by=self.by_follower))}
        waiting = {*view.scan(Span(self.pending, (user,)))}
        waiting |= {*view.scan(Span(self.pending, (user,), by=BY_FOLLOWER))}
        for pending in waiting:
            view.delete(self.pending, pending[:2])
        for edge in edges:
            view.delete(self.alive, edge[:2])
        return [Life(edge.followee, edge.follower, False) for edge in edges]
