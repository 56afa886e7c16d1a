"""Servers of blocks of ids: in SQLite files, and in MongoDB."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from events.ids.id_blocks import (
    ODD_TICKETS,
    BlockLedger,
    BlockSource,
    BlocksUnavailable,
    ReturnedBlock,
)
from infra.dev.mongodb_server import MongoServer
from infra.mongodb.id_blocks import MongoBlocks
from infra.sqlite.id_blocks import SqliteBlocks
from tests.support.engines.mongodb_views import fresh_address

NOW = 1_700_000_000_000
SOON = NOW + 60_000

OpenBlocks = Callable[[], SqliteBlocks | MongoBlocks]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
def open_blocks(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBlocks:
    """Opens the same server again and again."""
    if request.param == "sqlite":
        return lambda: SqliteBlocks(tmp_path / "odd.sqlite", ODD_TICKETS, 20.0)
    address = fresh_address(request.getfixturevalue("mongodb"))

    def open_one() -> MongoBlocks:
        opened = MongoBlocks(address, "odd", ODD_TICKETS, timeout_seconds=20.0)
        request.addfinalizer(opened.close)
        return opened

    return open_one


def numbers(source: BlockSource, count: int) -> list[int]:
    return [block.number for block in source.take_blocks(count, "me", NOW, SOON)]


def test_a_server_that_is_opened_again_goes_on_where_it_was(open_blocks: OpenBlocks) -> None:
    assert numbers(open_blocks(), 2) == [1, 3]
    assert numbers(open_blocks(), 1) == [5]


def test_clients_that_ask_at_once_get_different_blocks(open_blocks: OpenBlocks) -> None:
    def take(_: int) -> list[tuple[int, int]]:
        blocks = open_blocks().take_blocks(2, "me", NOW, SOON)
        return [(block.number, block.machine_id) for block in blocks]

    with ThreadPoolExecutor(6) as threads:
        taken = [block for some in threads.map(take, range(12)) for block in some]
    assert sorted(number for number, _ in taken) == list(range(1, 48, 2))
    assert len({machine for _, machine in taken}) == 24


def test_blocks_that_come_back_are_counted_and_their_machine_ids_free(
    open_blocks: OpenBlocks,
) -> None:
    [block] = open_blocks().take_blocks(1, "me", NOW, SOON)
    left = ReturnedBlock(block.number, block.machine_id, NOW + 9, 12)
    assert open_blocks().take_blocks(0, "me", NOW, SOON, [left]) == []
    ledger = open_blocks().read_ledger()
    assert (ledger.blocks_given, ledger.numbers_wasted) == (1, 12)
    assert ledger.holdings[block.machine_id].until_ms == NOW + 9


def test_a_call_that_gives_no_block_changes_nothing(open_blocks: OpenBlocks) -> None:
    many = len(ODD_TICKETS.machines)
    assert len(numbers(open_blocks(), many + 1)) == many
    before = open_blocks().read_ledger()
    with pytest.raises(BlocksUnavailable, match="all 128 machine ids"):
        numbers(open_blocks(), 1)
    assert open_blocks().read_ledger() == before


def test_a_new_server_has_given_nothing(open_blocks: OpenBlocks) -> None:
    assert open_blocks().read_ledger() == BlockLedger(1)


def test_a_file_that_is_locked_or_damaged_is_a_server_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "odd.sqlite"
    blocks = SqliteBlocks(path, ODD_TICKETS, lock_timeout_seconds=0.05)
    assert numbers(blocks, 1) == [1]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BlocksUnavailable, match=r"odd\.sqlite: database is locked"):
            numbers(blocks, 1)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(BlocksUnavailable, match="not a database"):
        numbers(blocks, 1)
    with pytest.raises(BlocksUnavailable, match="absent"):
        numbers(SqliteBlocks(tmp_path / "absent" / "odd.sqlite", ODD_TICKETS), 1)


@pytest.mark.engines
def test_a_mongodb_that_hangs_is_a_server_that_is_down(mongodb: MongoServer) -> None:
    with closing(MongoBlocks(fresh_address(mongodb), "odd", ODD_TICKETS, 0.5)) as blocks:
        mongodb.freeze()
        try:
            with pytest.raises(BlocksUnavailable):
                numbers(blocks, 1)
        finally:
            mongodb.thaw()
