"""What an export holds, kept beside it, so that a second run can resume where the first ended.

`first` and `last` are positions of events in the export (`last_id` is the id of that last one),
`upto` is how far the log was read, which is further where the last events were not selected.
"""

import fcntl
import os
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from events.event_filter import EventFilter
from events.json_lines import UNREADABLE_JSON
from events.log import EventLog, EventMark, holds_event

EXPORT_SCHEMA: Final = 4
"""The version of what exports look like: names of columns and files."""


Decimal = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,19}\Z")]
"""A position or an id."""


class CannotResume(Exception):
    """There is no export that this run could resume; the message says what to do."""


class ExportedFile(msgspec.Struct):
    """A file of an export in several: rows in the order of position."""

    path: str
    rows: int
    first: Decimal
    last: Decimal
    bytes: int


class Manifest(msgspec.Struct):
    """The contents of a manifest; positions and ids are texts, as everywhere in JSON."""

    format: str
    selection: dict[str, Any]
    schema: int = EXPORT_SCHEMA
    rows: int = 0
    first: Decimal | None = None
    last: Decimal | None = None
    last_id: Decimal | None = None
    upto: Decimal = "0"
    bytes: int = 0
    """Of an export in one file: how much of it this manifest speaks of."""
    left_out: list[Decimal] = []
    """Positions of events that don't decode, which a format with columns can't hold."""
    files: list[ExportedFile] = []
    """Of an export in several files: all of them."""


def load(path: Path) -> Manifest | None:
    """The manifest at `path`; None where there is none. Raises `CannotResume`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except UNREADABLE_JSON as error:
        raise CannotResume(f"{path} is no manifest of an export: {error}") from error


def save(path: Path, manifest: Manifest) -> None:
    """Put the manifest at `path`, whole or not at all, and on the disk."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def lock_export(descriptor: int, path: Path) -> None:
    """Lock an open file or folder for this process alone.

    Where another one has it, closes the descriptor and raises `CannotResume`.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CannotResume(f"another replay is writing {path}: wait for it") from None


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
        old, new = (describe_selection(s) for s in (found.selection, selection.to_json()))
        raise CannotResume(f"{path} holds {old}, and this asks for {new}; {elsewhere}")


def check_same_log(found: Manifest, path: Path, log: EventLog) -> None:
    """Raises `CannotResume` unless `log` is the one that the export was made from."""
    if found.last is None or found.last_id is None:
        return
    if not holds_event(log, EventMark(int(found.last), int(found.last_id))):
        raise CannotResume(
            f"{path} comes from another log: its last event, {found.last_id}, is not at position "
            f"{found.last} of this one; choose another -o"
        )


def describe_selection(selection: dict[str, Any]) -> str:
    """What a manifest's selection holds, in words."""
    if not selection:
        return "all events"
    return "events with " + ", ".join(
        f"{name} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in selection.items()
    )
