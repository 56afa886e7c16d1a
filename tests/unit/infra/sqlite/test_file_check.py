"""What is noticed of damaged databases before SQLite takes them for others."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.sqlite.file_check import find_damage, find_structural_damage, find_wal_damage

TRANSACTIONS = 6
PAGE = 4096
FRAME = PAGE + 24


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, Path]:
    """A database and its -wal of several transactions, as a killed process leaves them."""
    path = tmp_path / "live.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (v)")
        for number in range(TRANSACTIONS):
            writer.execute("INSERT INTO t VALUES (?)", (f"{number}" * 500,))
        copy = tmp_path / "copy.sqlite"
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    return copy, Path(f"{copy}-wal")


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def test_a_whole_database_with_its_wal_is_not_damaged(copied: tuple[Path, Path]) -> None:
    path, wal = copied
    assert wal.stat().st_size > 3 * FRAME
    assert find_damage(path) is None


@pytest.mark.parametrize("place", [0, 5, 20, 32 + 3, 32 + 10, 32 + 30, 32 + FRAME + 2000])
def test_a_flipped_byte_among_what_was_committed_is_damage(
    place: int, copied: tuple[Path, Path]
) -> None:
    path, wal = copied
    flip(wal, place)
    assert find_wal_damage(wal) is not None
    assert find_damage(path) is not None


def test_a_torn_last_transaction_is_none(copied: tuple[Path, Path]) -> None:
    _, wal = copied
    whole = wal.read_bytes()
    flip(wal, wal.stat().st_size - 1000)
    assert find_wal_damage(wal) is None
    wal.write_bytes(whole[: -FRAME // 2])
    assert find_wal_damage(wal) is None


def test_frames_of_an_earlier_round_of_the_wal_are_none(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (v)")
        for number in range(TRANSACTIONS):
            writer.execute("INSERT INTO t VALUES (?)", (f"{number}" * 500,))
        writer.execute("PRAGMA wal_checkpoint(RESTART)")
        writer.execute("INSERT INTO t VALUES (1)")
        assert Path(f"{path}-wal").stat().st_size > 3 * FRAME
        assert find_damage(path) is None


def test_an_emptied_file_beside_a_wal_and_broken_pages_are_damage(
    copied: tuple[Path, Path], tmp_path: Path
) -> None:
    path, _ = copied
    path.write_bytes(b"")
    assert find_damage(path) == "it is empty"
    broken = tmp_path / "broken.sqlite"
    with closing(sqlite3.connect(broken)) as writer:
        writer.execute("CREATE TABLE t (v)")
        writer.executemany("INSERT INTO t VALUES (?)", [("x" * 300,)] * 200)
        writer.commit()
    assert find_structural_damage(broken) is None
    flip(broken, 2 * PAGE)
    assert find_structural_damage(broken) is not None
    assert find_structural_damage(tmp_path / "absent") is None
