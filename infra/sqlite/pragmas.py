"""Settings of a file that several processes may open for the first time at the same moment."""

import sqlite3
import time
from typing import Final

_PATIENCE_SECONDS: Final = 5.0


def run_pragmas(connection: sqlite3.Connection, script: str) -> None:
    """Run a script that may be run again, while other processes open the same file.

    A change of `journal_mode` wants the whole file while it reads it. SQLite asks no busy handler
    then, since two that do so would wait for each other: one of them is told at once that the file
    is locked, and has to try again. Raises `sqlite3.Error`.
    """
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connection.executescript(script)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up:
                raise
        else:
            return
        time.sleep(0.01)
