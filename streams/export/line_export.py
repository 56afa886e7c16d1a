"""Exports of one line an event: into one text file that a later run resumes, or into a pipe.

A file appears under its name when it is complete; until then it is `<name>.part`. A later run
appends to it, whole lines at a time. After a run that was killed, the next one cuts off a torn
line, reads the position from the last whole one, and resumes behind it; so every event is in the
file once. Nothing waits for the disk: the next run writes again what a power cut took.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from events.envelope import StoredEvent
from events.event_filter import EventFilter
from events.json_lines import JsonLines
from events.log import LOG_START
from streams.export import manifest
from streams.export.line_format import LineFormat, NotALine
from streams.export.manifest import CannotResume, Manifest

_FLUSH_BYTES: Final = 1 << 20
"""Bytes that gather before they are written."""


class LineFile:
    """The file `path`, open for more events.

    `growing`: readers follow the file while it grows, so it has its name from the start.
    """

    def __init__(
        self, path: Path, form: LineFormat, selection: EventFilter, *, growing: bool = False
    ) -> None:
        """Raises `CannotResume` where something else is at `path`; `OSError`."""
        self._path = path
        self._format = form
        self._manifest_path = path.with_name(path.name + ".manifest.json")
        self._part_path = path.with_name(path.name + ".part")
        self._pending_lines: list[bytes] = []
        self._pending_bytes = 0
        found = manifest.load(self._manifest_path)
        existing = next((p for p in (path, self._part_path) if p.exists()), None)
        if existing is not None and found is None:
            raise CannotResume(
                f"{existing} exists and is not an export (it has no manifest): choose another -o"
            )
        if existing is None or found is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            found, existing = Manifest(form.name, selection.to_json()), self._part_path
            manifest.save(self._manifest_path, found)
        manifest.check_same_request(found, path, form.name, selection)
        self.manifest = found
        self._file = _open_locked(existing)
        try:
            length = self._resume_length(existing)
            self._file.truncate(length)
            self._file.seek(length)
            if growing and existing == self._part_path:
                self._part_path.rename(path)
        except BaseException:
            self._file.close()
            raise

    @property
    def exported_through(self) -> int:
        return int(self.manifest.upto)

    def write(self, batch: Sequence[StoredEvent], through: int) -> None:
        if batch:
            first, last = batch[0], batch[-1]
            text = self._format.encode(batch)
            self._add(JsonLines(text, len(batch), first.position, last.position, last.id))
        self.manifest.upto = str(through)

    def _add(self, lines: JsonLines) -> None:
        self._pending_lines.append(lines.text)
        self._pending_bytes += len(lines.text)
        self._count_rows(
            lines.event_count, lines.first_position, lines.last_position, lines.last_id
        )
        if self._pending_bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        # A file without a buffer of its own may write a part of what it is given.
        unwritten = memoryview(b"".join(self._pending_lines))
        self._pending_lines, self._pending_bytes = [], 0
        while unwritten:
            unwritten = unwritten[self._file.write(unwritten) :]

    def close(self) -> None:
        """Complete the export: the file gets its name, then the manifest says what it holds."""
        self.flush()
        self.manifest.bytes = self._file.tell()
        self._file.close()
        if self._part_path.exists():
            self._part_path.rename(self._path)
        manifest.save(self._manifest_path, self.manifest)

    def abandon(self) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def _resume_length(self, existing: Path) -> int:
        """The length of the file up to its last whole line; counts what the manifest doesn't."""
        if existing.stat().st_size < self.manifest.bytes:
            self.manifest = Manifest(self._format.name, self.manifest.selection)
        known = self.manifest
        with existing.open("rb") as file:
            header = self._format.header
            first = file.read(len(header))
            if not header.startswith(first):
                raise CannotResume(f"{existing} does not begin as it should: choose another -o")
            if first != header:
                self._pending_lines = [header]
                return 0
            end = file.seek(max(known.bytes, len(header)))
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    position, id = self._format.identify(line)
                except NotALine as error:
                    raise CannotResume(f"{existing} holds something else: {error}") from error
                self._count_rows(1, position, position, id)
                known.upto = str(max(position, int(known.upto)))
                end += len(line)
            return end

    def _count_rows(self, rows: int, first: int, last: int, id: int) -> None:
        known = self.manifest
        known.rows += rows
        known.first = known.first or str(first)
        known.last, known.last_id = str(last), str(id)


class StoredLineFile(LineFile):
    """A file of the stored lines, which can also be written as they are."""

    def write_lines(self, lines: JsonLines | None, through: int) -> None:
        """As `write`."""
        if lines is not None:
            self._add(lines)
        self.manifest.upto = str(through)


class LineStream:
    """Lines into an open binary file, which stays open: nothing to resume, so no manifest."""

    exported_through = LOG_START

    def __init__(self, out: BinaryIO, form: LineFormat) -> None:
        self._out = out
        self._encode = form.encode
        out.write(form.header)

    def write(self, batch: Sequence[StoredEvent], through: int) -> None:
        """Write events."""
        self._out.write(self._encode(batch))

    def flush(self) -> None:
        """Let readers see what was written."""
        self._out.flush()

    close = flush

    def abandon(self) -> None:
        """Nothing to do: what was written was written."""


class StoredLineStream(LineStream):
    """A stream of the stored lines, which can also be written as they are."""

    def write_lines(self, lines: JsonLines | None, through: int) -> None:
        """As `write`."""
        if lines is not None:
            self._out.write(lines.text)


def _open_locked(path: Path) -> BinaryIO:
    """For this process alone, unbuffered: a write is a write."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    manifest.lock_export(descriptor, path)
    return open(descriptor, "r+b", buffering=0)
