"""`/v1/trends`: hashtags used more than usual."""

from typing import Final

from fastapi import APIRouter

from api.http.errors import problems
from api.http.paging import LimitQuery
from api.http.request import QUERY_PROBLEMS, AtTime, fresh_views
from api.http.route import ApiRoute
from api.state import CurrentState
from api.views.trends import Trend, current_trends, trends_at

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
    limit = min(limit, MAX_TRENDS)
    if at is None:
        return await current_trends(state.ports, limit)
    stores = await state.ports.time_travel.stores_at(("trending",), at.ms, at.reader)
    return await trends_at(stores["trending"], at.ms, limit)
