"""What `starling replay` does once it knows what to write, and where."""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic
from typing import Any

from events.log import EventLog
from events.selection import Selection, Source, from_log, lines_from_log
from infra.program.progress import bar
from streams.replay import Export, Pace, TakesLines, replay


def run(
    log: EventLog,
    selection: Selection,
    export: Export,
    *,
    follow: bool,
    speed: float | None,
    source: Source | None = None,
) -> bool:
    """Replay the log, with a progress bar on a terminal; False where a person broke it off.

    `source` gives the log's events in the log's stead.
    To `follow` ends only that way, by Ctrl-C or SIGTERM, and is then complete.
    """
    try:
        asyncio.run(_run(log, selection, export, follow, speed, source))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return follow
    return True


async def _run(
    log: EventLog,
    selection: Selection,
    export: Export,
    follow: bool,
    speed: float | None,
    source: Source | None,
) -> None:
    if follow:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    start = max(export.after, selection.after)
    sleep: Callable[[float], Any] = asyncio.sleep
    whole = selection == Selection(after=selection.after)
    if source is None and whole and speed is None and isinstance(export, TakesLines):
        source = lines_from_log(log, follow=follow)
    with bar() as progress:
        advance = progress.phase("events", None if follow else max(0, log.head() - start))
        await replay(
            source or from_log(log, follow=follow),
            selection,
            export,
            told=lambda upto: advance(upto - start),
            pace=None if speed is None else Pace(speed, sleep, monotonic),
            live=follow,
        )
