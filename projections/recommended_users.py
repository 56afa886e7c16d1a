"""Whom to follow next: walks over follows, rules of pairs, popularity, in that order.

A walk goes from the reader to an account that they follow, to another follower of it, and to an
account which that one follows: three half-steps of SALSA (Lempel and Moran, 2001), as in Twitter's
'who to follow' (Gupta et al., 2013). The first two choose evenly. The third weighs those who follow
few by the square root of how many, not by all of it, and accounts that all the world follows count
a little less. Where walks say nothing, rules do: 'who follows a follows b', by the sum of their
confidences. Newcomers get what is popular.

What is read is bounded, however much a reader follows and however many follow that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, TypeVar

import numpy as np

from projections.baskets import counted_follows, unpack_basket
from projections.recommendations import (
    BASKETS,
    BY_FOLLOWS,
    BY_TOGETHER,
    DISMISSALS,
    FOLLOW_GRAPH,
    PAIR_COUNTS,
    POPULARITY,
    BasketRow,
)
from projections.store import BatchReads, ReadStore

MAX_SOURCES: Final = 32
"""Of those that a reader follows, from how many walks and rules start."""

MAX_CO_FOLLOWERS: Final = 512
"""How many other followers of those the walks of a reader reach."""

MAX_STEPS: Final = 256
"""Of what one other follower follows, how many accounts the walks reach at most."""

RULES_PER_ACCOUNT: Final = 50

RANKED: Final = 100
"""Candidates whose popularity is looked up."""

MAX_EXPLAINING: Final = 500
"""Of those that a reader follows, among how many a reason is looked for."""

Scores = Mapping[int, float]
T = TypeVar("T")


class Reason(NamedTuple):
    """Why an account is recommended.

    `followed_by`: `users` of those that the reader follows follow it. `co_followed`: who follows
    `users`, as the reader does, often follows it. `popular`: many follow it, and `users` is empty.
    """

    kind: str
    users: tuple[int, ...] = ()


class RecommendedUser(NamedTuple):
    """An account to follow."""

    user: int
    reason: Reason


async def recommend_users(
    store: ReadStore, reader: int, hidden: AbstractSet[int], limit: int
) -> list[RecommendedUser]:
    """Accounts for a reader, the best first.

    Never the reader, one they follow or dismissed, one of `hidden` (blocked, blocking and muted
    ones), or a deleted one.
    """
    row = await store.get(BASKETS, (reader,))
    packed = row.followees if row else b""
    followed: list[int] = unpack_basket(packed).tolist()
    dismissed = await store.scan(DISMISSALS, (reader,))
    excluded = {reader, *followed, *hidden, *(row.dismissed for row in dismissed)}
    sources = [user for user in counted_follows(reader, packed, MAX_SOURCES) if user not in hidden]
    found: dict[int, None] = {}
    for rank in (rank_by_walks, rank_by_rules, rank_by_popularity):
        wanted = limit + len(found)
        ranked = (user for user in await rank(store, sources, excluded, wanted))
        found.update(dict.fromkeys(await _without_deleted(store, ranked)))
        if len(found) >= limit:
            break
    best = list(found)[:limit]
    shown = [user for user in followed if user not in hidden]
    reasons = await _find_reasons(store, best, shown, sources)
    return [RecommendedUser(user, reasons[user]) for user in best]


async def rank_by_walks(
    store: ReadStore, sources: Sequence[int], excluded: Collection[int], limit: int
) -> list[int]:
    """The accounts that walks from `sources` reach, the likeliest first."""
    if not sources:
        return []
    each = MAX_CO_FOLLOWERS // len(sources)
    weights: dict[int, float] = defaultdict(float)
    edges = await _read_each(
        store, sources, lambda user: store.scan(FOLLOW_GRAPH.edges, (user,), limit=each)
    )
    for followers in edges:
        for edge in followers:
            weights[edge.follower] += 1 / len(followers)
    return _best(await _last_half_step(store, weights, excluded), limit)


async def _last_half_step(
    store: ReadStore, weights: Mapping[int, float], excluded: Collection[int]
) -> Scores:
    """What is reached from followers, of whom each has a weight, in inverse relation to how many
    accounts each follows, and a little to how many follow what is reached."""
    baskets = await store.get_many(BASKETS, {(user,) for user in weights.keys() - excluded})
    if not baskets:
        return {}
    rows = [baskets[key] for key in sorted(baskets)]
    parts = [_sample_basket(row) for row in rows]
    whole = np.array([len(row.followees) for row in rows]) / 8
    sizes = np.array([len(part) for part in parts]) // 8
    each = np.array([weights[row.follower] for row in rows]) * np.sqrt(whole) / sizes
    reached, places = np.unique(unpack_basket(b"".join(parts)), return_inverse=True)
    scores = np.bincount(places, weights=np.repeat(each, sizes))
    scores[np.isin(reached, np.fromiter(excluded, np.int64, len(excluded)))] = 0
    order = np.lexsort((reached, -scores))[:RANKED]
    best = dict(zip(reached[order].tolist(), scores[order].tolist(), strict=True))
    popular = await store.get_many(POPULARITY, {(user,) for user in best})
    return {
        user: score / max(popular[user,].follows if (user,) in popular else 1, 1) ** 0.2
        for user, score in best.items()
        if score > 0
    }


def _sample_basket(row: BasketRow) -> bytes:
    """A basket, or every n-th account of a large one, which then counts for n."""
    every = -(-len(row.followees) // (8 * MAX_STEPS))
    if every == 1:
        return row.followees
    return memoryview(row.followees).cast("q")[row.follower % every :: every].tobytes()


async def rank_by_rules(
    store: ReadStore, sources: Sequence[int], excluded: Collection[int], limit: int
) -> list[int]:
    """The accounts that rules name whose one antecedent is in `sources`, by summed confidence."""
    sums: dict[int, float] = defaultdict(float)
    # The account itself comes first: no pair is more frequent than one of its halves.
    most = RULES_PER_ACCOUNT + 1
    rules = await _read_each(
        store,
        sources,
        lambda user: store.scan(
            PAIR_COUNTS, (user,), index=BY_TOGETHER, descending=True, limit=most
        ),
    )
    for source, pairs in zip(sources, rules, strict=True):
        support = next((pair.together for pair in pairs if pair.other == source), 0)
        for pair in pairs:
            # None where counts changed while they were read.
            if support and pair.other not in excluded:
                sums[pair.other] += pair.together / support
    return _best(sums, limit)


async def rank_by_popularity(
    store: ReadStore, sources: Sequence[int], excluded: Collection[int], limit: int
) -> list[int]:
    """The accounts that most follow, whatever the sources."""
    rows = await store.scan(
        POPULARITY, index=BY_FOLLOWS, descending=True, limit=limit + len(excluded)
    )
    return [row.user for row in rows if row.user not in excluded and row.follows > 0][:limit]


def _best(scores: Scores, limit: int) -> list[int]:
    """The best first, equal ones by id."""
    return sorted(scores, key=lambda user: (-scores[user], user))[:limit]


async def _without_deleted(store: ReadStore, users: Iterable[int]) -> list[int]:
    keys = [(user,) for user in users]
    deleted = await store.get_many(FOLLOW_GRAPH.deleted_users, keys)
    return [user for (user,) in keys if (user,) not in deleted]


async def _find_reasons(
    store: ReadStore, users: Sequence[int], followed: Sequence[int], sources: Sequence[int]
) -> Mapping[int, Reason]:
    """For each, who of the followed follows it; else what it is followed together with."""
    keys = {(user,) for user in followed[:MAX_EXPLAINING]}
    baskets = await store.get_many(BASKETS, keys)
    followed_by: dict[int, list[int]] = {user: [] for user in users}
    for (follower,), row in sorted(baskets.items()):
        for user in followed_by.keys() & unpack_basket(row.followees).tolist():
            followed_by[user].append(follower)
    reasons = {user: Reason("followed_by", tuple(of)) for user, of in followed_by.items() if of}
    rest = [user for user in users if user not in reasons]
    wanted = {(source, user) for source in sources for user in rest}
    pairs = await store.get_many(PAIR_COUNTS, wanted)
    for user in rest:
        together = [pairs[source, user] for source in sources if (source, user) in pairs]
        best = max(together, key=lambda pair: (pair.together, -pair.account), default=None)
        reasons[user] = Reason("co_followed", (best.account,)) if best else Reason("popular")
    return reasons


async def _read_each(
    store: ReadStore, users: Sequence[int], read: Callable[[int], Awaitable[T]]
) -> list[T]:
    """A read for each user: one after the other, or at once where the store is over a network."""
    if isinstance(store, BatchReads):
        return await asyncio.gather(*(read(user) for user in users))
    return [await read(user) for user in users]
