"""What the API offers, as a table that dispatch, OpenAPI and metrics all read."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from api.auth import Scope
from api.call import Answer, Call, Stream

Handle = Callable[[Call], Awaitable[Answer | Stream]]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One method of one address. `{name}` in `path` stands for one segment.

    `scope` is what a token must carry; with None strangers may ask, and a token only personalises
    what is read. `reads` are the projections that must have seen the `Starling-Position` of a
    request.
    """

    method: str
    path: str
    handle: Handle
    summary: str
    answers: Any
    """The type of the successful answer's JSON; None where it isn't JSON."""
    body: type[Any] | None = None
    made: bool = False
    """It makes something: 201 instead of 200."""
    scope: Scope | None = None
    command: bool = False
    pages: int = 0
    """The largest `limit` of a page; 0 where there are no pages."""
    query: tuple[str, ...] = ()
    """Further query parameters (`api.openapi.PARAMETERS`)."""
    reads: tuple[str, ...] = ()
    problems: tuple[int, ...] = ()
    """Statuses of refusals, apart from those that follow from the other fields."""
    media: str = "application/json"
    accepts: str = "application/json"


class Found(NamedTuple):
    """An operation, and what stands in its address for each `{name}`, in order."""

    operation: Operation
    params: tuple[str, ...]


class WrongMethod(NamedTuple):
    """The address exists, for these methods."""

    allowed: tuple[str, ...]


PLACE: Final = "{}"


class _Node:
    """A step of the tree of addresses."""

    __slots__ = ("children", "methods", "place")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.place: _Node | None = None
        self.methods: dict[str, Operation] = {}


class Routes:
    """Finds an operation in a few dictionary look-ups, however many there are."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._root = _Node()
        self._fixed: dict[str, Mapping[str, Operation]] = {}
        for operation in self.operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for segment in operation.path.strip("/").split("/"):
            if segment.startswith("{"):
                node.place = node.place or _Node()
                node = node.place
            else:
                node = node.children.setdefault(segment, _Node())
        if operation.method in node.methods:
            raise ValueError(f"two operations are {operation.method} {operation.path}")
        node.methods[operation.method] = operation
        if operation.method == "GET":
            node.methods["HEAD"] = operation
        if "{" not in operation.path:
            self._fixed[operation.path] = node.methods

    def find(self, method: str, path: str) -> Found | WrongMethod | None:
        """The operation for a request; None where no operation has this address."""
        params: tuple[str, ...] = ()
        methods = self._fixed.get(path)
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
            return Found(operation, params)
        return WrongMethod(tuple(methods)) if methods else None
