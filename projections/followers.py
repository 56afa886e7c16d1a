"""Which user follows which: lists, newest follow first, and counts."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.schema import Event
from projections.follow_graph import FOLLOW_GRAPH_EVENTS, FollowGraph
from projections.pages import PageRequest, read_page
from projections.projection import BatchRows, RowRead
from projections.store import KeyRange, ReadStore
from projections.tables import CounterTable, Table

BY_FOLLOWEE: Final = ("followee", "id")
BY_FOLLOWER: Final = ("follower", "id")

FOLLOW_GRAPH: Final = FollowGraph((BY_FOLLOWEE, BY_FOLLOWER))


class DegreeRow(NamedTuple):
    """How many follow a user, and how many the user follows."""

    user: int
    followers: int
    following: int


DEGREES: Final[CounterTable[DegreeRow]] = CounterTable("degrees", DegreeRow, 1)


class FollowersProjection:
    """Keeps follow edges and counts."""

    name = "followers"
    version = 1
    event_types: tuple[type[Event], ...] = FOLLOW_GRAPH_EVENTS
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (*FOLLOW_GRAPH.tables, DEGREES)

    def rows_to_read(self, recorded: RecordedEvent) -> Iterable[RowRead | KeyRange]:
        """The edges and blocks that the event is about."""
        return FOLLOW_GRAPH.rows_to_read(recorded)

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Counts change only when an edge began or ended."""
        for edge in FOLLOW_GRAPH.project(recorded, view):
            one = 1 if edge.began else -1
            view.add(DEGREES, (edge.followee,), one, 0)
            view.add(DEGREES, (edge.follower,), 0, one)


class ListedUser(NamedTuple):
    """A user in a list of followers or followees; `id` is the cursor of pages."""

    id: int
    user: int


async def list_followers(store: ReadStore, user: int, request: PageRequest) -> list[ListedUser]:
    """The followers of a user, the newest follow first."""
    edges = await read_page(store, FOLLOW_GRAPH.edges, (user,), request, index=BY_FOLLOWEE)
    return [ListedUser(edge.id, edge.follower) for edge in edges]


async def list_followed(store: ReadStore, user: int, request: PageRequest) -> list[ListedUser]:
    """The users whom a user follows, the newest follow first."""
    edges = await read_page(store, FOLLOW_GRAPH.edges, (user,), request, index=BY_FOLLOWER)
    return [ListedUser(edge.id, edge.followee) for edge in edges]


async def count_follows(store: ReadStore, users: Collection[int]) -> Mapping[int, tuple[int, int]]:
    """(followers, following) of each user."""
    rows = await store.get_many(DEGREES, {(user,) for user in users})
    found = {user: rows.get((user,)) for user in users}
    return {user: (row.followers, row.following) if row else (0, 0) for user, row in found.items()}


async def followed_among(store: ReadStore, follower: int, users: Collection[int]) -> set[int]:
    """Which of the users `follower` follows."""
    rows = await store.get_many(FOLLOW_GRAPH.edges, {(user, follower) for user in users})
    return {followee for followee, _ in rows}


async def followers_among(store: ReadStore, followee: int, users: Collection[int]) -> list[int]:
    """Which of the users follow `followee`, the newest follow first."""
    edges = await store.get_many(FOLLOW_GRAPH.edges, {(followee, user) for user in users})
    return [edge.follower for edge in sorted(edges.values(), key=lambda e: e.id, reverse=True)]
