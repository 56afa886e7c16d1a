"""Who follows whom: lists, newest follow first, and counts."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from events.recorded import Recorded
from events.schema import Event
from projections.edges import TAKES, Edges
from projections.pages import Page, page
from projections.projection import Need, View
from projections.store import Changes, ReadStore, Span
from projections.tables import Table, Tally
from projections.touched import Kind

BY_FOLLOWEE: Final = ("followee", "id")
BY_FOLLOWER: Final = ("follower", "id")

EDGES: Final = Edges((BY_FOLLOWEE, BY_FOLLOWER))


class Degree(NamedTuple):
    """How many follow a user, and how many the user follows."""

    user: int
    followers: int
    following: int


DEGREES: Final[Tally[Degree]] = Tally("degrees", Degree, 1)


class Followers:
    """The projection."""

    name = "followers"
    version = 1
    takes: tuple[type[Event], ...] = TAKES
    tables: tuple[Table[Any] | Tally[Any], ...] = (*EDGES.tables, DEGREES)

    def needs(self, recorded: Recorded) -> Iterable[Need | Span]:
        """The edges and blocks that the event is about."""
        return EDGES.needs(recorded)

    def project(self, recorded: Recorded, view: View) -> None:
        """Counts change only when an edge began or ended."""
        for life in EDGES.project(recorded, view):
            one = 1 if life.alive else -1
            view.add(DEGREES, (life.followee,), one, 0)
            view.add(DEGREES, (life.follower,), 0, one)


FOLLOWERS: Final = Followers()


class Listed(NamedTuple):
    """A user in a list of followers or followees; `id` is the cursor of pages."""

    id: int
    user: int


async def followers(store: ReadStore, user: int, asked: Page) -> list[Listed]:
    """Who follows a user, the newest follow first."""
    edges = await page(store, EDGES.alive, (user,), asked, index=BY_FOLLOWEE)
    return [Listed(edge.id, edge.follower) for edge in edges]


async def following(store: ReadStore, user: int, asked: Page) -> list[Listed]:
    """Whom a user follows, the newest follow first."""
    edges = await page(store, EDGES.alive, (user,), asked, index=BY_FOLLOWER)
    return [Listed(edge.id, edge.followee) for edge in edges]


async def counts(store: ReadStore, users: Collection[int]) -> Mapping[int, tuple[int, int]]:
    """(followers, following) of each user."""
    rows = await store.get_many(DEGREES, {(user,) for user in users})
    found = {user: rows.get((user,)) for user in users}
    return {user: (row.followers, row.following) if row else (0, 0) for user, row in found.items()}


async def follows(store: ReadStore, follower: int, users: Collection[int]) -> set[int]:
    """Which of the users `follower` follows."""
    rows = await store.get_many(EDGES.alive, {(user, follower) for user in users})
    return {followee for followee, _ in rows}


def touches(changes: Changes) -> Iterator[tuple[int, int]]:
    """What readers must forget after these changes: `Kind` and id."""
    for (user,) in changes.adds.get(DEGREES, {}):
        yield Kind.GRAPH, user
