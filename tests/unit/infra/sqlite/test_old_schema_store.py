"""A view of other tables than the program's answers exactly what it can tell."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from events.envelope import RecordedEvent
from infra.sqlite.old_schema_store import OldSchemaStore, open_any_version
from infra.sqlite.read_store import AnyTable, SqliteReadStore
from projections.posts import BY_AUTHOR, POST_COUNTS, POSTS, read_posts
from projections.projection import BatchRows
from projections.store import Changes, OldSchema, StoreError
from projections.tables import CounterTable, Key, Table
from streams.projecting.dead_letters import tables_with_dead_letters


class OldRow(NamedTuple):
    """A row as it was."""

    id: int
    group: str
    text: str


class NewRow(NamedTuple):
    """A row as it is: a column more, another that means something else, one less."""

    id: int
    group: str
    likes: int = 0


class CountRow(NamedTuple):
    """A count."""

    group: str
    number: int


OLD = Table("rows", OldRow, key_size=1, indexes=(("group",),))
NEW = Table("rows", NewRow, key_size=1, indexes=(("group",), ("likes",)))
OTHER_KEY = Table("rows", NewRow, key_size=2)
COUNTS = CounterTable("counts", CountRow, key_size=1)


class TablesOnlyProjection:
    """A projection of nothing, with these tables."""

    name, version, event_types = "shaped", 1, ()

    def __init__(self, *tables: AnyTable) -> None:
        self.tables = tables

    def rows_to_read(self, recorded: RecordedEvent) -> tuple[()]:
        return ()

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        return None


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A view made with `OLD`."""
    path = tmp_path / "old.sqlite"
    store = SqliteReadStore.open(path, tables_with_dead_letters(TablesOnlyProjection(OLD)))
    rows: dict[Key, tuple[Any, ...]] = {(n,): OldRow(n, "ab"[n % 2], "text") for n in range(4)}
    await store.apply(Changes(puts={OLD: rows}), 0, 7)
    await store.close()
    return path


async def test_what_the_old_view_has_is_answered(file: Path) -> None:
    store = open_any_version(file, TablesOnlyProjection(NEW))
    assert isinstance(store, OldSchemaStore)
    row = await store.get(NEW, (2,))
    assert row is not None
    assert (row.id, row.group, row[:2], row[-2]) == (2, "a", (2, "a"), "a")
    assert {row.id for row in (await store.get_many(NEW, [(1,), (3,), (9,)])).values()} == {1, 3}
    assert [r.id for r in await store.scan(NEW, ("b",), index=("group",))] == [1, 3]
    assert await store.read_checkpoint() == 7
    await store.close()


async def test_reading_a_column_that_the_old_view_lacks_is_refused(file: Path) -> None:
    store = open_any_version(file, TablesOnlyProjection(NEW, COUNTS))
    row = await store.get(NEW, (2,))
    assert row is not None
    for look in (
        lambda: row.likes,
        lambda: row[2],
        lambda: row[-1],
        lambda: row[1:],
        lambda: [*row],
        lambda: NewRow(*row),
        lambda: row._replace(id=1),
        lambda: row._asdict(),
    ):
        with pytest.raises(OldSchema, match="likes of rows"):
            look()
    with pytest.raises(OldSchema, match="rows by likes"):
        await store.scan(NEW, index=("likes",))
    with pytest.raises(OldSchema, match="counts"):
        await store.get(COUNTS, ("a",))
    await store.close()


async def test_a_table_with_another_key_can_not_be_read(file: Path) -> None:
    store = open_any_version(file, TablesOnlyProjection(OTHER_KEY))
    with pytest.raises(OldSchema, match="rows"):
        await store.scan(OTHER_KEY)
    await store.close()


async def test_writing_it_is_refused(file: Path) -> None:
    store = open_any_version(file, TablesOnlyProjection(NEW))
    with pytest.raises(StoreError):
        await store.apply(Changes(), 7, 8)
    assert await store.read_checkpoint() == 7
    await store.close()


async def test_a_view_of_the_same_tables_is_an_ordinary_one(file: Path) -> None:
    store = open_any_version(file, TablesOnlyProjection(OLD))
    assert not isinstance(store, OldSchemaStore)
    await store.close()


def test_a_file_that_is_no_view_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(StoreError):
        open_any_version(tmp_path / "empty.sqlite", TablesOnlyProjection(NEW))


class PostRowBeforeWarnings(NamedTuple):
    """A post as views had it before posts could carry warnings."""

    post: int
    author: int
    text: str
    reply_to: int | None
    hashtags: str
    mentions: str
    media: str
    edited: int | None = None
    deleted: int = 0


async def test_posts_of_a_view_of_before_there_were_warnings_are_read_without(
    tmp_path: Path,
) -> None:
    table = Table("posts", PostRowBeforeWarnings, key_size=1, indexes=(BY_AUTHOR,))
    path, projection = tmp_path / "posts.sqlite", TablesOnlyProjection(table, POST_COUNTS)
    store = SqliteReadStore.open(path, tables_with_dead_letters(projection))
    row = PostRowBeforeWarnings(5, 7, "hello", None, "[]", "[]", "[]")
    await store.apply(Changes(puts={table: {(5,): row}}), 0, 7)
    await store.close()
    old = open_any_version(path, TablesOnlyProjection(POSTS, POST_COUNTS))
    assert isinstance(old, OldSchemaStore)
    found = (await read_posts(old, [5]))[5]
    assert (found.text, found.sensitive, found.spoiler_text, found.language) == ("hello", 0, "", "")
    await old.close()
