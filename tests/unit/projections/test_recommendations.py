"""Whom to follow next, and what is counted for it."""

import asyncio
from collections.abc import Collection

import pytest
from hypothesis import given as given_steps
from hypothesis import settings

from events.schema import (
    Event,
    RecommendationDismissed,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserUnblocked,
    UserUnfollowed,
)
from infra.in_memory.read_store import MemoryReadStore
from projections.apriori import find_frequent_itemsets
from projections.baskets import change_basket, counted_follows, pack_basket, unpack_basket
from projections.recommendations import (
    BASKETS,
    DISMISSALS,
    PAIR_COUNTS,
    POPULARITY,
    BasketRow,
    DismissalRow,
    PairCount,
    PopularityRow,
    RecommendationsProjection,
)
from projections.recommended_users import (
    RULES_PER_ACCOUNT,
    Reason,
    RecommendedUser,
    rank_by_rules,
    rank_by_walks,
    recommend_users,
)
from tests.support.projection_dsl import given
from tests.support.social_model import (
    RELATION_KINDS,
    SocialModel,
    SocialStep,
    project_and_store,
    random_steps,
)

ANN, BEN, CAT, DAN, EVE, FAY = 1, 2, 3, 4, 5, 6


def follows(*pairs: tuple[int, int]) -> list[Event]:
    """(follower, followee) pairs, each a follow."""
    return [UserFollowed(followee=followee, follower=follower) for follower, followee in pairs]


def recommended(
    *events: Event, reader: int = ANN, hidden: Collection[int] = (), limit: int = 20
) -> list[RecommendedUser]:
    return given(*events).query(
        BASKETS, lambda store: recommend_users(store, reader, frozenset(hidden), limit)
    )


CIRCLE = follows((BEN, CAT), (BEN, DAN), (EVE, CAT), (EVE, DAN), (EVE, FAY), (ANN, CAT))
"""Who follows Cat, as Ann does, follows Dan, and one of them Fay."""


def test_a_basket_holds_each_account_once_in_order() -> None:
    packed = b""
    for user, holds in ((7, True), (3, True), (7, True), (5, True), (3, False), (9, False)):
        packed = change_basket(packed, user, holds)
    assert unpack_basket(packed).tolist() == [5, 7]
    assert packed == pack_basket([7, 5])


def test_of_a_large_basket_the_same_few_count_and_other_followers_count_others() -> None:
    packed = pack_basket(range(1, 1001))
    few = counted_follows(ANN, packed, 10)
    assert len(few) == 10
    assert few == sorted(few) == counted_follows(ANN, pack_basket(range(1000, 0, -1)), 10)
    assert few != counted_follows(BEN, packed, 10)
    assert counted_follows(ANN, packed, 1000) == [*range(1, 1001)]


def test_pairs_of_follows_are_counted_in_both_directions_and_an_account_with_itself() -> None:
    given(*follows((ANN, BEN), (ANN, CAT), (DAN, BEN))).expect(
        PAIR_COUNTS,
        PairCount(BEN, BEN, 2),
        PairCount(BEN, CAT, 1),
        PairCount(CAT, BEN, 1),
        PairCount(CAT, CAT, 1),
    )


@pytest.mark.parametrize(
    "end", [UserUnfollowed(CAT, ANN), UserBlocked(CAT, ANN), UserBlocked(ANN, CAT)]
)
def test_what_ends_a_follow_uncounts_its_pairs(end: Event) -> None:
    given(*follows((ANN, BEN), (ANN, CAT)), end).expect(PAIR_COUNTS, PairCount(BEN, BEN, 1))


def test_rules_say_nothing_of_an_account_whose_own_count_was_not_read() -> None:
    """As when the reader's own follow ended after their basket was read."""
    many = follows(*((BEN, user) for user in (CAT, *range(100, 100 + RULES_PER_ACCOUNT + 1))))
    found = given(*many).query(
        PAIR_COUNTS, lambda store: rank_by_rules(store, [CAT], {ANN, CAT}, 5)
    )
    assert found == []


def test_a_deleted_account_leaves_nothing_of_its_own() -> None:
    events = [*follows((ANN, BEN), (ANN, CAT), (BEN, ANN)), RecommendationDismissed(ANN, DAN)]
    rows = given(*events, UserDeleted(ANN, "ann"))
    rows.expect(BASKETS, BasketRow(BEN, pack_basket([ANN])))
    rows.expect(DISMISSALS)
    rows.expect(POPULARITY, PopularityRow(BEN, 1), PopularityRow(CAT, 1))


def test_a_dismissal_is_remembered() -> None:
    given(RecommendationDismissed(ANN, DAN)).expect(DISMISSALS, DismissalRow(ANN, DAN))


