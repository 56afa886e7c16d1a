"""A copy of the log in Parquet, kept in the data folder and brought up to date when asked.

What the copy lacks is read from the log into memory, as long as that is little; else the copy grows
first. So a question costs what it reads, however long the log is, and no server is needed. The
copy is disposable: one that belongs to another log, or looks different than it would today, is
made anew.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from events.log import START, EventLog
from events.selection import Selection, read
from infra.turns import Turns
from streams.exports import manifest
from streams.exports.manifest import CannotResume, Manifest
from streams.exports.parquet_folder import FORMAT, ParquetFolder, check_files, paths
from streams.formats import parquet

TAIL: Final = 100_000
"""Events that are read from the log at each question rather than copied first: about 0.4 s."""

EVERYTHING: Final = Selection()


class Rows(NamedTuple):
    """All events: files of Parquet, and an Arrow table of those behind them."""

    files: list[Path]
    tail: Any
    head: int


def up_to_date(log: EventLog, folder: Path, told: Callable[[int, int], None]) -> Rows:
    """The log's events as they are now. `told` (position, head) while the copy grows.

    Raises `OSError` and what the log raises. Two processes may call it at once.
    """
    head = log.head()
    found = _usable(log, folder)
    if head - (int(found.upto) if found else START) > TAIL:
        found = _grown(log, folder, head, told)
    after = int(found.upto) if found else START
    tail = [parquet.rows(batch.events) for batch in read(log, EVERYTHING, after, head)]
    return Rows(paths(folder, found) if found else [], parquet.table(tail), head)


def _usable(log: EventLog, folder: Path) -> Manifest | None:
    """What the copy holds; None where there is none that could be used."""
    path = folder / "manifest.json"
    try:
        found = manifest.load(path)
        if found is not None:
            manifest.check(found, folder, FORMAT, EVERYTHING)
            manifest.check_log(found, folder, log)
            check_files(folder, found)
    except CannotResume:
        return None
    return found


def _grown(log: EventLog, folder: Path, head: int, told: Callable[[int, int], None]) -> Manifest:
    """The copy with everything up to `head`; waits for another process that makes it grow."""
    turns = Turns(folder)
    try:
        with turns.take():
            if _usable(log, folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            copy = ParquetFolder(folder, EVERYTHING)
            try:
                for batch in read(log, EVERYTHING, copy.after, head):
                    copy.write(*batch)
                    told(batch.upto, head)
            except BaseException:
                copy.abandon()
                raise
            copy.close()
            return copy.manifest
    finally:
        turns.close()
