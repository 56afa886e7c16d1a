"""The adapters of the read store that the conformance suite runs against, and its tables."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from infra.views.memory import MemoryStore
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


async def _memory(_folder: Path) -> ReadStore:
    return MemoryStore(TABLES)


async def _sqlite(folder: Path) -> ReadStore:
    return SqliteStore.open(folder / "view.sqlite", TABLES)


ADAPTERS = (
    Adapter("memory", _memory, persistent=False),
    Adapter("sqlite", _sqlite, persistent=True),
)


def putting(table: Table[Any], rows: Iterable[tuple[Any, ...]]) -> Changes:
    """The change that puts these rows."""
    return Changes(puts={table: {row[: table.key]: row for row in rows}})


def adding(tally: Tally[Any], *rows: tuple[Any, ...]) -> Changes:
    """The change that adds these rows' counts."""
    return Changes(adds={tally: {row[: tally.key]: list(row[tally.key :]) for row in rows}})


def deleting(table: Table[Any], *keys: tuple[Any, ...]) -> Changes:
    """The change that deletes these keys."""
    return Changes(deletes={table: set(keys)})
