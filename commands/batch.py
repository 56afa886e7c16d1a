"""Many commands in order, in few commits.

A window of commands is decided on an overlay, each on the log as the ones before will leave it, and
appended level by level (`commands.overlay`); the appends of a level wait together, so a log with
group commit makes them durable with one fsync. Where somebody else's append came between, what
failed and all that may rest on it is decided again, one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from commands.errors import CommandRejected
from commands.overlay import LogOverlay, OverlayReader
from commands.references import ReferenceResolver
from commands.request import CommandOutcome, CommandRequest, decide, replay_outcome
from events.log import AppendRequest, EventLog, WrongVersion

COMMANDS_PER_WINDOW: Final = 256
"""Commands decided before anything is appended: some 15 ms of an event loop's time."""

DeferredRequest = Callable[[ReferenceResolver], CommandRequest]
"""A request that refers to what requests before it make; may raise `CommandRejected`."""


class _DecidedCommand(NamedTuple):
    """A command of a window, with what it came to, resting on appends below `level`."""

    request_index: int
    request: CommandRequest | DeferredRequest
    dependency_level: int
    decision: AppendRequest | CommandOutcome | CommandRejected


class CommandBatch:
    """Does requests in order; made for one call of `run`."""

    def __init__(
        self,
        log: EventLog,
        new_id: Callable[[], int],
        append: Callable[[AppendRequest], Awaitable[CommandOutcome]],
        handle: Callable[[CommandRequest], Awaitable[CommandOutcome]],
    ) -> None:
        self._log = log
        self._new_id = new_id
        self._append = append
        self._handle = handle
        self._results: dict[int, CommandOutcome | CommandRejected] = {}
        self._newest_position = 0

    async def run(
        self, requests: Sequence[CommandRequest | DeferredRequest]
    ) -> list[CommandOutcome | CommandRejected]:
        """What came of each request, in their order. Raises `LogUnavailable`."""
        start = 0
        while start < len(requests):
            window = requests[start : start + COMMANDS_PER_WINDOW]
            items = (
                self._decide_window(window, start)
                if self._log.features.local_reads
                else await asyncio.to_thread(self._decide_window, window, start)
            )
            await self._append_by_level(items)
            start += len(items)
        return [self._results[index] for index in range(len(requests))]

    def _decide_window(
        self, window: Iterable[CommandRequest | DeferredRequest], start: int
    ) -> list[_DecidedCommand]:
        """Decide a window, or as much of it as comes before a key that waits in it already."""
        overlay = LogOverlay(self._log)
        items: list[_DecidedCommand] = []
        for index, asked in enumerate(window, start):
            sight = OverlayReader(overlay)
            decided: AppendRequest | CommandOutcome | CommandRejected
            try:
                request = (
                    asked
                    if isinstance(asked, CommandRequest)
                    else asked(ReferenceResolver.from_source(sight))
                )
                key = request.key
                if key is not None and overlay.is_pending(key.name):
                    break
                seen = key and self._log.idempotency_result(key.name)
                decided = (
                    replay_outcome(key, seen)
                    if key and seen
                    else decide(request, sight, self._new_id)
                )
            except CommandRejected as rejected:
                decided = rejected
            level = (
                overlay.add(decided, sight)
                if isinstance(decided, AppendRequest)
                else sight.dependency_level
            )
            items.append(_DecidedCommand(index, asked, level, decided))
        return items

    async def _append_by_level(self, items: list[_DecidedCommand]) -> None:
        """Append level by level; from the first level with a conflict on, one by one."""
        waiting = sorted(items, key=lambda item: (item.dependency_level, item.request_index))
        done = 0
        for _, level in groupby(waiting, key=lambda item: item.dependency_level):
            together = list(level)
            done += len(together)
            conflicted = await self._append_level(together)
            if conflicted is not None:
                again = [*conflicted, *waiting[done:]]
                for item in sorted(again, key=lambda item: item.request_index):
                    self._results[item.request_index] = await self._handle_alone(item.request)
                return

    async def _append_level(self, items: list[_DecidedCommand]) -> list[_DecidedCommand] | None:
        """Append what rests on nothing open. None, or the items to do again after a conflict."""
        appends: list[tuple[_DecidedCommand, AppendRequest]] = []
        for item in items:
            if isinstance(item.decision, AppendRequest):
                appends.append((item, item.decision))
            else:
                self._results[item.request_index] = self._at_newest_position(
                    item.decision, item.dependency_level
                )
        came = await asyncio.gather(
            *(self._append(append) for _, append in appends), return_exceptions=True
        )
        again: list[_DecidedCommand] = []
        as_decided = True
        for (item, append), result in zip(appends, came, strict=True):
            if isinstance(result, WrongVersion):
                again.append(item)
            elif isinstance(result, CommandOutcome | CommandRejected):
                self._results[item.request_index] = result
                if isinstance(result, CommandOutcome):
                    self._newest_position = max(self._newest_position, result.position)
                # A key that came to be known only now: nothing was written for it here.
                as_decided &= isinstance(result, CommandOutcome) and not (
                    append.writes and result.replayed
                )
            else:
                raise result
        return None if as_decided and not again else again

    def _at_newest_position(
        self, decided: CommandOutcome | CommandRejected, level: int
    ) -> CommandOutcome | CommandRejected:
        """What made a command needless may have been appended only now: then show that too."""
        if level and isinstance(decided, CommandOutcome):
            return decided._replace(position=max(decided.position, self._newest_position))
        return decided

    async def _handle_alone(
        self, asked: CommandRequest | DeferredRequest
    ) -> CommandOutcome | CommandRejected:
        try:
            if isinstance(asked, CommandRequest):
                request = asked
            elif self._log.features.local_reads:
                request = asked(ReferenceResolver(self._log))
            else:
                request = await asyncio.to_thread(asked, ReferenceResolver(self._log))
            return await self._handle(request)
        except CommandRejected as rejected:
            return rejected
