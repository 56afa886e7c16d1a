"""The routes of the API: a table that dispatch, OpenAPI and metrics all read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from api.accounts.access_tokens import TokenScope
from api.http.messages import JSON, HttpRequest, HttpResponse, StreamedResponse

Endpoint = Callable[[HttpRequest], Awaitable[HttpResponse | StreamedResponse]]


@dataclass(frozen=True, slots=True, eq=False)
class RouteSpec:
    """One method of one address. `{name}` in `path` stands for one segment.

    `scope` is what a token must carry; with None a request needs no token, and a token only
    personalises what is read. `reads` are the projections that must have applied the
    `Starling-Position` of a request.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    response_type: Any
    """The type of the successful response's JSON; None where it isn't JSON."""
    body_type: type[Any] | None = None
    creates: bool = False
    """It creates something: 201 instead of 200."""
    scope: TokenScope | None = None
    command: bool = False
    max_page: int = 0
    """The largest `limit` of a page; 0 where there are no pages."""
    query_names: tuple[str, ...] = ()
    """Further query parameters (`api.http.openapi.PARAMETERS`)."""
    reads: tuple[str, ...] = ()
    problem_statuses: tuple[int, ...] = ()
    """Statuses of problems, apart from those that follow from the other fields."""
    media_type: str = JSON
    accepted_type: str = JSON
