"""The adapters of the read store that the conformance suite runs against, and its tables."""

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from infra.in_memory.read_store import MemoryReadStore
from infra.mongodb.connection import WRITE_SECONDS, open_database
from infra.mongodb.read_store import MongoReadStore
from infra.settings import MongoDriver
from infra.sqlite.read_store import SqliteReadStore
from projections.store import Changes, ReadStore
from projections.tables import CounterTable, Table


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


NOTES = Table("notes", Note, key_size=2, indexes=(("group", "order"),))
NAMES = Table("names", Named, key_size=1)
SINGLES = Table("singles", Single, key_size=1, indexes=(("parent",),))
SEEN = Table("seen", Seen, key_size=2)
COUNTS = CounterTable("counts", Count, key_size=2, indexes=(("kind", "up"),))
TABLES: Sequence[Table[Any] | CounterTable[Any]] = (NOTES, NAMES, SINGLES, SEEN, COUNTS)


@dataclass(frozen=True)
class StoreAdapter:
    """How to open a store in a folder; `persistent` ones find their rows again."""

    name: str
    open: Callable[[Path], Awaitable[ReadStore]]
    persistent: bool
    engine: str | None = None
    """The fixture of the server that it needs; `open` gets a file with its address."""


async def _open_memory(_folder: Path) -> ReadStore:
    return MemoryReadStore(TABLES)


async def _open_sqlite(folder: Path) -> ReadStore:
    return SqliteReadStore.open(folder / "view.sqlite", TABLES)


class _OwnConnectionStore(MongoReadStore):
    """A store with a connection of its own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connection = AsyncExitStack()

    async def close(self) -> None:
        await super().close()
        await self.connection.aclose()


async def _open_mongodb(folder: Path, driver: MongoDriver) -> ReadStore:
    connection = AsyncExitStack()
    address = (folder / ADDRESS_FILE).read_text()
    database = await connection.enter_async_context(open_database(address, WRITE_SECONDS, driver))
    store = await _OwnConnectionStore.open(database, "things_1", TABLES)
    store.connection = connection
    return store


ADDRESS_FILE = "address"
STORE_ADAPTERS = (
    StoreAdapter("memory", _open_memory, persistent=False),
    StoreAdapter("sqlite", _open_sqlite, persistent=True),
    *(
        StoreAdapter(
            f"mongodb-{driver}", partial(_open_mongodb, driver=driver), True, engine="mongodb"
        )
        for driver in get_args(MongoDriver)
    ),
)


def adapter_with_server(request: pytest.FixtureRequest, folder: Path) -> StoreAdapter:
    """The adapter that a fixture's parameter names, with its server running."""
    found: StoreAdapter = request.param
    if found.engine is not None:
        server = request.getfixturevalue(found.engine)
        (folder / ADDRESS_FILE).write_text(server.address(f"test-{uuid.uuid4().hex}"))
    return found


STORE_PARAMETERS = [
    pytest.param(adapter, id=adapter.name, marks=[pytest.mark.engines] if adapter.engine else [])
    for adapter in STORE_ADAPTERS
]


def put_changes(table: Table[Any], rows: Iterable[tuple[Any, ...]]) -> Changes:
    """The change that puts these rows."""
    return Changes(puts={table: {row[: table.key_size]: row for row in rows}})


def add_changes(tally: CounterTable[Any], *rows: tuple[Any, ...]) -> Changes:
    """The change that adds these rows' counts."""
    return Changes(
        increments={tally: {row[: tally.key_size]: list(row[tally.key_size :]) for row in rows}}
    )


def delete_changes(table: Table[Any], *keys: tuple[Any, ...]) -> Changes:
    """The change that deletes these keys."""
    return Changes(deletes={table: set(keys)})
