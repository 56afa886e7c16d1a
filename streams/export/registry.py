"""Formats by name, and the export for a format and a place."""

from pathlib import Path
from typing import BinaryIO, Final, Protocol

from events.event_filter import EventFilter
from events.log import EventLog
from streams.export import manifest
from streams.export.cloudevents_format import CLOUDEVENTS
from streams.export.csv_format import CSV
from streams.export.jsonl_format import JSONL
from streams.export.line_export import LineFile, StoredLineFile
from streams.export.line_stream import LineStream, StoredLineStream
from streams.export.manifest import Manifest
from streams.export.replay import Export

LINE_FORMATS: Final = {form.name: form for form in (JSONL, CSV, CLOUDEVENTS)}
"""The formats of one line an event."""

PARQUET: Final = "parquet"

FORMAT_NAMES: Final = (*LINE_FORMATS, PARQUET)
"""All formats."""


def open_stream_export(form: str, out: BinaryIO) -> Export:
    """An export into a pipe. `ImportError` where Parquet is wanted and pyarrow is absent."""
    if form in LINE_FORMATS:
        kind = StoredLineStream if LINE_FORMATS[form] is JSONL else LineStream
        return kind(out, LINE_FORMATS[form])
    from streams.export.parquet_stream import ParquetStream

    return ParquetStream(out)


def open_path_export(
    form: str, path: Path, selection: EventFilter, log: EventLog, *, growing: bool
) -> Export:
    """An export of `log` that later runs go on with: a folder of Parquet, or one file of lines.

    A folder as the place of lines means a file in it. Raises `CannotResume`, `OSError`, and
    `ImportError` where Parquet is wanted and pyarrow is absent.
    """
    if form in LINE_FORMATS:
        place = path / f"events{LINE_FORMATS[form].suffix}" if path.is_dir() else path
        kind = StoredLineFile if LINE_FORMATS[form] is JSONL else LineFile
        return _require_same_log(
            log, place, kind(place, LINE_FORMATS[form], selection, growing=growing)
        )
    from streams.export.parquet_export import ParquetFolder

    return _require_same_log(log, path, ParquetFolder(path, selection))


class _ResumableExport(Export, Protocol):
    manifest: Manifest


def _require_same_log(log: EventLog, path: Path, export: _ResumableExport) -> Export:
    """The export, if it is one of this log."""
    try:
        manifest.check_same_log(export.manifest, path, log)
    except BaseException:
        export.abandon()
        raise
    return export