async def _pairs_from_scratch(store: MemoryReadStore, most: int) -> dict[tuple[int, int], int]:
    """The pairs of all baskets as Apriori mines them, in both directions."""
    baskets = [
        counted_follows(row.follower, row.followees, most) for row in await store.scan(BASKETS)
    ]
    counts: dict[tuple[int, int], int] = {}
    for items, occurrences in find_frequent_itemsets(baskets, 1, max_size=2):
        counts[items[0], items[-1]] = counts[items[-1], items[0]] = occurrences
    return counts


@settings(max_examples=60)
@given_steps(random_steps(most=60, users=6, kinds=RELATION_KINDS))
def test_counting_as_follows_come_and_go_is_counting_from_scratch(steps: list[SocialStep]) -> None:
    projection = RecommendationsProjection(max_counted_follows=3)

    async def run() -> None:
        store, model = MemoryReadStore(projection.tables), SocialModel(users=6)
        log = model.apply_steps(steps).log
        for place, recorded in enumerate(log):
            await project_and_store(projection, store, [recorded], place)
        counted = {row[:2]: row.together for row in await store.scan(PAIR_COUNTS) if row.together}
        assert counted == await _pairs_from_scratch(store, 3)
        kept = {
            (user, row.follower)
            for row in await store.scan(BASKETS)
            for user in unpack_basket(row.followees).tolist()
        }
        assert {pair for pair in kept if pair[0] not in model.deleted_users} == model.follows

    asyncio.run(run())


def test_walks_reach_what_the_followers_of_the_followed_follow() -> None:
    assert recommended(*CIRCLE) == [
        RecommendedUser(DAN, Reason("co_followed", (CAT,))),
        RecommendedUser(FAY, Reason("co_followed", (CAT,))),
    ]


def test_the_reason_names_those_whom_the_reader_follows_first() -> None:
    more = follows((ANN, BEN), (ANN, EVE), (CAT, DAN))
    [dan, fay] = recommended(*CIRCLE, *more)
    assert dan == RecommendedUser(DAN, Reason("followed_by", (BEN, CAT, EVE)))
    assert fay == RecommendedUser(FAY, Reason("followed_by", (EVE,)))
    [dan, fay] = recommended(*CIRCLE, *more, hidden={BEN, CAT})
    assert dan.reason == Reason("followed_by", (EVE,))


@pytest.mark.parametrize(
    "event",
    [
        UserFollowed(DAN, ANN),
        RecommendationDismissed(ANN, DAN),
        UserDeleted(DAN, "dan"),
    ],
)
def test_followed_dismissed_and_deleted_accounts_are_not_recommended(event: Event) -> None:
    assert [one.user for one in recommended(*CIRCLE, event) if one.user != BEN] == [FAY]


def test_hidden_accounts_and_the_reader_are_not_recommended() -> None:
    mutual = follows((BEN, ANN), (EVE, ANN))
    assert [one.user for one in recommended(*CIRCLE, *mutual, hidden={DAN})] == [FAY]


def test_a_dismissal_of_another_user_changes_nothing() -> None:
    assert recommended(*CIRCLE, RecommendationDismissed(BEN, DAN)) == recommended(*CIRCLE)


def test_a_newcomer_gets_what_is_popular() -> None:
    newcomer = recommended(*CIRCLE, UserBlocked(FAY, DAN), UserUnblocked(FAY, DAN), reader=99)
    assert newcomer == [RecommendedUser(user, Reason("popular")) for user in (CAT, DAN, FAY)]
    assert recommended(*CIRCLE, reader=99, limit=1) == newcomer[:1]
    assert recommended(reader=99) == []


def test_rules_are_ranked_by_summed_confidence_never_by_lift() -> None:
    # All five who follow Cat follow Dan, as do many; two of them alone follow Eve: a higher lift.
    crowd = [(user, DAN) for user in range(20, 60)]
    fans = [(user, followee) for user in range(10, 15) for followee in (CAT, DAN)]
    events = follows(*crowd, *fans, (10, EVE), (11, EVE))
    found = given(*events).query(
        PAIR_COUNTS, lambda store: rank_by_rules(store, [CAT], {ANN, CAT}, 5)
    )
    assert found == [DAN, EVE]


def test_a_walk_prefers_what_those_with_few_follows_follow() -> None:
    wide = [(BEN, user) for user in range(10, 30)]
    events = follows((BEN, CAT), (EVE, CAT), (EVE, DAN), *wide)
    found = given(*events).query(BASKETS, lambda store: rank_by_walks(store, [CAT], {ANN, CAT}, 3))
    assert found == [DAN, 10, 11]
