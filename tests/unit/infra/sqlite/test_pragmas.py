"""A change of the journal waits for the processes that use the file at that moment."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from infra.sqlite.pragmas import run_pragmas

WAL = "PRAGMA journal_mode = WAL;"


def test_wal_mode_waits_for_another_connection_that_writes(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "file", check_same_thread=False)) as writing,
        closing(sqlite3.connect(tmp_path / "file")) as opening,
    ):
        writing.execute("CREATE TABLE numbers (n INTEGER)")
        writing.execute("INSERT INTO numbers VALUES (1)")
        # Why it is needed: SQLite itself waits for no other connection here, whatever its timeout.
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            opening.execute(WAL)
        commit = threading.Timer(0.1, writing.commit)
        commit.start()
        run_pragmas(opening, WAL)
        commit.join()
        assert opening.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert opening.execute("SELECT n FROM numbers").fetchone() == (1,)


def test_it_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.sqlite.pragmas._PATIENCE_SECONDS", 0.05)
    with (
        closing(sqlite3.connect(tmp_path / "file")) as writing,
        closing(sqlite3.connect(tmp_path / "file")) as opening,
    ):
        writing.execute("CREATE TABLE numbers (n INTEGER)")
        writing.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            run_pragmas(opening, WAL)


def test_other_errors_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"This is no database, and long enough to be seen as none.")
    with (
        closing(sqlite3.connect(tmp_path / "file")) as opening,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        run_pragmas(opening, WAL)
