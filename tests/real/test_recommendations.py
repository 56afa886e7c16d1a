"""How good recommendations are on a real follow graph: of each account's follows a fifth is hidden,
and they should find it again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import pytest
from mlxtend.frequent_patterns import apriori
from mlxtend.preprocessing import TransactionEncoder

from events.envelope import RecordedEvent
from events.schema import UserFollowed
from infra.sqlite.read_store import SqliteReadStore
from projections.apriori import find_frequent_itemsets
from projections.baskets import counted_follows, pack_basket
from projections.recommendations import RecommendationsProjection
from projections.recommended_users import (
    MAX_SOURCES,
    rank_by_popularity,
    rank_by_rules,
    recommend_users,
)
from streams.projecting.apply_batch import project_and_apply
from tests.real.follow_graph import FILE, read_edges
from tests.support.requirements import skip_or_fail
from tests.support.soak import amount

SHOWN: Final = 10
HIDDEN_SHARE: Final = 0.2
SEED: Final = 1

pytestmark = pytest.mark.timeout(400)


class SplitGraph(NamedTuple):
    """The follows of each account, and those of them that the view doesn't know."""

    known: dict[int, list[int]]
    hidden: dict[int, set[int]]


class Quality(NamedTuple):
    """Precision and mean average precision of the first `SHOWN`."""

    precision: float
    mean_average_precision: float


@pytest.fixture(scope="module")
def graph(shared_data: Path) -> SplitGraph:
    """The follow graph; accounts with fewer than five follows hide none."""
    folder = shared_data / "follow-graph"
    if not (folder / FILE).is_file():
        skip_or_fail(f"the follow graph {folder}")
    follows: dict[int, list[int]] = {}
    for followee, follower in sorted(read_edges(folder)):
        follows.setdefault(follower + 1, []).append(followee + 1)
    chance, hidden = random.Random(SEED), dict[int, set[int]]()
    for follower, of in sorted(follows.items()):
        chance.shuffle(of)
        count = int(len(of) * HIDDEN_SHARE)
        if count:
            hidden[follower] = set(of[:count])
        del of[:count]
    return SplitGraph(follows, hidden)


@pytest.fixture(scope="module")
def store(graph: SplitGraph, tmp_path_factory: pytest.TempPathFactory) -> SqliteReadStore:
    """The view after all the follows that aren't hidden."""
    projection = RecommendationsProjection()
    pairs = [(followee, follower) for follower, of in graph.known.items() for followee in of]
    log = [
        RecordedEvent(place, place, "", 1, follower, 0, place, UserFollowed(followee, follower))
        for place, (followee, follower) in enumerate(pairs, 1)
    ]
    folder = tmp_path_factory.mktemp("graph")
    view = SqliteReadStore.open(folder / "view.sqlite", projection.tables)
    asyncio.run(project_and_apply(projection, view, log, 0, len(log)))
    return view


async def measure(
    graph: SplitGraph, recommend: Callable[[int], Awaitable[Sequence[int]]]
) -> Quality:
    """How much of what is hidden from some accounts a way to recommend finds."""
    precision = average = 0.0
    asked = sorted(graph.hidden)[:: amount(3, 1)]
    for user in asked:
        hidden = graph.hidden[user]
        hits, sums = 0, 0.0
        for place, found in enumerate((await recommend(user))[:SHOWN], 1):
            if found in hidden:
                hits += 1
                sums += hits / place
        precision += hits / SHOWN
        average += sums / min(SHOWN, len(hidden))
    return Quality(precision / len(asked), average / len(asked))


def test_itemsets_of_real_follows_are_those_of_mlxtend(graph: SplitGraph) -> None:
    baskets = [of for of in graph.known.values() if of]
    known = TransactionEncoder()
    table = pd.DataFrame(known.fit_transform(baskets), columns=known.columns_)
    theirs = apriori(table, min_support=0.01, use_colnames=True)
    found = find_frequent_itemsets(baskets, ceil(0.01 * len(baskets)))
    assert len(found) > 200
    assert {frozenset(one.items): one.occurrences for one in found} == {
        one.itemsets: round(one.support * len(baskets)) for one in theirs.itertuples()
    }


def test_walks_find_more_than_rules_and_rules_more_than_popularity(
    graph: SplitGraph, store: SqliteReadStore
) -> None:
    async def by_popularity(user: int) -> Sequence[int]:
        return await rank_by_popularity(store, (), {user, *graph.known[user]}, SHOWN)

    async def by_rules(user: int) -> Sequence[int]:
        sources = counted_follows(user, pack_basket(graph.known[user]), MAX_SOURCES)
        found = await rank_by_rules(store, sources, {user, *graph.known[user]}, SHOWN)
        return [*found, *(one for one in await by_popularity(user) if one not in found)]

    async def by_walks(user: int) -> Sequence[int]:
        return [one.user for one in await recommend_users(store, user, frozenset(), SHOWN)]

    async def run() -> tuple[Quality, Quality, Quality]:
        return (
            await measure(graph, by_walks),
            await measure(graph, by_rules),
            await measure(graph, by_popularity),
        )

    walks, rules, popularity = asyncio.run(run())
    assert walks.precision >= rules.precision >= popularity.precision
    assert (
        walks.mean_average_precision
        >= rules.mean_average_precision
        >= popularity.mean_average_precision
    )
    assert walks.precision >= 0.10
