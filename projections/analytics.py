"""Who is active, who stays, who takes which first steps, and how accounts and hashtags grow.

Everything is counted by the quarter of an hour of its event, in counters that events only add to:
nothing is read, and events of different owners may arrive in any order. When an account was made is
in its id. A day begins where the reader's time zone says, and in each zone of today that is on a
quarter of an hour; weeks begin on Monday.

An account is active in a quarter in which it posted, commented, liked, retweeted, followed, or took
any of it back; reading isn't in the log. Figures of people who deleted their accounts stay.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final, Literal, NamedTuple

from events.envelope import RecordedEvent
from events.hashtags import fold_hashtag
from events.ids.snowflake import first_id_at, time_ms
from events.schema import (
    Event,
    PostCreated,
    PostLiked,
    PostRetweeted,
    PostUnliked,
    PostUnretweeted,
    UserFollowed,
    UserRegistered,
    UserUnfollowed,
)
from projections.distinct_count import MOST_EXACT, DistinctCount, sum_estimates
from projections.projection import BatchRows, RowRead
from projections.store import ReadStore
from projections.tables import CounterTable, Table

QUARTER_MS: Final = 900_000
"""Of an hour."""

ROWS_AT_ONCE: Final = 10_000

Period = Literal["day", "week", "month"]


class ActiveQuarter(NamedTuple):
    """How much an account did in a quarter of an hour (counted from 1970)."""

    quarter: int
    user: int
    actions: int


class FirstSteps(NamedTuple):
    """How often an account did what one can do first."""

    user: int
    registrations: int
    follows: int
    posts: int
    likes: int


class FollowerQuarter(NamedTuple):
    """How many followed an account in a quarter, and how many no longer did."""

    user: int
    quarter: int
    gained: int
    lost: int


class HashtagQuarter(NamedTuple):
    """How many posts of a quarter were made with a (folded) hashtag."""

    tag: str
    quarter: int
    posts: int


ACTIVE_QUARTERS: Final[CounterTable[ActiveQuarter]] = CounterTable("active", ActiveQuarter, 2)
FIRST_STEPS: Final[CounterTable[FirstSteps]] = CounterTable("steps", FirstSteps, 1)
FOLLOWER_QUARTERS: Final[CounterTable[FollowerQuarter]] = CounterTable(
    "followed", FollowerQuarter, 2
)
HASHTAG_QUARTERS: Final[CounterTable[HashtagQuarter]] = CounterTable("tagged", HashtagQuarter, 2)


class AnalyticsProjection:
    """Counts by the quarter of an hour."""

    name = "analytics"
    version = 2
    event_types: tuple[type[Event], ...] = (
        PostLiked,
        PostCreated,
        PostRetweeted,
        UserFollowed,
        PostUnliked,
        PostUnretweeted,
        UserUnfollowed,
        UserRegistered,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        ACTIVE_QUARTERS, FIRST_STEPS, FOLLOWER_QUARTERS, HASHTAG_QUARTERS,
    )  # fmt: skip

    def rows_to_read(self, recorded: RecordedEvent) -> Iterable[RowRead]:
        """Nothing."""
        return ()

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Count an event in its quarter."""
        event, quarter = recorded.event, time_ms(recorded.id) // QUARTER_MS
        if isinstance(event, UserRegistered):
            view.add(FIRST_STEPS, (event.user,), 1, 0, 0, 0)
            return
        view.add(ACTIVE_QUARTERS, (quarter, recorded.actor), 1)
        if isinstance(event, PostLiked):
            view.add(FIRST_STEPS, (event.user,), 0, 0, 0, 1)
        elif isinstance(event, PostCreated):
            view.add(FIRST_STEPS, (event.author,), 0, 0, 1, 0)
            for tag in {fold_hashtag(tag) for tag in event.hashtags}:
                view.add(HASHTAG_QUARTERS, (tag, quarter), 1)
        elif isinstance(event, UserFollowed):
            view.add(FIRST_STEPS, (event.follower,), 0, 1, 0, 0)
            view.add(FOLLOWER_QUARTERS, (event.followee, quarter), 1, 0)
        elif isinstance(event, UserUnfollowed):
            view.add(FOLLOWER_QUARTERS, (event.followee, quarter), 0, 1)


class Span(NamedTuple):
    """The quarters of an hour from `first` up to and without `end`: the period that begins at
    `day`."""

    day: date
    first: int
    end: int


class ActiveUsers(NamedTuple):
    """How many accounts were active in a period; the new ones were made in it. `error` is the share
    by which the counts may be wrong, None where they are exact."""

    since: date
    active: int
    new: int
    returning: int
    error: float | None = None


class Cohort(NamedTuple):
    """The accounts made in the week that begins at `since`.

    `active` says how many of them were active in that week and in each of those after it; `error`
    as of `ActiveUsers`.
    """

    since: date
    accounts: int
    active: tuple[int, ...]
    error: float | None = None


class Funnel(NamedTuple):
    """Accounts, and how many of them followed; of these, posted; of these, liked."""

    signed_up: int
    followed: int
    posted: int
    liked: int


class GrowthOfAccount(NamedTuple):
    """Followers gained and lost in a period."""

    since: date
    gained: int
    lost: int


class HashtagUses(NamedTuple):
    """Posts with a hashtag in a period."""

    since: date
    posts: int


