"""Replay: the selected events of a source into an export, at full speed or in recorded time.

`starling replay` runs it. An export is a stream or a path in one of the formats; the exports of
paths keep a manifest, and a later run resumes them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from events.envelope import StoredEvent
from events.event_filter import EventBatchSource, EventFilter, SelectedEvents, SelectedLines
from events.ids.snowflake import time_ms
from events.json_lines import JsonLines
from events.log import EventLog
from streams.export import manifest
from streams.export.line_export import LineFile, LineStream, StoredLineFile, StoredLineStream
from streams.export.line_format import JSONL, LINE_FORMATS


class Export(Protocol):
    """Where events go. `close` completes it; `abandon` leaves it for another run to resume."""

    @property
    def exported_through(self) -> int:
        """The position up to which the export has everything."""
        ...

    def write(self, batch: Sequence[StoredEvent], through: int) -> None:
        """Add selected events in log order: all that there are up to position `through`."""
        ...

    def flush(self) -> None:
        """Let readers see what was written."""
        ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


@runtime_checkable
class StoredLineExport(Export, Protocol):
    """An export of the stored lines, which need not be decoded to events on the way."""

    def write_lines(self, lines: JsonLines | None, through: int) -> None:
        """As `write`."""
        ...


class Pace:
    """Recorded time, `speed` times as fast: when each event is due, counted from the first.

    An event with an earlier time than those before it is due at once.
    """

    def __init__(
        self,
        speed: float,
        sleep: Callable[[float], Awaitable[object]],
        monotonic: Callable[[], float],
    ) -> None:
        self._speed = speed
        self._monotonic = monotonic
        self._origin: tuple[float, int] | None = None
        self.sleep = sleep

    def delay(self, event: StoredEvent) -> float:
        """Seconds until the event is due, 0 or less where it is."""
        now, ms = self._monotonic(), time_ms(event.id)
        if self._origin is None:
            self._origin = now, ms
        started, first_ms = self._origin
        return started + (ms - first_ms) / 1000 / self._speed - now


class _ResumableExport(Export, Protocol):
    manifest: manifest.Manifest


def open_stream_export(format_name: str, out: BinaryIO) -> Export:
    """An export into a pipe. `ImportError` where Parquet is wanted and pyarrow is absent."""
    if format_name in LINE_FORMATS:
        kind = StoredLineStream if LINE_FORMATS[format_name] is JSONL else LineStream
        return kind(out, LINE_FORMATS[format_name])
    from streams.export.parquet_export import ParquetStream

    return ParquetStream(out)


def open_path_export(
    format_name: str, path: Path, selection: EventFilter, log: EventLog, *, growing: bool
) -> Export:
    """An export of `log` that later runs resume: a folder of Parquet, or one file of lines.

    A folder as the path of lines means a file in it. Raises `CannotResume`, `OSError`, and
    `ImportError` where Parquet is wanted and pyarrow is absent.
    """
    export: _ResumableExport
    if format_name in LINE_FORMATS:
        form = LINE_FORMATS[format_name]
        path = path / f"events{form.suffix}" if path.is_dir() else path
        kind = StoredLineFile if form is JSONL else LineFile
        export = kind(path, form, selection, growing=growing)
    else:
        from streams.export.parquet_export import ParquetFolder

        export = ParquetFolder(path, selection)
    try:
        manifest.check_same_log(export.manifest, path, log)
    except BaseException:
        export.abandon()
        raise
    return export


async def replay_events(
    source: EventBatchSource,
    selection: EventFilter,
    export: Export,
    *,
    report_progress: Callable[[int], None] = lambda position: None,
    pace: Pace | None = None,
    live: bool = False,
) -> None:
    """Write everything that the source gives behind what the export has.

    `report_progress` is called with the position reached after each batch. A source may give lines
    to a `StoredLineExport`, without a `pace`.

    `live`: the source never ends, readers see each batch at once, and being cancelled completes
    the export. Anything else that ends it early leaves the export for another run to resume.
    """
    try:
        async for batch in source(selection, export.exported_through):
            if isinstance(batch, SelectedLines):
                assert isinstance(export, StoredLineExport)
                export.write_lines(*batch)
            else:
                if pace is not None:
                    await _write_in_time(export, batch, pace)
                export.write([] if pace else batch.events, batch.through)
            if live:
                export.flush()
            report_progress(batch.through)
    except asyncio.CancelledError:
        export.close() if live else export.abandon()
        raise
    except BaseException:
        export.abandon()
        raise
    export.close()


async def _write_in_time(export: Export, batch: SelectedEvents, pace: Pace) -> None:
    for event in batch.events:
        delay = pace.delay(event)
        if delay > 0:
            export.flush()
            await pace.sleep(delay)
        export.write([event], event.position)
