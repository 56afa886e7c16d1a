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
from projections.trending import BY_QUARTER, DAY, QUARTER_MS, USAGE, USES, WINDOW, WINDOWS

DAYS_BEFORE: Final = 7
FEWEST: Final = 5
"""What fewer accounts use is no trend."""

_AT_ONCE = 500


class Use(NamedTuple):
    """How much a tag was used in the quarter of an hour that began at `since` (Unix ms)."""

    since: int
    uses: int
    accounts: int


class Trend(NamedTuple):
    """A (folded) hashtag that is used more than usual.

    `uses` counts posts and `accounts` the different accounts of the last two hours; `history` has
    each quarter of an hour of them, the oldest first.
    """

    tag: str
    score: float
    uses: int
    accounts: int
    history: tuple[Use, ...]


def score(observed: int, expected: float) -> float:
    """How surprising it is to see so many accounts where so many were expected."""
    if observed < FEWEST or observed <= expected:
        return 0.0
    return (observed - expected) ** 2 / (expected + 3)


async def trends(store: ReadStore, at_ms: int, limit: int) -> list[Trend]:
    """What trended at a time, the most surprising first, equal ones by tag."""
    if limit < 1:
        return []
    now = at_ms // QUARTER_MS
    observed = {row.tag: row.accounts for row in await store.scan(WINDOWS, (now,))}
    best = await _best(store, now, observed, limit)
    return [await _trend(store, now, tag, -negative) for negative, tag in best]


async def _best(
    store: ReadStore, now: int, observed: dict[str, int], limit: int
) -> list[tuple[float, str]]:
    """(minus the score, tag) of the best.

    The most used are looked at first: no score is higher than that of a tag which nobody was
    expected to use, so the rest needs no look once enough better ones were found.
    """
    used = sorted((-o, tag) for tag, o in observed.items() if o >= FEWEST)
    best: list[tuple[float, str]] = []
    for start in range(0, len(used), _AT_ONCE):
        some = [tag for _, tag in used[start : start + _AT_ONCE]]
        if len(best) == limit and score(observed[some[0]], 0) < -best[-1][0]:
            break
        expected = await _expected(store, now, some)
        best += [(-score(observed[tag], expected[tag]), tag) for tag in some]
        best = nsmallest(limit, (one for one in best if one[0] < 0))
    return best


async def _expected(store: ReadStore, now: int, tags: Sequence[str]) -> dict[str, float]:
    """How many accounts used each tag in these two hours of a day, on average."""
    before = range(now - DAYS_BEFORE * DAY, now, DAY)
    keys = [(quarter, tag) for quarter in before for tag in tags]
    sums = dict.fromkeys(tags, 0)
    for row in (await store.get_many(WINDOWS, keys)).values():
        sums[row.tag] += row.accounts
    return {tag: accounts / DAYS_BEFORE for tag, accounts in sums.items()}


async def _trend(store: ReadStore, now: int, tag: str, surprise: float) -> Trend:
    quarters = range(now - WINDOW + 1, now + 1)
    rows = await store.get_many(USAGE, [(quarter, tag) for quarter in quarters])
    accounts: set[int] = set()
    history = []
    for quarter in quarters:
        row = rows.get((quarter, tag))
        if row is not None:
            users = await store.scan(USES, (quarter, tag), index=BY_QUARTER)
            accounts.update(use.user for use in users)
        history.append(
            Use(quarter * QUARTER_MS, row.uses if row else 0, row.accounts if row else 0)
        )
    uses = sum(use.uses for use in history)
    return Trend(tag, surprise, uses, len(accounts), tuple(history))
