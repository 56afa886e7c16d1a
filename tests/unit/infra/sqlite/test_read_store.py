"""What only the SQLite store promises: its file, its plans, its readers, its crashes."""

import asyncio
import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.sqlite.read_store import AnyTable, SqliteReadStore
from infra.sqlite.table_statements import TableStatements
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes, StoreError, StoreUnavailable
from projections.tables import Table
from tests.support.requirements import REPOSITORY
from tests.support.store_adapters import (
    COUNTS,
    NOTES,
    SEEN,
    SINGLES,
    TABLES,
    Count,
    Note,
    Seen,
    Single,
    put_changes,
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The file of an open store."""
    path = tmp_path / "view #1?.sqlite"
    store = SqliteReadStore.open(path, TABLES)
    yield path
    store._connection.close()


def opened(folder: Path, table: AnyTable) -> tuple[TableStatements, sqlite3.Connection]:
    """What a store says about a table, and a connection to say it on."""
    SqliteReadStore.open(folder / "v.sqlite", [table])._connection.close()
    return TableStatements(table), sqlite3.connect(folder / "v.sqlite")


def plan(connection: sqlite3.Connection, sql: str) -> str:
    parameters = [None] * sql.count("?")
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
    return "; ".join(row[3] for row in rows)


EVERY_TABLE = pytest.mark.parametrize(
    "table",
    [*TABLES, *(table for projection in ALL_PROJECTIONS for table in projection.tables)],
    ids=lambda table: table.name,
)


@EVERY_TABLE
def test_no_scan_sorts_or_reads_more_than_it_gives(tmp_path: Path, table: AnyTable) -> None:
    statements, connection = opened(tmp_path, table)
    for index in (None, *getattr(table, "indexes", ())):
        order = statements.columns_of_order(index)
        for prefix, above, below, down in itertools.product(
            range(len(order) + 1), (True, False), (True, False), (True, False)
        ):
            if prefix == len(order) and (above or below):
                continue
            how = plan(connection, statements.select_range(prefix, index, above, below, down))
            assert "TEMP B-TREE" not in how
            if prefix or above or below:
                assert how.startswith("SEARCH"), how
    connection.close()


@EVERY_TABLE
def test_every_row_is_looked_up_by_its_key(tmp_path: Path, table: AnyTable) -> None:
    statements, connection = opened(tmp_path, table)
    for keys in (1, 20, 512):
        _values, *lookups = plan(connection, statements.select_many(keys)).split("; SEARCH")
        assert len(lookups) == 1
    assert plan(connection, statements.select_row).startswith("SEARCH")
    connection.close()


def test_people_find_tables_and_columns_with_their_names(file: Path) -> None:
    connection = sqlite3.connect(file)
    columns = [row[1:4] for row in connection.execute("PRAGMA table_info(notes)")]
    assert columns == [
        ("order", "INTEGER", 1),
        ("select", "TEXT", 1),
        ("group", "TEXT", 0),
        ("where", "BLOB", 1),
        ("real", "REAL", 1),
    ]
    connection.close()


async def test_a_reader_sees_each_commit_and_is_not_blocked_by_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    writer = SqliteReadStore.open(path, TABLES)
    reader = SqliteReadStore.open(path, TABLES, read_only=True)
    await writer.apply(put_changes(SEEN, [Seen(1, 1)]), 0, 1)
    assert await reader.scan(SEEN) == [Seen(1, 1)]
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM seen")
    assert await reader.scan(SEEN) == [Seen(1, 1)]
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(StoreUnavailable, match="readonly"):
        await reader.apply(Changes(), 1, 2)
    await writer.close()
    assert await reader.get(SEEN, (1, 1)) == Seen(1, 1)
    await reader.close()


async def test_a_reader_can_open_a_file_without_a_writer(file: Path) -> None:
    await SqliteReadStore.open(file, TABLES).close()
    reader = SqliteReadStore.open(file, TABLES, read_only=True)
    assert await reader.read_checkpoint() == 0
    await reader.close()


def test_a_missing_or_damaged_file_is_an_unavailable_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SqliteReadStore.open(tmp_path / "none.sqlite", TABLES, read_only=True)
    (tmp_path / "no.sqlite").write_bytes(b"something else, long enough to be looked at" * 50)
    with pytest.raises(StoreUnavailable):
        SqliteReadStore.open(tmp_path / "no.sqlite", TABLES)


def test_a_file_of_other_tables_is_refused(file: Path) -> None:
    changed = [Table("seen", Single, key_size=1), *(t for t in TABLES if t is not SEEN)]
    with pytest.raises(StoreError, match="seen: raise the version"):
        SqliteReadStore.open(file, changed)


WRITER = """
import asyncio, sys
from pathlib import Path
from infra.sqlite.read_store import SqliteReadStore
from projections.store import Changes
from tests.support.store_adapters import COUNTS, NOTES, SINGLES, TABLES, Note, Single

async def write():
    store = SqliteReadStore.open(Path(sys.argv[1]), TABLES)
    position = await store.read_checkpoint()
    while True:
        ids = range(position * 50, position * 50 + 50)
        changes = Changes(
            puts={
                SINGLES: {(n,): Single(n, position) for n in ids},
                NOTES: {(n, "x"): Note(n, "x", "g") for n in ids},
            },
            deletes={NOTES: {(n - 50, "x") for n in ids}},
            increments={COUNTS: {("all", 1): [50, 1]}},
        )
        await store.apply(changes, position, position + 1)
        position += 1
        if position % 20 == 0:
            print(position, flush=True)

asyncio.run(write())
"""


async def check(path: Path, least: int) -> None:
    """What the writer's batches left is whole, up to the position that the file gives."""
    store = SqliteReadStore.open(path, TABLES)
    position = await store.read_checkpoint()
    assert position >= least
    ids = range(position * 50)
    assert await store.scan(SINGLES) == [Single(n, n // 50) for n in ids]
    assert await store.scan(NOTES) == [Note(n, "x", "g") for n in ids[-50:]]
    assert await store.scan(COUNTS) == [Count("all", 1, position * 50, position)]
    await store.close()


def test_rows_and_position_fit_together_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    for _round in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            said = int(writer.stdout.readline())
            writer.kill()
        asyncio.run(check(path, said))
