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

from commands.errors import Rejected
from commands.overlay import Overlay, OverlaySight
from commands.references import References
from commands.request import Outcome, Request, decide, repeat
from events.log import Append, EventLog, WrongVersion

WINDOW: Final = 256
"""Commands decided before anything is appended: some 15 ms of an event loop's time."""

Later = Callable[[References], Request]
"""A request that refers to what requests before it make; may raise `Rejected`."""


class _Item(NamedTuple):
    """A command of a window, with what it came to, resting on appends below `level`."""

    place: int
    request: Request | Later
    level: int
    decided: Append | Outcome | Rejected


class Batch:
    """Does requests in order; made for one call of `run`."""

    def __init__(
        self,
        log: EventLog,
        new_id: Callable[[], int],
        append: Callable[[Append], Awaitable[Outcome]],
        handle: Callable[[Request], Awaitable[Outcome]],
    ) -> None:
        self._log = log
        self._new_id = new_id
        self._append = append
        self._handle = handle
        self._results: dict[int, Outcome | Rejected] = {}
        self._newest = 0

    async def run(self, requests: Sequence[Request | Later]) -> list[Outcome | Rejected]:
        """What came of each request, in their order. Raises `LogUnavailable`."""
        start = 0
        while start < len(requests):
            window = requests[start : start + WINDOW]
            items = (
                self._decide(window, start)
                if self._log.features.local_reads
                else await asyncio.to_thread(self._decide, window, start)
            )
            await self._settle(items)
            start += len(items)
        return [self._results[index] for index in range(len(requests))]

    def _decide(self, window: Iterable[Request | Later], start: int) -> list[_Item]:
        """Decide a window, or as much of it as comes before a key that waits in it already."""
        overlay = Overlay(self._log)
        items: list[_Item] = []
        for index, asked in enumerate(window, start):
            sight = OverlaySight(overlay)
            decided: Append | Outcome | Rejected
            try:
                request = asked if isinstance(asked, Request) else asked(References.over(sight))
                key = request.key
                if key is not None and overlay.is_pending(key.name):
                    break
                seen = key and self._log.remembered(key.name)
                decided = (
                    repeat(key, seen) if key and seen else decide(request, sight, self._new_id)
                )
            except Rejected as rejected:
                decided = rejected
            level = overlay.add(decided, sight) if isinstance(decided, Append) else sight.level
            items.append(_Item(index, asked, level, decided))
        return items

    async def _settle(self, items: list[_Item]) -> None:
        """Append level by level; from the first level with a conflict on, one by one."""
        waiting = sorted(items, key=lambda item: (item.level, item.place))
        done = 0
        for _, level in groupby(waiting, key=lambda item: item.level):
            together = list(level)
            done += len(together)
            conflicted = await self._append_level(together)
            if conflicted is not None:
                again = [*conflicted, *waiting[done:]]
                for item in sorted(again, key=lambda item: item.place):
                    self._results[item.place] = await self._alone(item.request)
                return

    async def _append_level(self, items: list[_Item]) -> list[_Item] | None:
        """Append what rests on nothing open. None, or the items to do again after a conflict."""
        appends: list[tuple[_Item, Append]] = []
        for item in items:
            if isinstance(item.decided, Append):
                appends.append((item, item.decided))
            else:
                self._results[item.place] = self._shown(item.decided, item.level)
        came = await asyncio.gather(
            *(self._append(append) for _, append in appends), return_exceptions=True
        )
        again: list[_Item] = []
        as_decided = True
        for (item, append), result in zip(appends, came, strict=True):
            if isinstance(result, WrongVersion):
                again.append(item)
            elif isinstance(result, Outcome | Rejected):
                self._results[item.place] = result
                if isinstance(result, Outcome):
                    self._newest = max(self._newest, result.position)
                # A key that came to be known only now: nothing was written for it here.
                as_decided &= isinstance(result, Outcome) and not (
                    append.writes and result.repeated
                )
            else:
                raise result
        return None if as_decided and not again else again

    def _shown(self, decided: Outcome | Rejected, level: int) -> Outcome | Rejected:
        """What made a command needless may have been appended only now: then show that too."""
        if level and isinstance(decided, Outcome):
            return decided._replace(position=max(decided.position, self._newest))
        return decided

    async def _alone(self, asked: Request | Later) -> Outcome | Rejected:
        try:
            if isinstance(asked, Request):
                request = asked
            elif self._log.features.local_reads:
                request = asked(References(self._log))
            else:
                request = await asyncio.to_thread(asked, References(self._log))
            return await self._handle(request)
        except Rejected as rejected:
            return rejected
