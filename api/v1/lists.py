"""Short lists without pages: trends, and the top rows of projections.

A projection whose answer is a list of its rows as they are, such as the users mentioned most, needs
no handler: it is named in `TOP_LISTS` and thereby served, documented and measured
(`docs/projections.md`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from api.http import paging
from api.http.messages import HttpRequest, HttpResponse, json_response
from api.http.routing import RouteSpec
from api.ports import Ports
from api.schemas import Count, Trend, Use, encode_json
from api.v1.resource import time_from_query
from api.views.posts import rfc3339
from projections import trending
from projections.store import ReadStore


class TopList(NamedTuple):
    """A list at an address: the first rows that `read_rows` reads from a projection's store.

    Their columns are the fields of the JSON objects: counts as numbers, so ids must be text.
    """

    path: str
    summary: str
    projection: str
    row_type: type[tuple[Any, ...]]
    """A `NamedTuple`."""
    read_rows: Callable[[ReadStore, int], Awaitable[Sequence[tuple[Any, ...]]]]
    """Reads so many rows at most."""


TOP_LISTS: Final[tuple[TopList, ...]] = ()

DEFAULT_ROWS: Final = 10
"""Rows in a response without `limit`."""

MAX_ROWS: Final = 100

MAX_TRENDS: Final = 50


class ListsResource:
    """Trends and `TOP_LISTS`."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> list[RouteSpec]:
        return [
            RouteSpec(
                "GET", "/v1/trends", self.list_trends, "Hashtags used more than usual", list[Trend],
                query_names=("limit", "at"), reads=("trending",), problem_statuses=(422, 503),
            ),
            *(self._top_list_route(top_list) for top_list in TOP_LISTS),
        ]  # fmt: skip

    async def list_trends(self, request: HttpRequest) -> HttpResponse:
        """Hashtags used more than usual; with `at` as it was then."""
        limit = min(paging.positive_int(request.query, "limit", DEFAULT_ROWS), MAX_TRENDS)
        ms = time_from_query(request, self._ports)
        if ms is None:
            store, ms = self._ports.views.current_store("trending"), self._ports.clock_ms()
        else:
            store = (await self._ports.time_travel.stores_at(("trending",), ms))["trending"]
        found = await trending.find_trends(store, ms, limit)
        return json_response(encode_json([_trend_json(trend) for trend in found]))

    def _top_list_route(self, top_list: TopList) -> RouteSpec:
        hints = get_type_hints(top_list.row_type)
        fields = [(name, Count if kind is int else kind) for name, kind in hints.items()]
        row_json = msgspec.defstruct(
            top_list.row_type.__name__, fields, namespace={"__doc__": top_list.row_type.__doc__}
        )

        async def list_rows(request: HttpRequest) -> HttpResponse:
            limit = min(paging.positive_int(request.query, "limit", DEFAULT_ROWS), MAX_ROWS)
            store = self._ports.views.current_store(top_list.projection)
            rows = await top_list.read_rows(store, limit)
            return json_response(encode_json([row_json(*row) for row in rows]))

        return RouteSpec(
            "GET", top_list.path, list_rows, top_list.summary,
            list[row_json],  # type: ignore[valid-type]
            query_names=("limit",), reads=(top_list.projection,), problem_statuses=(422,),
        )  # fmt: skip


def _trend_json(trend: trending.TrendingTag) -> Trend:
    history = [Use(rfc3339(use.since), use.uses, use.accounts) for use in trend.history]
    return Trend(trend.tag, trend.score, trend.uses, trend.accounts, history)
