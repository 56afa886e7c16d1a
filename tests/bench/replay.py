"""Replaying: to Parquet and to JSON lines, and how much memory a long export takes."""

import asyncio
import gc
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from events.event_filter import EventFilter, select_events, select_lines
from events.log import EventLog
from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from streams.export import parquet_format
from streams.export.replay import StoredLineExport, open_path_export
from tests.bench.result import Result
from tests.support import mission_workload
from tests.support.peak_memory import peak_kb
from tests.support.starling_program import STARLING

FEW: Final = 100_000
MANY: Final = 1_000_000
TIMED: Final = 300_000
"""Events of one timed replay, the first of the long log."""

USERS: Final = 5_000
FLAT: Final = 1 / 1.2
"""Memory at `FEW` events by memory at `MAX_CACHED_RETWEETS`."""

EVERYTHING: Final = EventFilter()


def measure(runs: int) -> list[Result]:
    """Parquet beside pyarrow alone, JSONL beside reading alone, memory beside a shorter log.

    The timed files lie in memory where the system has such a folder.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".bench-")))
        quick = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_quick_folder())))
        log = _log(folder / "many", MANY)
        rows = _rows(log)
        # A process that exports has no millions of objects for the collector to look through.
        gc.freeze()
        results = [_parquet(log, rows, quick, runs), _jsonl(log, quick, runs)]
        gc.unfreeze()
        log.close()
        _log(folder / "few", FEW).close()
        return results + [_memory(form, folder) for form in ("jsonl", "parquet")]


def _quick_folder() -> str | None:
    """Where timed files go: reading alone writes nothing, so a busy disk would decide the ratio."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _log(data: Path, events: int) -> SqliteLog:
    data.mkdir()
    log = SqliteLog(Settings(data=data).log_path)
    asyncio.run(mission_workload.write_log(log, events, USERS))
    return log


def _parquet(log: EventLog, rows: Sequence[Any], folder: Path, runs: int) -> Result:
    ours, peers = [], []
    for _ in range(runs):
        ours.append(_measure_replay(log, "parquet", folder / "out"))
        peers.append(_rate(lambda: _write_from_memory(rows, folder / "peer.parquet")))
    return Result.from_runs(
        f"replay of {TIMED:,} events to Parquet",
        ("log to folder", ours),
        ("pyarrow writes the same rows from memory", peers),
        target=0.6,
        unit="events/s",
    )


def _jsonl(log: EventLog, folder: Path, runs: int) -> Result:
    ours, peers = [], []
    for _ in range(runs):
        ours.append(_measure_replay(log, "jsonl", folder / "out.jsonl"))
        peers.append(_rate(lambda: _read(log)))
    return Result.from_runs(
        f"replay of {TIMED:,} events to JSONL",
        ("log to file", ours),
        ("reading the raw rows", peers),
        target=0.5,
        unit="events/s",
    )


def _memory(form: str, folder: Path) -> Result:
    peaks = [
        peak_kb([STARLING, "replay", "--data", folder / size, "--format", form, "-o", out]) / 1024
        for size, out in (("many", folder / f"many.{form}"), ("few", folder / f"few.{form}"))
    ]
    return Result.from_runs(
        f"peak memory of an export to {form}",
        (f"{MANY:,} events", peaks[:1]),
        (f"{FEW:,} events", peaks[1:]),
        target=FLAT,
        unit="MiB",
        higher_is_better=False,
    )


def _measure_replay(log: EventLog, form: str, path: Path) -> float:
    """Events a second of one export, begun anew."""
    if path.is_dir():
        shutil.rmtree(path)
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()

    def export() -> None:
        out = open_path_export(form, path, EVERYTHING, log, growing=False)
        if isinstance(out, StoredLineExport):
            for lines in select_lines(log, 0, TIMED):
                out.write_lines(*lines)
        else:
            for batch in select_events(log, EVERYTHING, 0, TIMED):
                out.write(*batch)
        out.close()

    return _rate(export)


def _rate(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return TIMED / (time.perf_counter() - started)


def _read(log: EventLog) -> None:
    for _ in select_events(log, EVERYTHING, 0, TIMED):
        pass


def _rows(log: EventLog) -> list[tuple[Any, ...]]:
    """The same rows as tuples of Python values, ready to be written."""
    batches = [
        parquet_format.to_record_batch(batch.events)
        for batch in select_events(log, EVERYTHING, 0, TIMED)
    ]
    columns = [column.to_pylist() for column in parquet_format.to_table(batches).table.columns]
    return list(zip(*columns, strict=True))


def _write_from_memory(rows: Sequence[tuple[Any, ...]], path: Path) -> None:
    """The loop that a program would run which has the rows."""
    writer = parquet_format.open_writer(path)
    for start in range(0, len(rows), parquet_format.ROW_GROUP_EVENTS):
        columns = zip(*rows[start : start + parquet_format.ROW_GROUP_EVENTS], strict=True)
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, parquet_format.PARQUET_SCHEMA, strict=True)
        ]
        writer.write_table(pa.table(arrays, parquet_format.PARQUET_SCHEMA))
    writer.close()
