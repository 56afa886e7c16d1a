"""What `starling replay` does once it knows what to write, and where."""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic
from typing import Any

from events.event_filter import EventBatchSource, EventFilter, events_from_log, lines_from_log
from events.log import EventLog
from infra.cli.progress import progress_bar
from streams.export.replay import Export, Pace, StoredLineExport, replay_events


def run_export(
    log: EventLog,
    selection: EventFilter,
    export: Export,
    *,
    follow: bool,
    speed: float | None,
    source: EventBatchSource | None = None,
) -> bool:
    """Replay the log, with a progress bar on a terminal; False where a person broke it off.

    `source` gives the log's events in the log's stead.
    To `follow` ends only that way, by Ctrl-C or SIGTERM, and is then complete.
    """
    try:
        asyncio.run(_export_events(log, selection, export, follow, speed, source))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return follow
    return True


async def _export_events(
    log: EventLog,
    selection: EventFilter,
    export: Export,
    follow: bool,
    speed: float | None,
    source: EventBatchSource | None,
) -> None:
    if follow:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    start = max(export.exported_through, selection.after)
    sleep: Callable[[float], Any] = asyncio.sleep
    whole = selection == EventFilter(after=selection.after)
    if source is None and whole and speed is None and isinstance(export, StoredLineExport):
        source = lines_from_log(log, follow=follow)
    with progress_bar() as progress:
        advance = progress.begin_phase("events", None if follow else max(0, log.head() - start))
        await replay_events(
            source or events_from_log(log, follow=follow),
            selection,
            export,
            report_progress=lambda position: advance(position - start),
            pace=None if speed is None else Pace(speed, sleep, monotonic),
            live=follow,
        )
