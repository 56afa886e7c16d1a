"""The adapters of the read store that the conformance suite runs against, and its tables."""

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.mongo import WRITE_SECONDS, connected
from infra.views.memory import MemoryStore
from infra.views.mongo import MongoStore
from infra.views.sqlite import SqliteStore
from projections.store import Changes, ReadStore
from projections.tables import Table, Tally


class Note(NamedTuple):
    """Every type of column, a column that may be missing, names that SQL keeps for itself."""

    order: int
    select: str
    group: str | None = None
    where: bytes = b""
    real: float = 0.0


class Named(NamedTuple):
    """A key that is text."""

    name: str
    user: int


class Single(NamedTuple):
    """A key of one integer."""

    id: int
    parent: int | None = None
    text: str = ""


class Count(NamedTuple):
    """Two counts under a key of two."""

    kind: str
    id: int
    up: int
    down: int


class Seen(NamedTuple):
    """Nothing but a key."""

    user: int
    post: int


NOTES = Table("notes", Note, key=2, indexes=(("group", "order"),))
NAMES = Table("names", Named, key=1)
SINGLES = Table("singles", Single, key=1, indexes=(("parent",),))
SEEN = Table("seen", Seen, key=2)
COUNTS = Tally("counts", Count, key=2)
TABLES: Sequence[Table[Any] | Tally[Any]] = (NOTES, NAMES, SINGLES, SEEN, COUNTS)


@dataclass(frozen=True)
class Adapter:
    """How to open a store in a folder; `persistent` ones find their rows again."""

    name: str
    open: Callable[[Path], Awaitable[ReadStore]]
    persistent: bool
    engine: str | None = None
    """The fixture of the server that it needs; `open` gets a file with its address."""


async def _memory(_folder: Path) -> ReadStore:
    return MemoryStore(TABLES)


async def _sqlite(folder: Path) -> ReadStore:
    return SqliteStore.open(folder / "view.sqlite", TABLES)


class _Alone(MongoStore):
    """A store with a connection of its own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connection = ExitStack()

    async def close(self) -> None:
        await super().close()
        self.connection.close()


async def _mongo(folder: Path) -> ReadStore:
    connection = ExitStack()
    address = (folder / ADDRESS).read_text()
    database = connection.enter_context(connected(address, WRITE_SECONDS))
    store = await _Alone.open(database, "things_1", TABLES)
    store.connection = connection
    return store


ADDRESS = "address"
ADAPTERS = (
    Adapter("memory", _memory, persistent=False),
    Adapter("sqlite", _sqlite, persistent=True),
    Adapter("mongodb", _mongo, persistent=True, engine="mongodb"),
)


def each_adapter(request: pytest.FixtureRequest, folder: Path) -> Adapter:
    """The adapter that a fixture's parameter names, with its server running."""
    found: Adapter = request.param
    if found.engine is not None:
        server = request.getfixturevalue(found.engine)
        (folder / ADDRESS).write_text(server.address(f"test-{uuid.uuid4().hex}"))
    return found


PARAMETERS = [
    pytest.param(adapter, id=adapter.name, marks=[pytest.mark.engines] if adapter.engine else [])
    for adapter in ADAPTERS
]


def putting(table: Table[Any], rows: Iterable[tuple[Any, ...]]) -> Changes:
    """The change that puts these rows."""
    return Changes(puts={table: {row[: table.key]: row for row in rows}})


def adding(tally: Tally[Any], *rows: tuple[Any, ...]) -> Changes:
    """The change that adds these rows' counts."""
    return Changes(adds={tally: {row[: tally.key]: list(row[tally.key :]) for row in rows}})


def deleting(table: Table[Any], *keys: tuple[Any, ...]) -> Changes:
    """The change that deletes these keys."""
    return Changes(deletes={table: set(keys)})