def split_periods(first: date, last: date, period: Period, zone: tzinfo = UTC) -> list[Span]:
    """The periods that have a day from `first` to `last`, whole ones.

    Raises `ValueError` where a day of the zone doesn't begin on a quarter of an hour. All have
    since 1972.
    """
    spans, day = [], _begin_of_period(first, period)
    while day <= last:
        following = _next_period(day, period)
        spans.append(Span(day, _quarter_of(day, zone), _quarter_of(following, zone)))
        day = following
    return spans


def _begin_of_period(day: date, period: Period) -> date:
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def _next_period(day: date, period: Period) -> date:
    if period == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if period == "week" else 1)


def _quarter_of(day: date, zone: tzinfo) -> int:
    ms = round(datetime.combine(day, time(), zone).timestamp() * 1000)
    if ms % QUARTER_MS:
        raise ValueError(f"{day} does not begin on a quarter of an hour there")
    return ms // QUARTER_MS


async def count_active_users(
    store: ReadStore, spans: Sequence[Span], most_exact: int = MOST_EXACT
) -> list[ActiveUsers]:
    """How many accounts were active in each period; exact up to `most_exact` new and as many
    returning ones."""
    found = []
    for span in spans:
        first_new = first_id_at(span.first * QUARTER_MS)
        new, returning = DistinctCount(most_exact), DistinctCount(most_exact)
        async for users in _active_in(store, span):
            new.add(user for user in users if user >= first_new)
            returning.add(user for user in users if user < first_new)
        parts = new.estimate(), returning.estimate()
        count, error = sum_estimates(*parts)
        found.append(ActiveUsers(span.day, count, parts[0].number, parts[1].number, error))
    return found


async def count_cohorts(
    store: ReadStore, weeks: Sequence[Span], most_exact: int = MOST_EXACT
) -> list[Cohort]:
    """For the accounts made in each week, how many were active in it and in each later one; exact
    up to `most_exact` of a cohort in a week."""
    edges = [first_id_at(week.first * QUARTER_MS) for week in weeks]
    active: list[list[int]] = [[] for _ in weeks]
    errors: list[float | None] = [None for _ in weeks]
    for number, week in enumerate(weeks):
        counts = [DistinctCount(most_exact) for _ in range(number + 1)]
        async for users in _active_in(store, week):
            cohorts: list[list[int]] = [[] for _ in counts]
            for user in users:
                if 0 <= (cohort := bisect_right(edges, user) - 1) <= number:
                    cohorts[cohort].append(user)
            for count, accounts in zip(counts, cohorts, strict=True):
                count.add(accounts)
        for cohort, count in enumerate(counts):
            estimate = count.estimate()
            active[cohort].append(estimate.number)
            errors[cohort] = estimate.error or errors[cohort]
    made = [(await count_funnel(store, week)).signed_up for week in weeks]
    return [
        Cohort(week.day, made[number], tuple(active[number]), errors[number])
        for number, week in enumerate(weeks)
    ]


async def count_funnel(store: ReadStore, span: Span) -> Funnel:
    """How far the accounts that were made in a period came until now."""
    found = Funnel(0, 0, 0, 0)
    async for rows in _steps_of(store, span):
        followed = [row for row in rows if row.follows]
        posted = [row for row in followed if row.posts]
        liked = sum(row.likes > 0 for row in posted)
        page = len(rows), len(followed), len(posted), liked
        found = Funnel(*map(sum, zip(found, page, strict=True)))
    return found


async def count_growth(store: ReadStore, user: int, spans: Sequence[Span]) -> list[GrowthOfAccount]:
    """Follows and unfollows of an account in each period."""
    found = []
    for span in spans:
        rows = await store.scan(FOLLOWER_QUARTERS, (user,), above=span.first - 1, below=span.end)
        found.append(
            GrowthOfAccount(span.day, sum(r.gained for r in rows), sum(r.lost for r in rows))
        )
    return found


async def count_hashtag(store: ReadStore, tag: str, spans: Sequence[Span]) -> list[HashtagUses]:
    """Posts made with a hashtag in each period, in whatever case it is written."""
    folded, found = fold_hashtag(tag), []
    for span in spans:
        rows = await store.scan(HASHTAG_QUARTERS, (folded,), above=span.first - 1, below=span.end)
        found.append(HashtagUses(span.day, sum(row.posts for row in rows)))
    return found


async def _active_in(store: ReadStore, span: Span) -> AsyncIterator[list[int]]:
    """The accounts of all rows in a period, page by page, some of them several times."""
    quarter = span.first - 1
    while True:
        rows = await store.scan(ACTIVE_QUARTERS, above=quarter, below=span.end, limit=ROWS_AT_ONCE)
        yield [row.user for row in rows]
        if len(rows) < ROWS_AT_ONCE:
            return
        quarter = rows[-1].quarter
        while len(rows) == ROWS_AT_ONCE:  # what is left of the last one
            await asyncio.sleep(0)
            rows = await store.scan(
                ACTIVE_QUARTERS, (quarter,), above=rows[-1].user, limit=ROWS_AT_ONCE
            )
            yield [row.user for row in rows]


async def _steps_of(store: ReadStore, span: Span) -> AsyncIterator[list[FirstSteps]]:
    """The accounts made in a period, page by page. A follow may be counted before its account's
    registration."""
    above = first_id_at(span.first * QUARTER_MS) - 1
    while True:
        rows = await store.scan(
            FIRST_STEPS,
            above=above,
            below=first_id_at(span.end * QUARTER_MS),
            limit=ROWS_AT_ONCE,
        )
        yield [row for row in rows if row.registrations]
        if len(rows) < ROWS_AT_ONCE:
            return
        above = rows[-1].user
        await asyncio.sleep(0)
