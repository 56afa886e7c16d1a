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
from streams.feed.chunks import Chunk
from streams.projecting.partitioned_runner import Gap, PartitionedRunner

BATCH_EVENTS: Final = 2000
"""Events of one batch, at most, unless one chunk has more. With 300 a worker that is behind takes
half as long again; one batch must end well before the store's limit on a busy machine, too."""
BEHIND_EVENTS: Final = 300
"""A lane in which so many wait is behind."""
MAX_QUEUED_BYTES: Final = 4 << 20
"""Lines that wait in one lane; who brings more waits, too."""
PAUSE_FACTOR: Final = 4
"""A lane that is not behind is at work for a fifth of the time: a transaction for one event costs
half of what one for twenty does, and where all take long there are too many."""
MAX_PAUSE_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.5
"""How long to wait before a store that can't be reached is tried again."""
IDLE_SECONDS: Final = 1.0
"""After which a lane without work looks whether its views are level."""
REWIND_TIMEOUT_SECONDS: Final = 3.0
"""How long what a rewind asked for may be on its way; twice as long after each that did not help.
Faust forgets a rewind where it was still handing over what it had read before."""
FULL_REWIND_ATTEMPT: Final = 3
"""The rewind of one place which reads the whole partition: the offset that was found is no good."""

OffsetFinder = Callable[[int, int], Awaitable[int]]
"""An offset of a partition from which on a view at a position finds everything that it lacks."""

_logger = logging.getLogger(__name__)


async def offset_of_beginning(partition: int, position: int) -> int:
    """The offset that is always right."""
    return 0


@dataclass(slots=True)
class _RewindRequest:
    """What a partition was read again for: where which view stood; when, how often, and whether
    the reader came by there since."""

    view_position: tuple[str, int]
    requested_at: float
    attempts: int
    arrived: bool = False


@dataclass(slots=True)
class _PartitionQueue:
    queued_chunks: deque[tuple[Chunk, Any]] = field(default_factory=deque)
    unstored_tokens: list[Any] = field(default_factory=list)
    """Tokens of what was taken, while the stores don't say so."""
    queued_bytes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def pause_after_batch(self, took: float) -> None:
        """Let more gather than came during a batch that took so many seconds, unless much did."""
        if sum(chunk.event_count for chunk, _ in self.queued_chunks) < BEHIND_EVENTS:
            await asyncio.sleep(min(PAUSE_FACTOR * took, MAX_PAUSE_SECONDS))

    def pop_batch(self, most: int) -> list[tuple[Chunk, Any]]:
        """The next batch off the queue."""
        taken: list[tuple[Chunk, Any]] = []
        events = 0
        while self.queued_chunks and (
            not taken or events + self.queued_chunks[0][0].event_count <= most
        ):
            taken.append(self.queued_chunks.popleft())
            events += taken[-1][0].event_count
            self.queued_bytes -= len(taken[-1][0].lines)
        return taken


