"""Lanes: each partition of a worker is worked on by a task of its own.

While a batch of a partition is on its way into the stores, the chunks behind it gather; the next
batch takes them all together. After it a lane rests for a moment, for more to gather, unless it is
behind. So a quiet feed waits for nothing, a busy one makes few and large transactions, and no
partition waits for another's.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from projections.store import StoreUnavailable
from streams.chunks import Chunk
from streams.partitions import Gap, Partitions

BATCH_EVENTS: Final = 2000
"""Events of one batch, at most, unless one chunk has more. With 300 a worker that is behind takes
half as long again; one batch must end well before the store's limit on a busy machine, too."""
BEHIND_EVENTS: Final = 300
"""A lane in which so many wait is behind."""
WAITING_BYTES: Final = 4 << 20
"""Lines that wait in one lane; who brings more waits, too."""
REST: Final = 4
"""A lane that is not behind is at work for a fifth of the time: a transaction for one event costs
half of what one for twenty does, and where all take long there are too many."""
LONGEST_REST_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.5
"""How long to wait before a store that can't be reached is tried again."""
IDLE_SECONDS: Final = 1.0
"""After which a lane without work looks whether its views are level."""
AGAIN_SECONDS: Final = 3.0
"""How long what a rewind asked for may be on its way; twice as long after each that did not help.
Faust forgets a rewind where it was still handing over what it had read before."""
WHOLE: Final = 3
"""The rewind of one place which reads the whole partition: the offset that was found is no good."""

Find = Callable[[int, int], Awaitable[int]]
"""An offset of a partition from which on a view at a position finds everything that it lacks."""

_logger = logging.getLogger(__name__)


async def beginning(partition: int, position: int) -> int:
    """The offset that is always right."""
    return 0


@dataclass(slots=True)
class _Rewound:
    """What a partition was read again for: where which view stood; when, how often, and whether
    the reader came by there since."""

    place: tuple[str, int]
    at: float
    times: int
    came: bool = False


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[Chunk, Any]] = field(default_factory=deque)
    unstored: list[Any] = field(default_factory=list)
    """Tokens of what was taken, while the stores don't say so."""
    size: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def rest(self, took: float) -> None:
        """Let more gather than came during a batch that took so many seconds, unless much did."""
        if sum(chunk.many for chunk, _ in self.waiting) < BEHIND_EVENTS:
            await asyncio.sleep(min(REST * took, LONGEST_REST_SECONDS))

    def next(self, most: int) -> list[tuple[Chunk, Any]]:
        """The next batch off the queue."""
        taken: list[tuple[Chunk, Any]] = []
        events = 0
        while self.waiting and (not taken or events + self.waiting[0][0].many <= most):
            taken.append(self.waiting.popleft())
            events += taken[-1][0].many
            self.size -= len(taken[-1][0].lines)
        return taken


