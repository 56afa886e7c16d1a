"""What recommendations of users are made from: baskets, counts of pairs, popularity, dismissals.

A rule 'who follows a follows b' is counted as follows come and go: for each pair of accounts, how
many follow both. Its confidence is that count over the count of the pair (a, a), which is how many
follow a. Only what one owner's event needs is read: the follow's edge, and the basket of the
follower, which all their followees' events meet in (`docs/adr/0064`).

A deleted account ends its own follows. Those of its followers stay, so that a deletion doesn't have
to read the baskets of all of them, and readers leave deleted accounts out
(`projections.recommended_users`).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.schema import (
    Event,
    RecommendationDismissed,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserUnfollowed,
)
from projections.baskets import MAX_COUNTED_FOLLOWS, change_basket, counted_follows
from projections.follow_graph import BY_FOLLOWER, FOLLOW_GRAPH_EVENTS, EdgeChange, FollowGraph
from projections.projection import BatchRows, RowRead
from projections.store import KeyRange
from projections.tables import CounterTable, Table

BY_TOGETHER: Final = ("account", "together")
BY_FOLLOWS: Final = ("follows", "user")


class BasketRow(NamedTuple):
    """Whom an account follows, packed as `projections.baskets` says."""

    follower: int
    followees: bytes


class PairCount(NamedTuple):
    """How many accounts follow both; of an account with itself, how many follow it.

    Follows count as far as `projections.baskets.counted_follows` says.
    """

    account: int
    other: int
    together: int


class PopularityRow(NamedTuple):
    """Follows minus unfollows of an account that was not deleted; blocks don't lower it."""

    user: int
    follows: int


class DismissalRow(NamedTuple):
    """`user` doesn't want `dismissed` recommended."""

    user: int
    dismissed: int


FOLLOW_GRAPH: Final = FollowGraph((BY_FOLLOWER,), ends_with_followee=False)
BASKETS: Final[Table[BasketRow]] = Table("baskets", BasketRow, 1, cross_owner=True)
PAIR_COUNTS: Final[CounterTable[PairCount]] = CounterTable("pairs", PairCount, 2, (BY_TOGETHER,))
POPULARITY: Final[Table[PopularityRow]] = Table("popularity", PopularityRow, 1, (BY_FOLLOWS,))
DISMISSALS: Final[Table[DismissalRow]] = Table("dismissals", DismissalRow, 2)


class RecommendationsProjection:
    """Keeps baskets, counts of pairs, popularity and dismissals."""

    name = "recommendations"
    version = 1
    event_types: tuple[type[Event], ...] = (*FOLLOW_GRAPH_EVENTS, RecommendationDismissed)
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        *FOLLOW_GRAPH.tables, BASKETS, PAIR_COUNTS, POPULARITY, DISMISSALS,
    )  # fmt: skip

    def __init__(self, max_counted_follows: int = MAX_COUNTED_FOLLOWS) -> None:
        self._max_counted_follows = max_counted_follows

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """The edges that the event is about, and the baskets that they are in."""
        event = recorded.event
        yield from FOLLOW_GRAPH.rows_to_read(recorded)
        if isinstance(event, UserFollowed | UserUnfollowed):
            yield RowRead(BASKETS, (event.follower,))
            yield RowRead(POPULARITY, (event.followee,))
        elif isinstance(event, UserBlocked):
            yield RowRead(BASKETS, (event.blocker,))
            yield RowRead(BASKETS, (event.blocked,))
        elif isinstance(event, UserDeleted):
            yield RowRead(BASKETS, (event.user,))
            yield KeyRange(DISMISSALS, (event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Baskets and counts change only when an edge began or ended."""
        event = recorded.event
        if isinstance(event, RecommendationDismissed):
            view.put(DISMISSALS, DismissalRow(event.user, event.dismissed))
            return
        for edge in FOLLOW_GRAPH.project(recorded, view):
            self._change_basket(edge, view)
        if isinstance(event, UserFollowed | UserUnfollowed):
            _count_popularity(event, view)
        elif isinstance(event, UserDeleted):
            view.delete(POPULARITY, (event.user,))
            for row in view.rows_in_range(KeyRange(DISMISSALS, (event.user,))):
                view.delete(DISMISSALS, row)

    def _change_basket(self, edge: EdgeChange, view: BatchRows) -> None:
        """Put an account into its follower's basket or take it out, and count pairs anew."""
        follower, most = edge.follower, self._max_counted_follows
        row = view.get(BASKETS, (follower,)) or BasketRow(follower, b"")
        changed = change_basket(row.followees, edge.followee, edge.began)
        if changed:
            view.put(BASKETS, BasketRow(follower, changed))
        else:
            view.delete(BASKETS, (follower,))
        before = counted_follows(follower, row.followees, most)
        after = counted_follows(follower, changed, most)
        if len(changed) <= 8 * most and len(row.followees) <= 8 * most:
            others = before if edge.began else after
            _count_pairs(edge.followee, others, 1 if edge.began else -1, view)
            return
        kept = {*before} & {*after}
        for account in {*before} - kept:
            _count_pairs(account, kept, -1, view)
        for account in {*after} - kept:
            _count_pairs(account, kept, 1, view)


def _count_pairs(account: int, others: Iterable[int], one: int, view: BatchRows) -> None:
    """An account came into the counted part of a basket, or left it."""
    view.add(PAIR_COUNTS, (account, account), one)
    for other in others:
        view.add(PAIR_COUNTS, (account, other), one)
        view.add(PAIR_COUNTS, (other, account), one)


def _count_popularity(event: UserFollowed | UserUnfollowed, view: BatchRows) -> None:
    """Only the followee's own events count, so the row has one owner."""
    row = view.get(POPULARITY, (event.followee,))
    if isinstance(event, UserUnfollowed):
        if row is not None:
            view.put(POPULARITY, PopularityRow(event.followee, row.follows - 1))
    elif view.get(FOLLOW_GRAPH.deleted_users, (event.followee,)) is None:
        view.put(POPULARITY, PopularityRow(event.followee, row.follows + 1 if row else 1))
