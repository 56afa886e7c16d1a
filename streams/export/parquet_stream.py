"""An export into a pipe as one Parquet file: for whoever wants a file of their own making."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from events.envelope import StoredEvent
from events.log import LOG_START
from streams.export import parquet_format


class ParquetStream:
    """One Parquet file into an open binary file, which stays open."""

    exported_through = LOG_START

    def __init__(self, out: BinaryIO) -> None:
        self._writer = parquet_format.open_writer(out)
        self._out = out
        self._batches: list[Any] = []
        self._gathered_events = 0

    def write(self, batch: Sequence[StoredEvent], upto: int) -> None:
        """Take events."""
        if batch:
            self._batches.append(parquet_format.to_record_batch(batch))
            self._gathered_events += len(batch)
            if self._gathered_events >= parquet_format.ROW_GROUP_EVENTS:
                self._write_chunk()

    def flush(self) -> None:
        """A file of Parquet can be read once it is complete: nothing to do before."""

    def close(self) -> None:
        """Complete the file."""
        self._write_chunk()
        self._writer.close()
        self._out.flush()

    def abandon(self) -> None:
        """Nothing to save: half a file of Parquet is none."""

    def _write_chunk(self) -> None:
        if self._batches:
            self._writer.write_table(parquet_format.to_table(self._batches))
            self._batches, self._gathered_events = [], 0
