"""`/v1/trends`: hashtags used more than usual."""

from typing import Final

from fastapi import APIRouter

from api.http.errors import problems
from api.http.paging import LimitQuery
from api.http.request import QUERY_PROBLEMS, AtTime, fresh_views
from api.http.route import ApiRoute
from api.schemas import Trend, TrendPeriod
from api.state import CurrentState
from api.views.posts import rfc3339
from projections import trending

DEFAULT_TRENDS: Final = 10
MAX_TRENDS: Final = 50

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["trends"])


@router.get(
    "/trends", responses=QUERY_PROBLEMS | problems(403), dependencies=[fresh_views("trending")]
)
async def list_trends(
    state: CurrentState, at: AtTime, limit: LimitQuery = DEFAULT_TRENDS
) -> list[Trend]:
    """Hashtags used more than usual; with `at` as it was then."""
    if at is None:
        store, ms = state.ports.views.current_store("trending"), state.ports.clock_ms()
    else:
        ms = at.ms
        store = (await state.ports.time_travel.stores_at(("trending",), ms, at.reader))["trending"]
    found = await trending.find_trends(store, ms, min(limit, MAX_TRENDS))
    return [_to_json(trend) for trend in found]


def _to_json(trend: trending.TrendingTag) -> Trend:
    history = [
        TrendPeriod(since=rfc3339(use.since), uses=use.uses, accounts=use.accounts)
        for use in trend.history
    ]
    return Trend(
        tag=trend.tag,
        score=trend.score,
        uses=trend.uses,
        accounts=trend.accounts,
        history=history,
    )
