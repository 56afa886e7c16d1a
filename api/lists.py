"""Lists of the first rows of a question. One that is named here is served, documented and measured.

For projections whose answer is a list of their rows as they are, such as who is mentioned most
(`docs/projections.md`). What shows posts or users, or has pages, is `api.queries`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from api import paging
from api.call import Answer, Call, json_answer
from api.ports import Ports
from api.routes import Operation
from api.schemas import Count
from projections.store import ReadStore


class TopList(NamedTuple):
    """A list at an address: the first rows that `ask` gives of a projection's store.

    Their columns are the fields of the JSON objects: counts as numbers, so ids must be text.
    """

    path: str
    summary: str
    projection: str
    row: type[tuple[Any, ...]]
    """A `NamedTuple`."""
    ask: Callable[[ReadStore, int], Awaitable[Sequence[tuple[Any, ...]]]]
    """Gives so many rows at most."""


LISTS: Final[tuple[TopList, ...]] = ()

SHOWN: Final = 10
"""Rows in an answer, unasked."""

MOST: Final = 100
"""The most rows in an answer."""


def operations(ports: Ports) -> list[Operation]:
    """The operations of all lists."""
    return [_operation(ports, one) for one in LISTS]


def _operation(ports: Ports, one: TopList) -> Operation:
    hints = get_type_hints(one.row)
    fields = [(name, Count if kind is int else kind) for name, kind in hints.items()]
    shown = msgspec.defstruct(one.row.__name__, fields, namespace={"__doc__": one.row.__doc__})

    async def answer(call: Call) -> Answer:
        limit = min(paging.positive(call.query, "limit", SHOWN), MOST)
        rows = await one.ask(ports.views.store(one.projection), limit)
        return json_answer(msgspec.json.encode([shown(*row) for row in rows]))

    return Operation(
        "GET", one.path, answer, one.summary, list[shown],  # type: ignore[valid-type]
        query=("limit",), reads=(one.projection,), problems=(422,),
    )  # fmt: skip