class PartitionQueues:
    """Chunks go in, each with a token; tokens come out at `done` once the stores hold the chunk."""

    def __init__(
        self,
        partitions: PartitionedRunner,
        done: Callable[[Any], None],
        rewind: Callable[[int, int], Awaitable[None]],
        failed: Callable[[BaseException], None],
        retry_seconds: float = RETRY_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        batch_events: int = BATCH_EVENTS,
        again_seconds: float = REWIND_TIMEOUT_SECONDS,
    ) -> None:
        """`rewind` has a partition read again from where a position was, or from before it (0 is
        its beginning), for a store is behind the feed's reader; `failed` hears of what can't be
        tried again, after which the lane stands still."""
        self._runner = partitions
        self._acknowledge, self._rewind, self._report_failure = done, rewind, failed
        self._retry_seconds = retry_seconds
        self._idle_seconds = idle_seconds
        self._batch_events = batch_events
        self._rewind_timeout_seconds = again_seconds
        self._queues: dict[int, _PartitionQueue] = {}
        self._rewinds: dict[int, _RewindRequest] = {}

    def open(self, partition: int) -> _PartitionQueue:
        """Work on this partition, although nothing came of it yet."""
        lane = self._queues.get(partition)
        if lane is None:
            lane = self._queues[partition] = _PartitionQueue()
            lane.task = asyncio.create_task(self._run(partition, lane))
        return lane

    async def put(self, chunk: Chunk, token: Any) -> None:
        """Line a chunk up behind those of its partition; waits while there are too many."""
        lane = self.open(chunk.partition)
        rewound = self._rewinds.get(chunk.partition)
        if rewound is not None and chunk.after <= rewound.view_position[1]:
            rewound.arrived = True
        while lane.queued_bytes > MAX_QUEUED_BYTES:
            lane.changed.clear()
            await lane.changed.wait()
        lane.queued_chunks.append((chunk, token))
        lane.queued_bytes += len(chunk.lines)
        lane.changed.set()

    async def close(self, partitions: Collection[int] | None = None) -> None:
        """Stop work on these partitions, or on all: they may be somebody else's now."""
        numbers = list(self._queues) if partitions is None else partitions
        closed = [lane for number in numbers if (lane := self._queues.pop(number, None))]
        tasks = [lane.task for lane in closed if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in numbers:
            self._rewinds.pop(number, None)
        self._runner.discard_partitions(numbers)

    async def _run(self, partition: int, lane: _PartitionQueue) -> None:
        try:
            while True:
                while not lane.queued_chunks:
                    lane.changed.clear()
                    try:
                        await asyncio.wait_for(lane.changed.wait(), self._idle_seconds)
                    except TimeoutError:
                        await self._check_level(partition, lane)
                batch = lane.pop_batch(self._batch_events)
                lane.changed.set()
                began = asyncio.get_running_loop().time()
                await self._apply_until_stored(partition, lane, batch)
                await lane.pause_after_batch(asyncio.get_running_loop().time() - began)
        except Exception as error:  # noqa: BLE001  # it is the worker's end, and told there
            self._report_failure(error)

    async def _apply_until_stored(
        self, partition: int, lane: _PartitionQueue, batch: list[tuple[Chunk, Any]]
    ) -> None:
        while True:
            try:
                stored = await self._runner.apply_chunks([chunk for chunk, _ in batch])
            except StoreUnavailable as error:
                _logger.warning("trying again in %s s: %s", self._retry_seconds, error)
                await asyncio.sleep(self._retry_seconds)
            except Gap as gap:
                await self._recover_gap(partition, lane, batch, gap)
                return
            else:
                lane.unstored_tokens.extend(token for _, token in batch)
                if stored:
                    for token in lane.unstored_tokens:
                        self._acknowledge(token)
                    lane.unstored_tokens.clear()
                return

    async def _check_level(self, partition: int, lane: _PartitionQueue) -> None:
        """Views that are behind although nothing comes are brought up, too."""
        if self._rewind_overdue(partition):
            await self._rewind_partition(partition, lane, self._rewinds[partition].view_position)
            return
        with suppress(StoreUnavailable):  # the next look is soon
            try:
                await self._runner.check_level(partition)
            except Gap as gap:
                await self._recover_gap(partition, lane, [], gap)

    async def _recover_gap(
        self, partition: int, lane: _PartitionQueue, batch: list[tuple[Chunk, Any]], gap: Gap
    ) -> None:
        """The partition is read again from where the view stands. If something is missing then,
        there is a hole in the topic: what lies right behind it is left out, for the relay sends
        it again."""
        lane.unstored_tokens.clear()
        before = self._rewinds.get(partition)
        if (
            before is None
            or before.view_position != gap.view_position
            or self._rewind_overdue(partition)
        ):
            _logger.warning("reading the partition again: %s", gap)
            await self._rewind_partition(partition, lane, gap.view_position)
        elif len(batch) > 1:
            for one in batch:
                await self._apply_until_stored(partition, lane, [one])

    async def _rewind_partition(
        self, partition: int, lane: _PartitionQueue, place: tuple[str, int]
    ) -> None:
        before = self._rewinds.get(partition)
        times = before.attempts + 1 if before is not None and before.view_position == place else 1
        self._rewinds[partition] = _RewindRequest(place, time.monotonic(), times)
        lane.queued_chunks.clear()
        lane.queued_bytes = 0
        lane.changed.set()
        await self._rewind(partition, place[1] if times < FULL_REWIND_ATTEMPT else 0)

    def _rewind_overdue(self, partition: int) -> bool:
        """Whether a rewind was asked for and nothing came of it."""
        rewound = self._rewinds.get(partition)
        if rewound is None or rewound.arrived:
            return False
        patience: float = self._rewind_timeout_seconds * 2 ** (rewound.attempts - 1)
        return time.monotonic() - rewound.requested_at > patience
