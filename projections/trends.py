"""Which hashtags are used by more accounts than usual.

For a tag, o is how many accounts used it in each of the eight quarters of an hour that end with
the asked time, summed; E is the mean of the same over the same two hours of the seven days before.
The score (o - E)^2 / (E + 3) is how surprising o is where counts scatter like Poisson's, E being
their variance; the 3 keeps a rare tag from winning by luck.
"""

from collections.abc import Sequence
from heapq import nsmallest
from typing import Final, NamedTuple

from projections.store import ReadStore
from projections.trending import (
    BY_QUARTER,
    QUARTER_MS,
    QUARTERS_PER_DAY,
    TAG_USAGE,
    TAG_WINDOWS,
    USER_TAG_USES,
    WINDOW_QUARTERS,
)

COMPARED_DAYS: Final = 7
MIN_ACCOUNTS: Final = 5
"""What fewer accounts use is no trend."""

_TAGS_PER_READ = 500


class TagUse(NamedTuple):
    """How much a tag was used in the quarter of an hour that began at `since` (Unix ms)."""

    since: int
    uses: int
    accounts: int


class TrendingTag(NamedTuple):
    """A (folded) hashtag that is used more than usual.

    `uses` counts posts and `accounts` the different accounts of the last two hours; `history` has
    each quarter of an hour of them, the oldest first.
    """

    tag: str
    score: float
    uses: int
    accounts: int
    history: tuple[TagUse, ...]


def surprise_score(observed: int, expected: float) -> float:
    """How surprising it is to see so many accounts where so many were expected."""
    if observed < MIN_ACCOUNTS or observed <= expected:
        return 0.0
    return (observed - expected) ** 2 / (expected + 3)


async def find_trends(store: ReadStore, at_ms: int, limit: int) -> list[TrendingTag]:
    """What trended at a time, the most surprising first, equal ones by tag."""
    if limit < 1:
        return []
    now = at_ms // QUARTER_MS
    observed = {row.tag: row.accounts for row in await store.scan(TAG_WINDOWS, (now,))}
    best = await _best_tags(store, now, observed, limit)
    return [await _load_trend(store, now, tag, -negative) for negative, tag in best]


async def _best_tags(
    store: ReadStore, now: int, observed: dict[str, int], limit: int
) -> list[tuple[float, str]]:
    """(minus the score, tag) of the best.

    The most used are looked at first: no score is higher than that of a tag which nobody was
    expected to use, so the rest needs no look once enough better ones were found.
    """
    used = sorted((-o, tag) for tag, o in observed.items() if o >= MIN_ACCOUNTS)
    best: list[tuple[float, str]] = []
    for start in range(0, len(used), _TAGS_PER_READ):
        some = [tag for _, tag in used[start : start + _TAGS_PER_READ]]
        if len(best) == limit and surprise_score(observed[some[0]], 0) < -best[-1][0]:
            break
        expected = await _expected_accounts(store, now, some)
        best += [(-surprise_score(observed[tag], expected[tag]), tag) for tag in some]
        best = nsmallest(limit, (one for one in best if one[0] < 0))
    return best


async def _expected_accounts(store: ReadStore, now: int, tags: Sequence[str]) -> dict[str, float]:
    """How many accounts used each tag in these two hours of a day, on average."""
    before = range(now - COMPARED_DAYS * QUARTERS_PER_DAY, now, QUARTERS_PER_DAY)
    keys = [(quarter, tag) for quarter in before for tag in tags]
    sums = dict.fromkeys(tags, 0)
    for row in (await store.get_many(TAG_WINDOWS, keys)).values():
        sums[row.tag] += row.accounts
    return {tag: accounts / COMPARED_DAYS for tag, accounts in sums.items()}


async def _load_trend(store: ReadStore, now: int, tag: str, surprise: float) -> TrendingTag:
    quarters = range(now - WINDOW_QUARTERS + 1, now + 1)
    rows = await store.get_many(TAG_USAGE, [(quarter, tag) for quarter in quarters])
    accounts: set[int] = set()
    history = []
    for quarter in quarters:
        row = rows.get((quarter, tag))
        if row is not None:
            users = await store.scan(USER_TAG_USES, (quarter, tag), index=BY_QUARTER)
            accounts.update(use.user for use in users)
        history.append(
            TagUse(quarter * QUARTER_MS, row.uses if row else 0, row.accounts if row else 0)
        )
    uses = sum(use.uses for use in history)
    return TrendingTag(tag, surprise, uses, len(accounts), tuple(history))
