"""A copy of the log in Parquet, in the data folder, that grows with each `starling sql`.

What the copy lacks is read from the log into memory, as long as that is little; else the copy grows
first. So a query costs what it reads, however long the log is, and no server is needed. The copy is
disposable: one of another log, or in another format than today's, is replaced.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from events.event_filter import EventFilter, select_events
from events.log import LOG_START, EventLog
from infra.process.file_locks import FairFileLock
from streams.export import manifest, parquet_format
from streams.export.manifest import CannotResume, Manifest
from streams.export.parquet_export import (
    MANIFEST_NAME,
    PARQUET_FORMAT,
    ParquetFolder,
    check_files,
    file_paths,
)

MAX_TAIL_EVENTS: Final = 100_000
"""Events that are read from the log at each query rather than copied first: about 0.4 s."""

ALL_EVENTS: Final = EventFilter()


class LogRows(NamedTuple):
    """All events: files of Parquet, and an Arrow table of those behind them."""

    files: list[Path]
    tail: Any
    head: int
    left_out: list[int]
    """Positions of events that don't decode."""


def refresh_copy(
    log: EventLog, folder: Path, report_progress: Callable[[int, int], None]
) -> LogRows:
    """The log's events as they are now.

    `report_progress` gets (position, head) while the copy grows. Two processes may call this at
    once. Raises `OSError` and what the log raises.
    """
    head = log.head()
    found = _load_usable_manifest(log, folder)
    copied_to = int(found.upto) if found else LOG_START
    if log.features.estimate_events(copied_to, head) > MAX_TAIL_EVENTS:
        found = _extend_copy(log, folder, head, report_progress)
    after = int(found.upto) if found else LOG_START
    tail = [
        parquet_format.to_record_batch(batch.events)
        for batch in select_events(log, ALL_EVENTS, after, head)
    ]
    rows, left_out = parquet_format.to_table(tail)
    return LogRows(
        file_paths(folder, found) if found else [],
        rows,
        head,
        [*(map(int, found.left_out) if found else ()), *left_out],
    )


def remove_if_damaged(folder: Path, rows: LogRows) -> bool:
    """Read the files of the copy to their ends; remove it, and True, where one can't be read."""
    if all(map(parquet_format.is_readable, rows.files)):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _load_usable_manifest(log: EventLog, folder: Path) -> Manifest | None:
    """The manifest of the copy; None where there is no copy that could be used."""
    path = folder / MANIFEST_NAME
    try:
        found = manifest.load(path)
        if found is not None:
            manifest.check_same_request(found, folder, PARQUET_FORMAT, ALL_EVENTS)
            manifest.check_same_log(found, folder, log)
            check_files(folder, found)
    except CannotResume:
        return None
    return found


def _extend_copy(
    log: EventLog, folder: Path, head: int, report_progress: Callable[[int, int], None]
) -> Manifest:
    """The copy with everything up to `head`; waits for another process that extends it."""
    lock = FairFileLock(folder)
    try:
        with lock.acquire():
            if _load_usable_manifest(log, folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            copy = ParquetFolder(folder, ALL_EVENTS)
            try:
                for batch in select_events(log, ALL_EVENTS, copy.exported_through, head):
                    copy.write(*batch)
                    report_progress(batch.through, head)
            except BaseException:
                copy.abandon()
                raise
            copy.close()
            return copy.manifest
    finally:
        lock.close()
