"""What the views of a data folder remember of the log that they were made from: `views/log-mark`.

It holds the log's identity and the id of the newest event that may have gone into a view. The
projector writes the id before it applies a batch, so the views never hold an event behind it. A log
that has another identity, or not that event, is not the one that the views show: an older copy was
put in its place, for example. Positions can't tell that, since the log grows past them again.
"""

import os
import struct
from pathlib import Path
from typing import Final

from events.envelope import StoredEvent
from events.log import LOG_START, EventLog, LogReplaced

LOG_MARK_FILE: Final = "log-mark"

_LAYOUT: Final = struct.Struct("=q32s")
"""The id of the event, which is written anew by itself, and the log's identity."""
_EVENT_ID: Final = struct.Struct("=q")


class LogMark:
    """The mark of a folder of views. One process at a time, the projector, writes it."""

    def __init__(self, folder: Path) -> None:
        """Creates the file if it is missing. Raises `OSError`."""
        self._file = os.open(folder / LOG_MARK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._event_id, self._identity = 0, ""
        content = os.pread(self._file, _LAYOUT.size, 0)
        if len(content) == _LAYOUT.size:
            self._event_id, identity = _LAYOUT.unpack(content)
            self._identity = identity.decode("ascii", "replace")
        self._position = LOG_START

    def require_same_log(self, log: EventLog) -> None:
        """Raises `LogReplaced`. A folder without a mark, of an older program, passes."""
        if not self._identity:
            return
        if log.identity != self._identity:
            raise LogReplaced("the views were made from another log than the one that is there now")
        if self._event_id and log.find_event(self._event_id) is None:
            raise LogReplaced(
                f"the views show event {self._event_id}, which the log does not hold any more: "
                f"it ends at position {log.head()}"
            )

    def start(self, log: EventLog) -> None:
        """The views are of this log from now on, with what the mark says they hold of it."""
        event = log.find_event(self._event_id) if self._event_id else None
        self._position = event.position if event is not None else LOG_START
        self._event_id = event.id if event is not None else 0
        self._identity = log.identity
        os.pwrite(self._file, _LAYOUT.pack(self._event_id, self._identity.encode()), 0)
        os.fsync(self._file)

    def advance(self, event: StoredEvent) -> None:
        """Views are about to show the log up to this event."""
        if event.position > self._position:
            self._position, self._event_id = event.position, event.id
            os.pwrite(self._file, _EVENT_ID.pack(event.id), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
