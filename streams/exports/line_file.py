"""An export in one text file that a later run goes on with.

The file appears under its name when it is complete; until then it is `<name>.part`. A later run
appends to it, whole lines at a time. Whatever a killed run left behind, the next one cuts off a
torn line, reads the position from the last whole one, and goes on after it; so every event is
there once. Nothing waits for the disk: what a power cut took, the next run writes again.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from events.lines import Lines
from events.recorded import Stored
from events.selection import Selection
from streams.exports import manifest
from streams.exports.manifest import CannotResume, Manifest
from streams.formats.line_format import LineFormat, NotALine

_BLOCK: Final = 1 << 20
"""Bytes that gather before they are written."""


class LineFile:
    """The file `path`, open for more events. `after` is the position that it has reached.

    `growing`: the file is one that others read while it grows, so it has its name from the start.
    """

    def __init__(
        self, path: Path, form: LineFormat, selection: Selection, *, growing: bool = False
    ) -> None:
        """Raises `CannotResume` where something else is at `path`, `OSError`."""
        self._path = path
        self._form = form
        self._manifest_path = path.with_name(path.name + ".manifest.json")
        self._part = path.with_name(path.name + ".part")
        self._pending: list[bytes] = []
        self._size = 0
        found = manifest.load(self._manifest_path)
        at = next((p for p in (path, self._part) if p.exists()), None)
        if at is not None and found is None:
            raise CannotResume(
                f"{at} is there, and not from an export (it has no manifest): choose another -o"
            )
        if at is None or found is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            found, at = Manifest(form.name, selection.described()), self._part
            manifest.save(self._manifest_path, found)
        manifest.check(found, path, form.name, selection)
        self.manifest = found
        self._file = _open(at)
        try:
            _truncate(self._file, self._whole(at))
            if growing and at == self._part:
                self._part.rename(path)
        except BaseException:
            self._file.close()
            raise

    @property
    def after(self) -> int:
        """The position up to which the file has everything."""
        return int(self.manifest.upto)

    def write(self, batch: Sequence[Stored], upto: int) -> None:
        """Append events; nothing else is wanted up to position `upto`."""
        if batch:
            first, last = batch[0], batch[-1]
            text = self._form.encode(batch)
            self._add(Lines(text, len(batch), first.position, last.position, last.id))
        self.manifest.upto = str(upto)

    def _add(self, lines: Lines) -> None:
        self._pending.append(lines.text)
        self._size += len(lines.text)
        self._count(lines.rows, lines.first, lines.last, lines.last_id)
        if self._size >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Let readers see what was written; they see whole lines."""
        unwritten = memoryview(b"".join(self._pending))
        self._pending, self._size = [], 0
        while unwritten:
            unwritten = unwritten[self._file.write(unwritten) :]

    def close(self) -> None:
        """Complete the export: the file gets its name, then the manifest says what it holds."""
        self.flush()
        self.manifest.bytes = self._file.tell()
        self._file.close()
        if self._part.exists():
            self._part.rename(self._path)
        manifest.save(self._manifest_path, self.manifest)

    def abandon(self) -> None:
        """Leave what was written for the next run."""
        try:
            self.flush()
        finally:
            self._file.close()

    def _whole(self, at: Path) -> int:
        """The length of the file up to its last whole line; counts what the manifest doesn't."""
        if at.stat().st_size < self.manifest.bytes:
            self.manifest = Manifest(self._form.name, self.manifest.selection)
        known = self.manifest
        with at.open("rb") as file:
            header = self._form.header
            first = file.read(len(header))
            if not header.startswith(first):
                raise CannotResume(f"{at} does not begin as it should: choose another -o")
            if first != header:
                self._pending = [header]
                return 0
            end = file.seek(max(known.bytes, len(header)))
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    position, id = self._form.identify(line)
                except NotALine as error:
                    raise CannotResume(f"{at} holds something else: {error}") from error
                self._count(1, position, position, id)
                known.upto = str(max(position, int(known.upto)))
                end += len(line)
            return end

    def _count(self, rows: int, first: int, last: int, id: int) -> None:
        known = self.manifest
        known.rows += rows
        known.first = known.first or str(first)
        known.last, known.last_id = str(last), str(id)


class StoredLineFile(LineFile):
    """A file of the stored lines themselves, which `write_lines` takes as they are."""

    def write_lines(self, lines: Lines | None, upto: int) -> None:
        """As `write`."""
        if lines is not None:
            self._add(lines)
        self.manifest.upto = str(upto)


def _open(path: Path) -> BinaryIO:
    """For this process alone, unbuffered: a write is a write."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115 - it stays open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CannotResume(f"another replay is writing {path}: wait for it") from None
    return file


def _truncate(file: BinaryIO, size: int) -> None:
    file.truncate(size)
    file.seek(size)
