"""A view of other tables than the program's answers exactly what it can tell."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from events.recorded import Recorded
from infra.views.outgrown import OutgrownStore, open_to_read
from infra.views.sqlite import AnyTable, SqliteStore
from projections.projection import View
from projections.store import Changes, Outgrown, StoreError
from projections.tables import Key, Table, Tally
from streams.dead_letters import kept


class Then(NamedTuple):
    """A row as it was."""

    id: int
    group: str
    text: str


class Now(NamedTuple):
    """A row as it is: a column more, another that means something else, one less."""

    id: int
    group: str
    likes: int = 0


class Counted(NamedTuple):
    """A count."""

    group: str
    number: int


OLD = Table("rows", Then, key=1, indexes=(("group",),))
NEW = Table("rows", Now, key=1, indexes=(("group",), ("likes",)))
OTHER_KEY = Table("rows", Now, key=2)
COUNTS = Tally("counts", Counted, key=1)


class Shaped:
    """A projection of nothing, with these tables."""

    name, version, takes = "shaped", 1, ()

    def __init__(self, *tables: AnyTable) -> None:
        self.tables = tables

    def needs(self, recorded: Recorded) -> tuple[()]:
        return ()

    def project(self, recorded: Recorded, view: View) -> None:
        return None


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A view made with `OLD`."""
    path = tmp_path / "old.sqlite"
    store = SqliteStore.open(path, kept(Shaped(OLD)))
    rows: dict[Key, tuple[Any, ...]] = {(n,): Then(n, "ab"[n % 2], "text") for n in range(4)}
    await store.apply(Changes(puts={OLD: rows}), 0, 7)
    await store.close()
    return path


async def test_what_the_old_view_has_is_answered(file: Path) -> None:
    store = open_to_read(file, Shaped(NEW))
    assert isinstance(store, OutgrownStore)
    row = await store.get(NEW, (2,))
    assert row is not None
    assert (row.id, row.group, row[:2], row[-2]) == (2, "a", (2, "a"), "a")
    assert {row.id for row in (await store.get_many(NEW, [(1,), (3,), (9,)])).values()} == {1, 3}
    assert [r.id for r in await store.scan(NEW, ("b",), index=("group",))] == [1, 3]
    assert await store.position() == 7
    await store.close()


async def test_whoever_looks_at_what_it_has_not_is_refused(file: Path) -> None:
    store = open_to_read(file, Shaped(NEW, COUNTS))
    row = await store.get(NEW, (2,))
    assert row is not None
    for look in (
        lambda: row.likes,
        lambda: row[2],
        lambda: row[-1],
        lambda: row[1:],
        lambda: [*row],
        lambda: Now(*row),
        lambda: row._replace(id=1),
        lambda: row._asdict(),
    ):
        with pytest.raises(Outgrown, match="likes of rows"):
            look()
    with pytest.raises(Outgrown, match="rows by likes"):
        await store.scan(NEW, index=("likes",))
    with pytest.raises(Outgrown, match="counts"):
        await store.get(COUNTS, ("a",))
    await store.close()


async def test_a_table_with_another_key_can_not_be_read(file: Path) -> None:
    store = open_to_read(file, Shaped(OTHER_KEY))
    with pytest.raises(Outgrown, match="rows"):
        await store.scan(OTHER_KEY)
    await store.close()


async def test_nobody_writes_it(file: Path) -> None:
    store = open_to_read(file, Shaped(NEW))
    with pytest.raises(StoreError):
        await store.apply(Changes(), 7, 8)
    assert await store.position() == 7
    await store.close()


async def test_a_view_of_the_same_tables_is_an_ordinary_one(file: Path) -> None:
    store = open_to_read(file, Shaped(OLD))
    assert not isinstance(store, OutgrownStore)
    await store.close()


def test_a_file_that_is_no_view_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(StoreError):
        open_to_read(tmp_path / "empty.sqlite", Shaped(NEW))
