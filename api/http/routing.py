"""What the API offers, as a table that dispatch, OpenAPI and metrics all read."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from api.http.request import HttpRequest, HttpResponse, StreamedResponse
from api.http.tokens import TokenScope

Endpoint = Callable[[HttpRequest], Awaitable[HttpResponse | StreamedResponse]]


@dataclass(frozen=True, slots=True, eq=False)
class RouteSpec:
    """One method of one address. `{name}` in `path` stands for one segment.

    `scope` is what a token must carry; with None strangers may ask, and a token only personalises
    what is read. `reads` are the projections that must have seen the `Starling-Position` of a
    request.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    response_type: Any
    """The type of the successful answer's JSON; None where it isn't JSON."""
    body_type: type[Any] | None = None
    creates: bool = False
    """It makes something: 201 instead of 200."""
    scope: TokenScope | None = None
    command: bool = False
    max_page: int = 0
    """The largest `limit` of a page; 0 where there are no pages."""
    query_names: tuple[str, ...] = ()
    """Further query parameters (`api.http.openapi.PARAMETERS`)."""
    reads: tuple[str, ...] = ()
    problem_statuses: tuple[int, ...] = ()
    """Statuses of refusals, apart from those that follow from the other fields."""
    media_type: str = "application/json"
    accepted_type: str = "application/json"


class RouteMatch(NamedTuple):
    """An operation, and what stands in its address for each `{name}`, in order."""

    route: RouteSpec
    params: tuple[str, ...]


class WrongMethod(NamedTuple):
    """The address exists, for these methods."""

    allowed: tuple[str, ...]


PLACE: Final = "{}"


class _PathNode:
    """A step of the tree of addresses."""

    __slots__ = ("children", "methods", "place")

    def __init__(self) -> None:
        self.children: dict[str, _PathNode] = {}
        self.place: _PathNode | None = None
        self.methods: dict[str, RouteSpec] = {}


class RouteTable:
    """Finds an operation in a few dictionary look-ups, however many there are."""

    def __init__(self, operations: Iterable[RouteSpec]) -> None:
        self.routes = tuple(operations)
        self._root = _PathNode()
        self._fixed_paths: dict[str, Mapping[str, RouteSpec]] = {}
        for operation in self.routes:
            self._add(operation)

    def _add(self, operation: RouteSpec) -> None:
        node = self._root
        for segment in operation.path.strip("/").split("/"):
            if segment.startswith("{"):
                node.place = node.place or _PathNode()
                node = node.place
            else:
                node = node.children.setdefault(segment, _PathNode())
        if operation.method in node.methods:
            raise ValueError(f"two operations are {operation.method} {operation.path}")
        node.methods[operation.method] = operation
        if operation.method == "GET":
            node.methods["HEAD"] = operation
        if "{" not in operation.path:
            self._fixed_paths[operation.path] = node.methods

    def find(self, method: str, path: str) -> RouteMatch | WrongMethod | None:
        """The operation for a request; None where no operation has this address."""
        params: tuple[str, ...] = ()
        methods = self._fixed_paths.get(path)
        if methods is None:
            node = self._root
            for segment in path[1:].split("/"):
                child = node.children.get(segment)
                if child is None:
                    if node.place is None or not segment:
                        return None
                    child = node.place
                    params += (segment,)
                node = child
            methods = node.methods
        operation = methods.get(method)
        if operation is not None:
            return RouteMatch(operation, params)
        return WrongMethod(tuple(methods)) if methods else None
