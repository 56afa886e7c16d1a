"""The routes of the API: a table that dispatch, OpenAPI and metrics all read."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from api.accounts.access_tokens import TokenScope
from api.http.request import HttpRequest
from api.http.response import JSON, HttpResponse, StreamedResponse

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


class RouteMatch(NamedTuple):
    """A route, and what stands in the address for each `{name}`, in order."""

    route: RouteSpec
    params: tuple[str, ...]


class WrongMethod(NamedTuple):
    """The address exists, for these methods."""

    allowed: tuple[str, ...]


class _PathNode:
    """A node of the tree of addresses."""

    __slots__ = ("children", "methods", "parameter")

    def __init__(self) -> None:
        self.children: dict[str, _PathNode] = {}
        self.parameter: _PathNode | None = None
        self.methods: dict[str, RouteSpec] = {}


class RouteTable:
    """Finds a route in a few dictionary look-ups, however many there are."""

    def __init__(self, routes: Iterable[RouteSpec]) -> None:
        self.routes = tuple(routes)
        self._root = _PathNode()
        self._fixed_paths: dict[str, Mapping[str, RouteSpec]] = {}
        for route in self.routes:
            self._add(route)

    def _add(self, route: RouteSpec) -> None:
        node = self._root
        for segment in route.path.strip("/").split("/"):
            if segment.startswith("{"):
                node.parameter = node.parameter or _PathNode()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _PathNode())
        if route.method in node.methods:
            raise ValueError(f"two routes are {route.method} {route.path}")
        node.methods[route.method] = route
        if route.method == "GET":
            node.methods["HEAD"] = route
        if "{" not in route.path:
            self._fixed_paths[route.path] = node.methods

    def find(self, method: str, path: str) -> RouteMatch | WrongMethod | None:
        """The route of a request; None where no route has this address."""
        params: tuple[str, ...] = ()
        methods = self._fixed_paths.get(path)
        if methods is None:
            node = self._root
            for segment in path[1:].split("/"):
                child = node.children.get(segment)
                if child is None:
                    if node.parameter is None or not segment:
                        return None
                    child = node.parameter
                    params += (segment,)
                node = child
            methods = node.methods
        route = methods.get(method)
        if route is not None:
            return RouteMatch(route, params)
        return WrongMethod(tuple(methods)) if methods else None
