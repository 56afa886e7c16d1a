"""Copies of SQLite files that other processes write meanwhile."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from infra.files.atomic_write import flush_to_disk
from infra.sqlite.read_only_files import is_in_read_only_folder, reading_address

_PAGES_AT_ONCE: Final = 4096
"""16 MB: between two such steps Ctrl-C is heard and progress is reported."""

_LOCK_TIMEOUT: Final = 10.0


class DamagedCopy(Exception):
    """SQLite finds something wrong in a file; the message says what."""


def copy_while_written(
    source: Path, target: Path, report_progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Copy a database as it is at one moment, and flush the copy to the disk.

    `report_progress` gets pages done and pages in all. Writers go on: one read transaction holds
    the moment, so that SQLite never begins the copy anew because of them; what they write until it
    ends stays in the `-wal` file. Raises `sqlite3.Error`, `OSError`.
    """
    # Not `mode=ro`, where it can be: a file whose last writer was killed has to be recovered first.
    with (
        closing(_open_source(source)) as read,
        closing(_open_connection(target)) as write,
    ):
        read.execute("PRAGMA query_only = ON")
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        read.backup(
            write,
            pages=_PAGES_AT_ONCE,
            progress=lambda _, left, whole: report_progress(whole - left, whole),
        )
    flush_to_disk(target)


def check_database(path: Path) -> None:
    """Raise `DamagedCopy` where SQLite finds a page, an index or a constraint broken."""
    with closing(_open_connection(path)) as connection:
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            raise DamagedCopy(f"{path.name}: {error}") from error
    if found != [("ok",)]:
        raise DamagedCopy(f"{path.name}: {found[0][0]}")


def _open_source(path: Path) -> sqlite3.Connection:
    if not is_in_read_only_folder(path):
        return _open_connection(path)
    return sqlite3.connect(reading_address(path), uri=True, isolation_level=None)


def _open_connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None)
