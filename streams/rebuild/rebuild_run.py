"""What every process that rebuilds a view does: keep the record, notice its end, compare."""

import os
import time
from typing import Final

from msgspec.structs import replace

from events.log import EventLog, LogError
from projections.projection import Projection
from projections.store import ReadStore, StoreError
from streams.rebuild.rebuild import PoisonEvent, compare_views
from streams.rebuild.rebuild_record import RebuildRecord

MAX_DIFFERENCES: Final = 10
"""Differences after which a comparison stops."""


class ParentGone(Exception):
    """The process that started this one is gone. What was built stays, to be resumed."""


class ViewsDiffer(Exception):
    """The rebuilt view is not what the live one is; `differences` are lines."""

    def __init__(self, projection: str, differences: tuple[str, ...]) -> None:
        super().__init__(f"{projection}: the live view differs from the rebuilt one")
        self.differences = differences


REBUILD_FAILURES: Final = (PoisonEvent, ViewsDiffer, StoreError, LogError)
"""What ends a rebuild as failed, with its message in the record."""


class RebuildRun:
    """One rebuild in the process that runs it: its record, and what a profile adds to build it."""

    def __init__(self, log: EventLog, projection: Projection, record: RebuildRecord) -> None:
        self.record = record
        self._log, self._projection = log, projection
        self._parent = os.getppid()
        self._started_at = time.monotonic()
        self._start_position: int | None = None

    def fail(self, error: Exception) -> None:
        """Enter what stopped the rebuild."""
        differences = error.differences if isinstance(error, ViewsDiffer) else ()
        self.update(state="failed", problem=str(error), differences=differences)

    def update(self, **changed: object) -> None:
        """Change the record, in this process."""
        self.record = replace(self.record, **changed)

    def start_from(self, position: int) -> None:
        """Measure the speed from this position on."""
        self._start_position, self._started_at = position, time.monotonic()

    def update_progress(self, position: int) -> None:
        """Enter how far the rebuild is, and at what speed."""
        seconds = max(time.monotonic() - self._started_at, 0.1)
        speed = (position - (self._start_position or 0)) / seconds
        self.update(position=position, head=self._log.head(), per_second=speed)

    def check_parent(self) -> None:
        """Raises `ParentGone`."""
        if os.getppid() != self._parent:
            raise ParentGone

    async def require_same_rows(self, live: ReadStore, rebuilt: ReadStore) -> None:
        """Raises `ViewsDiffer`. Both views must stand still, at the same position."""
        differences: list[str] = []
        async for one in compare_views(self._projection, live, rebuilt):
            differences.append(f"{one.table}: live {one.live}, rebuilt {one.rebuilt}")
            if len(differences) == MAX_DIFFERENCES:
                break
        if differences:
            raise ViewsDiffer(self._projection.name, tuple(differences))
