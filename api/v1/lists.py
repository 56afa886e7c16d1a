"""Lists of the first rows of a question. One that is named here is served, documented and measured.

For projections whose answer is a list of their rows as they are, such as who is mentioned most
(`docs/projections.md`). What shows posts or users, or has pages, is `api.v1.queries`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from api.http import paging
from api.http.request import HttpRequest, HttpResponse, json_response
from api.http.routing import RouteSpec
from api.ports import Ports
from api.schemas import Count
from projections.store import ReadStore


class TopList(NamedTuple):
    """A list at an address: the first rows that `ask` gives of a projection's store.

    Their columns are the fields of the JSON objects: counts as numbers, so ids must be text.
    """

    path: str
    summary: str
    projection: str
    row_type: type[tuple[Any, ...]]
    """A `NamedTuple`."""
    read_rows: Callable[[ReadStore, int], Awaitable[Sequence[tuple[Any, ...]]]]
    """Gives so many rows at most."""


TOP_LISTS: Final[tuple[TopList, ...]] = ()

DEFAULT_ROWS: Final = 10
"""Rows in an answer, unasked."""

MAX_ROWS: Final = 100
"""The most rows in an answer."""


def top_list_routes(ports: Ports) -> list[RouteSpec]:
    """The operations of all lists."""
    return [_top_list_route(ports, one) for one in TOP_LISTS]


def _top_list_route(ports: Ports, one: TopList) -> RouteSpec:
    hints = get_type_hints(one.row_type)
    fields = [(name, Count if kind is int else kind) for name, kind in hints.items()]
    shown = msgspec.defstruct(
        one.row_type.__name__, fields, namespace={"__doc__": one.row_type.__doc__}
    )

    async def answer(call: HttpRequest) -> HttpResponse:
        limit = min(paging.positive_int(call.query, "limit", DEFAULT_ROWS), MAX_ROWS)
        rows = await one.read_rows(ports.views.current_store(one.projection), limit)
        return json_response(msgspec.json.encode([shown(*row) for row in rows]))

    return RouteSpec(
        "GET", one.path, answer, one.summary, list[shown],  # type: ignore[valid-type]
        query_names=("limit",), reads=(one.projection,), problem_statuses=(422,),
    )  # fmt: skip
