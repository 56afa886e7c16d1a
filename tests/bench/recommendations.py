"""Recommendations: mining beside `mlxtend`, and answers from a graph of a million edges.

Mining goes from lists of follows to itemsets; mlxtend's way there begins with a table that has a
column for each account. The made-up graph is heavy-tailed on both sides, and its view is in SQLite.
*Bound* is what an answer, or the mining, may take.
"""

import asyncio
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from mlxtend.frequent_patterns import apriori
from mlxtend.preprocessing import TransactionEncoder

from infra.sqlite.read_store import SqliteReadStore
from projections.apriori import find_frequent_itemsets
from projections.baskets import counted_follows, pack_basket
from projections.follow_graph import FollowEdge
from projections.recommendations import (
    BASKETS,
    FOLLOW_GRAPH,
    PAIR_COUNTS,
    POPULARITY,
    BasketRow,
    PopularityRow,
    RecommendationsProjection,
)
from projections.recommended_users import recommend_users
from projections.store import Changes
from tests.bench.result import Result
from tests.real.follow_graph import read_edges
from tests.support.requirements import shared_data_folder

SUPPORT: Final = 0.003
EDGES: Final = 1_000_000
ACCOUNTS: Final = 50_000
ANSWERS: Final = 500
MINED_SUPPORT: Final = 0.02


def measure(runs: int) -> list[Result]:
    """Seconds of mining, and milliseconds of an answer, in CPU time."""
    made_up = list(made_up_baskets())
    edges = sum(map(len, made_up))
    found = [0]

    def mine() -> None:
        mined = find_frequent_itemsets(made_up, int(MINED_SUPPORT * len(made_up)))
        found[0] = len(mined)

    mining = [seconds(mine)]
    # Before mlxtend runs, whose tables take more.
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    follows: dict[int, list[int]] = {}
    for followee, follower in read_edges(shared_data_folder() / "follow-graph"):
        follows.setdefault(follower, []).append(followee)
    baskets = list(follows.values())
    least = int(SUPPORT * len(baskets)) + 1
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(seconds(lambda: find_frequent_itemsets(baskets, least)))
        theirs.append(seconds(lambda: _mine_with_peer(baskets)))
    itemsets = len(find_frequent_itemsets(baskets, least))
    answers = asyncio.run(_answer_times(made_up))
    return [
        Result.from_runs(
            f"mining {itemsets:,} itemsets of the follow graph (support {SUPPORT})",
            ("find_frequent_itemsets", ours),
            ("mlxtend", theirs),
            target=20,
            unit="s",
            higher_is_better=False,
        ),
        Result.from_runs(
            f"mining {found[0]:,} itemsets of {edges:,} edges, with at most {memory:,.0f} MB",
            (f"support {MINED_SUPPORT}", mining),
            ("bound", [20.0]),
            target=1,
            unit="s",
            higher_is_better=False,
        ),
        Result.from_runs(
            f"20 recommendations from {edges:,} edges, the median",
            ("recommend_users", [1000 * float(np.median(answers))]),
            ("bound", [5.0]),
            target=1,
            unit="ms",
            higher_is_better=False,
        ),
    ]


def seconds(work: Callable[[], Any]) -> float:
    """The CPU time that it takes: all of it is work of one thread."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _mine_with_peer(baskets: Sequence[Sequence[int]]) -> None:
    known = TransactionEncoder()
    table = pd.DataFrame(known.fit_transform(baskets), columns=known.columns_)
    apriori(table, min_support=SUPPORT, use_colnames=True)


def made_up_baskets() -> Iterator[list[int]]:
    """What each account follows, most of it from the account's own of 500 circles."""
    chance = random.Random(1)
    each = EDGES // ACCOUNTS
    for account in range(ACCOUNTS):
        count = min(int(chance.paretovariate(1.5) * each / 2.8), 2000)
        circle, followed = account % 500, set[int]()
        while len(followed) < count:
            rank = int(chance.paretovariate(0.7))
            if chance.random() < 0.7 and rank < ACCOUNTS // 500:
                followed.add(1 + rank * 500 + circle)
            elif rank < ACCOUNTS:
                followed.add(1 + rank)
            else:
                count -= 1
        yield sorted(followed)


async def _answer_times(baskets: Sequence[Sequence[int]]) -> list[float]:
    """Seconds of CPU of answers to different readers, from a view of these baskets."""
    with tempfile.TemporaryDirectory(prefix="starling-bench-") as folder:
        tables = RecommendationsProjection.tables
        store = SqliteReadStore.open(Path(folder, "view.sqlite"), tables)
        await store.apply(_rows(baskets), 0, 1)
        readers = random.Random(2).sample(range(1, len(baskets) + 1), ANSWERS)
        times = []
        for reader in readers:
            started = time.process_time()
            await recommend_users(store, reader, frozenset(), 20)
            times.append(time.process_time() - started)
        await store.close()
    return times


def _rows(baskets: Sequence[Sequence[int]]) -> Changes:
    """The rows of the view, made at once. Event by event they are the same (`tests/unit`)."""
    changes, pairs, follows = Changes(), Counter[tuple[int, int]](), Counter[int]()
    edges: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for follower, followees in enumerate(baskets, 1):
        edges.update({(user, follower): FollowEdge(user, follower, 1) for user in followees})
        follows.update(followees)
        counted = counted_follows(follower, pack_basket(followees))
        pairs.update((one, other) for one in counted for other in counted)
    changes.puts = {
        FOLLOW_GRAPH.edges: edges,
        BASKETS: {(u,): BasketRow(u, pack_basket(of)) for u, of in enumerate(baskets, 1)},
        POPULARITY: {(user,): PopularityRow(user, count) for user, count in follows.items()},
    }
    changes.increments = {PAIR_COUNTS: {pair: [count] for pair, count in pairs.items()}}
    return changes
