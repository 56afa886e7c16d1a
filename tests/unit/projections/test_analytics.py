"""Figures for analysts, some counted by hand and all beside DuckDB over the exported log."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from events.schema import (
    Event,
    PostCreated,
    PostLiked,
    UserFollowed,
    UserRegistered,
    UserUnfollowed,
)
from projections.analytics import (
    ACTIVE_QUARTERS,
    ActiveUsers,
    Cohort,
    Funnel,
    GrowthOfAccount,
    HashtagUses,
    count_active_users,
    count_cohorts,
    count_funnel,
    count_growth,
    count_hashtag,
    split_periods,
)
from projections.store import ReadStore
from tests.support.exported_figures import compare_figures
from tests.support.projection_dsl import QueryResult, given, id_at
from tests.support.random_logs import (
    COMMANDS,
    DELAYS_MS,
    FREQUENT_COMMANDS,
    log_of_steps,
)

DAY = 24 * 60
NOON = date(2023, 11, 15)  # a Wednesday
TOKYO, KOLKATA = ZoneInfo("Asia/Tokyo"), ZoneInfo("Asia/Kolkata")
EPOCH = date(1970, 1, 1)


def answer(
    query: Callable[[ReadStore], Awaitable[QueryResult]], *events: tuple[int, Event]
) -> QueryResult:
    return given(*events).query(ACTIVE_QUARTERS, query)


def liked(minutes: float, user: int) -> tuple[int, Event]:
    return id_at(minutes, user % 4096), PostLiked(1, user, 1)


def test_periods_are_whole_and_begin_where_the_zone_says() -> None:
    days = split_periods(NOON, NOON + timedelta(days=1), "day")
    assert [span.day for span in days] == [NOON, NOON + timedelta(days=1)]
    assert days[0].end == days[1].first == days[0].first + 24 * 4
    [week] = split_periods(NOON, NOON, "week")
    assert (week.day, week.end - week.first) == (date(2023, 11, 13), 7 * 24 * 4)
    months = split_periods(date(2023, 12, 31), date(2024, 2, 1), "month")
    assert [span.day.month for span in months] == [12, 1, 2]
    assert split_periods(NOON, NOON, "day", TOKYO)[0].first == days[0].first - 9 * 4
    [short] = split_periods(date(2024, 3, 31), date(2024, 3, 31), "day", ZoneInfo("Europe/Berlin"))
    assert short.end - short.first == 23 * 4
    assert split_periods(NOON, NOON, "day", KOLKATA)[0].first == days[0].first - 22
    with pytest.raises(ValueError, match="quarter of an hour"):
        split_periods(date(1960, 1, 1), date(1960, 1, 1), "day", ZoneInfo("Africa/Monrovia"))


def test_days_of_every_zone_begin_on_a_quarter_of_an_hour() -> None:
    for zone in available_timezones():
        for month in (1, 7):
            day = date(2026, month, 1)
            [span] = split_periods(day, day, "day", ZoneInfo(zone))
            assert span.end - span.first == 24 * 4, zone


def test_an_account_is_active_once_a_period_and_new_in_the_one_that_it_was_made_in() -> None:
    new, old = id_at(-60), id_at(-3 * DAY)
    events = [liked(0, new), liked(70, new), liked(5, old), liked(DAY, new)]
    days = split_periods(NOON - timedelta(days=1), NOON + timedelta(days=1), "day")
    assert answer(lambda store: count_active_users(store, days), *events) == [
        ActiveUsers(days[0].day, 0, 0, 0),
        ActiveUsers(NOON, 2, 1, 1),
        ActiveUsers(days[2].day, 1, 0, 1),
    ]


def test_cohorts_and_the_funnel_follow_the_accounts_of_a_week() -> None:
    one, two, three = id_at(0, 1), id_at(1, 2), id_at(2, 3)
    events: list[tuple[int, Event]] = [
        *((id, UserRegistered(id, f"u{id}", "U")) for id in (one, two, three)),
        (id_at(5), UserFollowed(two, one)),
        (id_at(6), UserFollowed(one, two)),
        (id_at(7 * DAY), PostCreated(id_at(7 * DAY), one, "x")),
        liked(7 * DAY + 1, one),
        liked(7 * DAY + 2, three),
    ]
    weeks = split_periods(NOON, NOON + timedelta(days=7), "week")
    found = answer(lambda store: count_cohorts(store, weeks), *events)
    # Whose follow it is plays a part: these follows lack envelopes, and so their actors.
    assert [cohort.accounts for cohort in found] == [3, 0]
    assert found[0].active[1] == 2
    assert found[1] == Cohort(weeks[1].day, 0, (0,))
    assert answer(lambda store: count_funnel(store, weeks[0]), *events) == Funnel(3, 2, 1, 1)


def test_growth_and_hashtags_are_counted_by_period() -> None:
    days = split_periods(NOON, NOON + timedelta(days=1), "day")
    events: list[tuple[int, Event]] = [
        (id_at(0), UserFollowed(1, 2)),
        (id_at(1), UserFollowed(1, 3)),
        (id_at(DAY), UserUnfollowed(1, 2)),
        (id_at(2), PostCreated(id_at(2), 1, "#Cats #cats", hashtags=("Cats", "cats"))),
    ]
    assert answer(lambda store: count_growth(store, 1, days), *events) == [
        GrowthOfAccount(NOON, 2, 0),
        GrowthOfAccount(days[1].day, 0, 1),
    ]
    assert answer(lambda store: count_hashtag(store, "CATS", days), *events) == [
        HashtagUses(NOON, 1),
        HashtagUses(days[1].day, 0),
    ]


@pytest.mark.parametrize("minutes", [0, 9 * 60, 345])
def test_the_figures_are_those_of_duckdb_over_the_exported_log(
    tmp_path: Path, minutes: int
) -> None:
    random = Random(minutes)
    kinds = [*FREQUENT_COMMANDS * 3, *(name for name in COMMANDS if name != "delete_account")]
    steps = [
        (random.choice(kinds), random.randrange(12), random.randrange(30), random.choice(DELAYS_MS))
        for _ in range(400)
    ]

    async def run() -> None:
        await compare_figures(await log_of_steps(steps, people=12), tmp_path, minutes)

    asyncio.run(run())
