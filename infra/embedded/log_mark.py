"""What the views of a data folder remember of the log that they were made from: `views/log-mark`.

It holds the log's identity, and position and id of the newest event that may have gone into a view.
The projector writes them before it applies a batch, so the views never hold an event behind it. A
log that has another identity, or not that event, is not the one that the views show: an older copy
was put in its place, for example. Positions alone can't tell that, since the log grows past them
again.
"""

import os
import struct
from pathlib import Path
from typing import Final

from events.envelope import StoredEvent
from events.log import EventLog, EventMark, LogReplaced, holds_event

LOG_MARK_FILE: Final = "log-mark"

_EVENT: Final = struct.Struct("=qq")
"""Position and id of the event, which are written anew by themselves: within one page, at once."""
_LAYOUT: Final = struct.Struct("=qq32s")
"""Those, and the log's identity."""
_FORMER_LAYOUT: Final = struct.Struct("=q32s")
"""Of before 2026-11-29: the event's id and the log's identity, of which the latter still counts."""


class LogMark:
    """The mark of a folder of views. One process at a time, the projector, writes it."""

    def __init__(self, folder: Path) -> None:
        """Creates the file if it is missing. Raises `OSError`."""
        self._file = os.open(folder / LOG_MARK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._newest, identity = EventMark(), b""
        content = os.pread(self._file, _LAYOUT.size, 0)
        if len(content) == _LAYOUT.size:
            position, id, identity = _LAYOUT.unpack(content)
            self._newest = EventMark(position, id)
        elif len(content) == _FORMER_LAYOUT.size:
            _, identity = _FORMER_LAYOUT.unpack(content)
        self._identity = identity.decode("ascii", "replace")

    def require_same_log(self, log: EventLog) -> None:
        """Raises `LogReplaced`. A folder without a mark, of an older program, passes."""
        if not self._identity:
            return
        if log.identity != self._identity:
            raise LogReplaced("the views were made from another log than the one that is there now")
        if not holds_event(log, self._newest):
            raise LogReplaced(
                f"the views show event {self._newest.id}, which the log does not hold any more: "
                f"it ends at position {log.head()}"
            )

    def start(self, log: EventLog) -> None:
        """The views are of this log from now on, with what the mark says they hold of it."""
        if not holds_event(log, self._newest):
            self._newest = EventMark()
        self._identity = log.identity
        os.pwrite(self._file, _LAYOUT.pack(*self._newest, self._identity.encode()), 0)
        os.fsync(self._file)

    def advance(self, event: StoredEvent) -> None:
        """Views are about to show the log up to this event."""
        if event.position > self._newest.position:
            self._newest = EventMark(event.position, event.id)
            os.pwrite(self._file, _EVENT.pack(*self._newest), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