class Lanes:
    """Chunks go in, each with a token; tokens come out at `done` once the stores hold the chunk."""

    def __init__(
        self,
        partitions: Partitions,
        done: Callable[[Any], None],
        rewind: Callable[[int, int], Awaitable[None]],
        failed: Callable[[BaseException], None],
        retry_seconds: float = RETRY_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        batch_events: int = BATCH_EVENTS,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        """`rewind` has a partition read again from where a position was, or from before it (0 is
        its beginning), for a store is behind the feed's reader; `failed` hears of what can't be
        tried again, after which the lane stands still."""
        self._partitions = partitions
        self._done, self._rewind, self._failed = done, rewind, failed
        self._retry_seconds = retry_seconds
        self._idle_seconds = idle_seconds
        self._batch_events = batch_events
        self._again_seconds = again_seconds
        self._lanes: dict[int, _Lane] = {}
        self._rewound: dict[int, _Rewound] = {}

    def open(self, partition: int) -> _Lane:
        """Work on this partition, although nothing came of it yet."""
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane()
            lane.task = asyncio.create_task(self._run(partition, lane))
        return lane

    async def put(self, chunk: Chunk, token: Any) -> None:
        """Line a chunk up behind those of its partition; waits while there are too many."""
        lane = self.open(chunk.partition)
        rewound = self._rewound.get(chunk.partition)
        if rewound is not None and chunk.after <= rewound.place[1]:
            rewound.came = True
        while lane.size > WAITING_BYTES:
            lane.changed.clear()
            await lane.changed.wait()
        lane.waiting.append((chunk, token))
        lane.size += len(chunk.lines)
        lane.changed.set()

    async def close(self, partitions: Collection[int] | None = None) -> None:
        """Stop work on these partitions, or on all: they may be somebody else's now."""
        numbers = list(self._lanes) if partitions is None else partitions
        closed = [lane for number in numbers if (lane := self._lanes.pop(number, None))]
        tasks = [lane.task for lane in closed if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in numbers:
            self._rewound.pop(number, None)
        self._partitions.forget(numbers)

    async def _run(self, partition: int, lane: _Lane) -> None:
        try:
            while True:
                while not lane.waiting:
                    lane.changed.clear()
                    try:
                        await asyncio.wait_for(lane.changed.wait(), self._idle_seconds)
                    except TimeoutError:
                        await self._level(partition, lane)
                batch = lane.next(self._batch_events)
                lane.changed.set()
                began = asyncio.get_running_loop().time()
                await self._take(partition, lane, batch)
                await lane.rest(asyncio.get_running_loop().time() - began)
        except Exception as error:  # noqa: BLE001  # it is the worker's end, and told there
            self._failed(error)

    async def _take(self, partition: int, lane: _Lane, batch: list[tuple[Chunk, Any]]) -> None:
        while True:
            try:
                stored = await self._partitions.take([chunk for chunk, _ in batch])
            except StoreUnavailable as error:
                _logger.warning("trying again in %s s: %s", self._retry_seconds, error)
                await asyncio.sleep(self._retry_seconds)
            except Gap as gap:
                await self._missing(partition, lane, batch, gap)
                return
            else:
                lane.unstored.extend(token for _, token in batch)
                if stored:
                    for token in lane.unstored:
                        self._done(token)
                    lane.unstored.clear()
                return

    async def _level(self, partition: int, lane: _Lane) -> None:
        """Views that are behind although nothing comes are brought up, too."""
        if self._in_vain(partition):
            await self._again(partition, lane, self._rewound[partition].place)
            return
        with suppress(StoreUnavailable):  # the next look is soon
            try:
                await self._partitions.level(partition)
            except Gap as gap:
                await self._missing(partition, lane, [], gap)

    async def _missing(
        self, partition: int, lane: _Lane, batch: list[tuple[Chunk, Any]], gap: Gap
    ) -> None:
        """The partition is read again from where the view stands. If something is missing then,
        there is a hole in the topic: what lies right behind it is left out, for the relay sends
        it again."""
        lane.unstored.clear()
        before = self._rewound.get(partition)
        if before is None or before.place != gap.place or self._in_vain(partition):
            _logger.warning("reading the partition again: %s", gap)
            await self._again(partition, lane, gap.place)
        elif len(batch) > 1:
            for one in batch:
                await self._take(partition, lane, [one])

    async def _again(self, partition: int, lane: _Lane, place: tuple[str, int]) -> None:
        before = self._rewound.get(partition)
        times = before.times + 1 if before is not None and before.place == place else 1
        self._rewound[partition] = _Rewound(place, time.monotonic(), times)
        lane.waiting.clear()
        lane.size = 0
        lane.changed.set()
        await self._rewind(partition, place[1] if times < WHOLE else 0)

    def _in_vain(self, partition: int) -> bool:
        """Whether a rewind was asked for and nothing came of it."""
        rewound = self._rewound.get(partition)
        if rewound is None or rewound.came:
            return False
        patience: float = self._again_seconds * 2 ** (rewound.times - 1)
        return time.monotonic() - rewound.at > patience
