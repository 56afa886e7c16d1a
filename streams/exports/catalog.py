"""Formats by name, and the export for a format and a place."""

from pathlib import Path
from typing import BinaryIO, Final, Protocol

from events.log import EventLog
from events.selection import Selection
from streams.exports import manifest
from streams.exports.line_file import LineFile, StoredLineFile
from streams.exports.line_stream import LineStream, StoredLineStream
from streams.exports.manifest import Manifest
from streams.formats.cloudevents import CLOUDEVENTS
from streams.formats.csv import CSV
from streams.formats.jsonl import JSONL
from streams.replay import Export

LINES: Final = {form.name: form for form in (JSONL, CSV, CLOUDEVENTS)}
"""The formats of one line an event."""

PARQUET: Final = "parquet"

NAMES: Final = (*LINES, PARQUET)
"""All formats."""


def into_stream(form: str, out: BinaryIO) -> Export:
    """An export into a pipe. `ImportError` where Parquet is wanted and pyarrow is absent."""
    if form in LINES:
        kind = StoredLineStream if LINES[form] is JSONL else LineStream
        return kind(out, LINES[form])
    from streams.exports.parquet_stream import ParquetStream

    return ParquetStream(out)


def into_path(
    form: str, path: Path, selection: Selection, log: EventLog, *, growing: bool
) -> Export:
    """An export of `log` that later runs go on with: a folder of Parquet, or one file of lines.

    A folder as the place of lines means a file in it. Raises `CannotResume`, `OSError`, and
    `ImportError` where Parquet is wanted and pyarrow is absent.
    """
    if form in LINES:
        place = path / f"events{LINES[form].suffix}" if path.is_dir() else path
        kind = StoredLineFile if LINES[form] is JSONL else LineFile
        return _of(log, place, kind(place, LINES[form], selection, growing=growing))
    from streams.exports.parquet_folder import ParquetFolder

    return _of(log, path, ParquetFolder(path, selection))


class _Kept(Export, Protocol):
    manifest: Manifest


def _of(log: EventLog, path: Path, export: _Kept) -> Export:
    """The export, if it is one of this log."""
    try:
        manifest.check_log(export.manifest, path, log)
    except BaseException:
        export.abandon()
        raise
    return export
