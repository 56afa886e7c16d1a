"""Replay: the wanted events of a source into an export, at full speed or in recorded time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from events.envelope import StoredEvent
from events.event_filter import EventBatchSource, EventFilter, SelectedEvents, SelectedLines
from events.ids.snowflake import time_ms
from events.json_lines import JsonLines


class Export(Protocol):
    """Where events go. `close` completes it; `abandon` leaves it for another run to go on with."""

    @property
    def exported_through(self) -> int:
        """The position up to which the export has everything."""
        ...

    def write(self, batch: Sequence[StoredEvent], upto: int) -> None:
        """Add wanted events in log order; nothing else is wanted up to position `upto`."""
        ...

    def flush(self) -> None:
        """Let readers see what was written."""
        ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


@runtime_checkable
class StoredLineExport(Export, Protocol):
    """An export of the stored lines, which need not be made into events on the way."""

    def write_lines(self, lines: JsonLines | None, upto: int) -> None:
        """As `write`."""
        ...


class Pace:
    """Recorded time, `speed` times as fast: when each event is due, counted from the first.

    An event with an earlier time than those before it is due at once.
    """

    def __init__(
        self,
        speed: float,
        sleep: Callable[[float], Awaitable[object]],
        monotonic: Callable[[], float],
    ) -> None:
        self._speed = speed
        self._monotonic = monotonic
        self._origin: tuple[float, int] | None = None
        self.sleep = sleep

    def delay(self, event: StoredEvent) -> float:
        """Seconds until the event is due, 0 or less where it is."""
        now, ms = self._monotonic(), time_ms(event.id)
        if self._origin is None:
            self._origin = now, ms
        started, first_ms = self._origin
        return started + (ms - first_ms) / 1000 / self._speed - now


ReportProgress = Callable[[int], None]
"""Told after each batch which position was reached."""


async def replay_events(
    source: EventBatchSource,
    selection: EventFilter,
    export: Export,
    *,
    told: ReportProgress = lambda upto: None,
    pace: Pace | None = None,
    live: bool = False,
) -> None:
    """Write everything that the source gives behind what the export has.

    A source may give lines to an export that takes them, if there is no pace to keep.

    `live`: the source never ends, readers see each batch at once, and being cancelled completes
    the export. Anything else that ends it early leaves the export to be gone on with.
    """
    try:
        async for batch in source(selection, export.exported_through):
            if isinstance(batch, SelectedLines):
                assert isinstance(export, StoredLineExport)
                export.write_lines(*batch)
            else:
                if pace is not None:
                    await _write_in_time(export, batch, pace)
                export.write([] if pace else batch.events, batch.through)
            if live:
                export.flush()
            told(batch.through)
    except asyncio.CancelledError:
        export.close() if live else export.abandon()
        raise
    except BaseException:
        export.abandon()
        raise
    export.close()


async def _write_in_time(export: Export, batch: SelectedEvents, pace: Pace) -> None:
    for event in batch.events:
        delay = pace.delay(event)
        if delay > 0:
            export.flush()
            await pace.sleep(delay)
        export.write([event], event.position)
