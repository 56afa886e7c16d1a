"""`/v1/analytics`: totals for analysts, and the growth of one's own account."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, Path, Query

from api.accounts.access_tokens import ANALYST_SCOPE, USER_SCOPE
from api.http.errors import problems
from api.http.request import QUERY_PROBLEMS, fresh_views
from api.http.route import ApiRoute
from api.http.tokens import Reader, requires_scope
from api.schemas import ApiModel, Count, Day
from api.state import ApiState, CurrentState
from api.v1.timelines import MAX_TAG
from commands.errors import InvalidInput
from projections import analytics
from projections.analytics import Period, Span
from projections.store import ReadStore

MAX_PERIODS: Final = 100
"""Of one answer."""

DEFAULT_DAYS: Final = 28

_FIRST: Final = "the first day; four weeks before the last one, if it isn't given"
_LAST: Final = "the last day; today, if it isn't given"

router = APIRouter(
    route_class=ApiRoute,
    prefix="/v1/analytics",
    tags=["analytics"],
    responses=QUERY_PROBLEMS | problems(403),
)


class ActivePeriod(ApiModel):
    """Accounts active in the period that begins on `since`; `new` ones were made in it. With very
    many the counts are estimates, which 19 times in 20 are wrong by no more than the share `error`.
    """

    since: Day
    active: Count
    new: Count
    returning: Count
    error: float | None = None


class CohortRetention(ApiModel):
    """Accounts made in the week that begins on `since`.

    `active` says how many of them were active in that week and in each one after it, by estimates
    where there is an `error`.
    """

    since: Day
    accounts: Count
    active: list[Count]
    error: float | None = None


class FirstStepsFunnel(ApiModel):
    """Accounts, how many of them followed, how many of these posted, how many of these liked."""

    signed_up: Count
    followed: Count
    posted: Count
    liked: Count


class GrowthPeriod(ApiModel):
    """Followers gained and lost in the period that begins on `since`."""

    since: Day
    gained: Count
    lost: Count


class HashtagPeriod(ApiModel):
    """Posts made with a hashtag in the period that begins on `since`."""

    since: Day
    posts: Count


FromQuery = Annotated[date | None, Query(alias="from", description=_FIRST)]
ToQuery = Annotated[date | None, Query(description=_LAST)]
ZoneQuery = Annotated[str, Query(description="a time zone such as Europe/Berlin")]


async def _periods(
    state: CurrentState,
    since: FromQuery = None,
    to: ToQuery = None,
    per: Period = "day",
    zone: ZoneQuery = "UTC",
) -> list[Span]:
    """The periods with a day from `from` to `to`, whole ones. Raises `InvalidInput`."""
    return periods_between(since, to, per, zone, state.ports.clock_ms())


async def _weeks(
    state: CurrentState, since: FromQuery = None, to: ToQuery = None, zone: ZoneQuery = "UTC"
) -> list[Span]:
    """The weeks with a day from `from` to `to`, whole ones. Raises `InvalidInput`."""
    return periods_between(since, to, "week", zone, state.ports.clock_ms())


def periods_between(
    since: date | None, to: date | None, per: Period, zone: str, now_ms: int
) -> list[Span]:
    """The periods with a day from `since` to `to`, as the `DEFAULT_DAYS` until now where they
    aren't given. Raises `InvalidInput`."""
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"there is no time zone {zone[:40]!r}; give one such as Europe/Berlin"
        raise InvalidInput("zone-invalid", message) from None
    last = to or datetime.fromtimestamp(now_ms / 1000, place).date()
    try:
        first = since or last - timedelta(days=DEFAULT_DAYS - 1)
        if first > last:
            raise ValueError(f"`from` {first} is after `to` {last}")
        if (last - first).days >= MAX_PERIODS * _LEAST_DAYS[per]:
            message = f"{first} to {last} is more than {MAX_PERIODS} of a {per}"
            raise ValueError(f"{message}: begin later, or ask by longer ones")
        return analytics.split_periods(first, last, per, place)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("period-invalid", f"no such periods: {error}") from None


_LEAST_DAYS: Final = {"day": 1, "week": 7, "month": 28}

Periods = Annotated[list[Span], Depends(_periods)]
Weeks = Annotated[list[Span], Depends(_weeks)]

FOR_ANALYSTS: Final[list[Any]] = [requires_scope(ANALYST_SCOPE), fresh_views("analytics")]


@router.get("/active-users", dependencies=FOR_ANALYSTS)
async def active_users(state: CurrentState, periods: Periods) -> list[ActivePeriod]:
    """How many accounts were active in each period, and how many of them were made in it."""
    found = await analytics.count_active_users(_store(state), periods)
    return [ActivePeriod(**one._asdict() | {"since": str(one.since)}) for one in found]


@router.get("/retention", dependencies=FOR_ANALYSTS)
async def retention(state: CurrentState, weeks: Weeks) -> list[CohortRetention]:
    """Of the accounts made in each week, how many were active in it and in each one after it."""
    found = await analytics.count_cohorts(_store(state), weeks)
    return [CohortRetention(**one._asdict() | {"since": str(one.since)}) for one in found]


@router.get("/funnel", dependencies=FOR_ANALYSTS)
async def funnel(state: CurrentState, periods: Periods) -> FirstStepsFunnel:
    """How far the accounts made in the periods came: a first follow, then post, then like."""
    whole = Span(periods[0].day, periods[0].first, periods[-1].end)
    found = await analytics.count_funnel(_store(state), whole)
    return FirstStepsFunnel.model_validate(found._asdict())


@router.get("/hashtags/{tag}", dependencies=FOR_ANALYSTS)
async def hashtag_uses(
    tag: Annotated[str, Path(min_length=1, max_length=MAX_TAG, description="without its #")],
    state: CurrentState,
    periods: Periods,
) -> list[HashtagPeriod]:
    """Posts made with a hashtag in each period."""
    found = await analytics.count_hashtag(_store(state), tag.removeprefix("#"), periods)
    return [HashtagPeriod(since=str(one.since), posts=one.posts) for one in found]


@router.get("/growth", dependencies=[requires_scope(USER_SCOPE), fresh_views("analytics")])
async def growth(reader: Reader, state: CurrentState, periods: Periods) -> list[GrowthPeriod]:
    """Followers that one's own account gained and lost in each period."""
    found = await analytics.count_growth(_store(state), reader, periods)
    return [GrowthPeriod(since=str(one.since), gained=one.gained, lost=one.lost) for one in found]


def _store(state: ApiState) -> ReadStore:
    return state.ports.views.current_store("analytics")
