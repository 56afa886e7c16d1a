"""Active users of more rows than fit a page, exact and by sketches: the same in every store."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from random import Random

import pytest

from events.ids.snowflake import first_id_at
from infra.in_memory.read_store import MemoryReadStore
from infra.sqlite.read_store import SqliteReadStore
from projections import analytics
from projections.analytics import (
    ACTIVE_QUARTERS,
    FIRST_STEPS,
    QUARTER_MS,
    ActiveUsers,
    AnalyticsProjection,
    Span,
    count_active_users,
    count_cohorts,
    split_periods,
)
from projections.store import Changes, ReadStore
from tests.support.engines.mongodb_views import open_store

MONDAY = date(2026, 2, 2)
WEEKS = split_periods(MONDAY, date(2026, 2, 15), "week")
DAYS = split_periods(MONDAY, date(2026, 2, 15), "day")
TABLES = AnalyticsProjection.tables


def made_up_activity() -> dict[tuple[int, int], list[int]]:
    """What 2,500 accounts did in two weeks, most of it in one quarter; by quarter and account."""
    rng = Random(5)
    first, busy = WEEKS[0].first, WEEKS[0].first + 200
    active: dict[tuple[int, int], list[int]] = {}
    for number in range(2500):
        made = rng.randrange(-500, 1344)
        user = first_id_at((first + made) * QUARTER_MS) + number
        if first + made < busy:
            active[busy, user] = [1]
        active[first + rng.randrange(max(made, 0), 1344), user] = [2]
    return active


ACTIVE = made_up_activity()


@pytest.fixture(params=["memory", "sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ReadStore]:
    """A view of the activity, the later half of it written first."""
    async with AsyncExitStack() as stack:
        opened: ReadStore
        if request.param == "memory":
            opened = MemoryReadStore(TABLES)
        elif request.param == "sqlite":
            opened = SqliteReadStore.open(tmp_path / "view.sqlite", TABLES)
            stack.push_async_callback(opened.close)
        else:
            server = request.getfixturevalue("mongodb")
            address = server.address(f"test-{uuid.uuid4().hex}")
            opened = await stack.enter_async_context(open_store(address, TABLES, "analytics_2"))
        rows = list(ACTIVE.items())
        steps = {(user,): [1, 0, 0, 0] for _, user in ACTIVE}
        for number, part in enumerate((rows[2000:], rows[:2000])):
            changes = Changes(increments={ACTIVE_QUARTERS: dict(part)})
            if number:
                changes.increments[FIRST_STEPS] = steps
            assert await opened.apply(changes, number, number + 1)
        yield opened


def active_in(span: Span) -> ActiveUsers:
    """Counted in sets."""
    users = {user for quarter, user in ACTIVE if span.first <= quarter < span.end}
    new = sum(user >= first_id_at(span.first * QUARTER_MS) for user in users)
    return ActiveUsers(span.day, len(users), new, len(users) - new)


async def test_accounts_are_counted_over_all_pages_exactly_or_within_the_error(
    store: ReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analytics, "ROWS_AT_ONCE", 300)
    spans = [*DAYS, *WEEKS]
    exact = [active_in(span) for span in spans]
    assert await count_active_users(store, spans) == exact
    estimated = await count_active_users(store, spans, most_exact=200)
    rebuilt = MemoryReadStore(TABLES)
    await rebuilt.apply(Changes(increments={ACTIVE_QUARTERS: ACTIVE}), 0, 1)
    assert estimated == await count_active_users(rebuilt, spans, most_exact=200)
    for expected, found in zip(exact, estimated, strict=True):
        if max(expected.new, expected.returning) <= 200:
            assert found == expected
        else:
            assert found.error == 0.0081
            assert abs(found.active - expected.active) <= found.error * expected.active
    assert sum(found.error is not None for found in estimated) > 2

    cohorts = await count_cohorts(store, WEEKS)
    assert [len(cohort.active) for cohort in cohorts] == [2, 1]
    assert cohorts[0].active[0] == exact[-2].new
    [first, _] = await count_cohorts(store, WEEKS, most_exact=200)
    assert (first.accounts, first.error) == (cohorts[0].accounts, 0.0081)
    assert abs(first.active[1] - cohorts[0].active[1]) <= 0.0081 * cohorts[0].active[1]
