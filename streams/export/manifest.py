"""What an export holds, kept beside it, so that a second run can go on where the first ended.

`first` and `last` are positions of events in the export (`last_id` is the id of that last one),
`upto` is how far the log was looked at, which is further where the last events were not wanted.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from events.event_filter import EventFilter
from events.log import EventLog

EXPORT_SCHEMA: Final = 1
"""The version of what exports look like: names of columns and files."""


class CannotResume(Exception):
    """What is there is no export that this run could go on with; the message says what to do."""


class ExportedFile(msgspec.Struct):
    """A file of an export in several: rows in the order of position."""

    path: str
    rows: int
    first: str
    last: str
    bytes: int


class Manifest(msgspec.Struct):
    """The contents of a manifest; positions and ids are texts, as everywhere in JSON."""

    format: str
    selection: dict[str, Any]
    schema: int = EXPORT_SCHEMA
    rows: int = 0
    first: str | None = None
    last: str | None = None
    last_id: str | None = None
    upto: str = "0"
    bytes: int = 0
    """Of an export in one file: how much of it this manifest speaks of."""
    files: list[ExportedFile] = []
    """Of an export in several files: all of them."""


def load(path: Path) -> Manifest | None:
    """The manifest at `path`; None where there is none. Raises `CannotResume`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CannotResume(f"{path} is no manifest of an export: {error}") from error


def save(path: Path, manifest: Manifest) -> None:
    """Put the manifest at `path`, whole or not at all, and on the disk."""
    written = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    replace_file(path, lambda part: part.write_bytes(written))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under another name, then move it to `path` in one step."""
    part = path.with_name(path.name + ".part")
    write(part)
    fsync_file(part)
    part.replace(path)


def fsync_file(path: Path) -> None:
    """Wait until a file's contents are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_same_request(found: Manifest, path: Path, form: str, selection: EventFilter) -> None:
    """Raises `CannotResume` unless an export was made with the same format and conditions."""
    elsewhere = f"choose another -o, or remove {path} to begin anew"
    if found.schema != EXPORT_SCHEMA:
        raise CannotResume(
            f"{path} is an export of schema {found.schema}, not {EXPORT_SCHEMA}; {elsewhere}"
        )
    if found.format != form:
        raise CannotResume(f"{path} was exported as {found.format}, not {form}; {elsewhere}")
    if found.selection != selection.to_json():
        was, wanted = (_describe_selection(s) for s in (found.selection, selection.to_json()))
        raise CannotResume(f"{path} holds {was}, and this asks for {wanted}; {elsewhere}")


def check_same_log(found: Manifest, path: Path, log: EventLog) -> None:
    """Raises `CannotResume` unless `log` is the one that the export was made from."""
    if found.last is None or found.last_id is None:
        return
    there = log.find_event(int(found.last_id))
    if there is None or str(there.position) != found.last:
        raise CannotResume(
            f"{path} comes from another log: its last event, {found.last_id}, is not at position "
            f"{found.last} of this one; choose another -o"
        )


def _describe_selection(selection: dict[str, Any]) -> str:
    if not selection:
        return "all events"
    return "events with " + ", ".join(
        f"{name} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in selection.items()
    )
