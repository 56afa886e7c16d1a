"""Queues of chunks in a Faust worker: one for each partition, each with a task of its own.

While a batch of a partition is applied to the stores, the chunks behind it gather; the next batch
takes them all together. After a batch the task pauses for a moment, for more to gather, unless it
is behind. So a quiet feed waits for nothing, a busy one makes few and large transactions, and no
partition waits for another's.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from projections.store import StoreUnavailable
from streams.feed.chunks import Chunk
from streams.projecting.partitioned_runner import Gap, PartitionedRunner, retry_unavailable

BATCH_EVENTS: Final = 2000
"""Events of one batch, at most, unless one chunk has more. With 300 a worker that is behind takes
half as long again; one batch must end well before the store's limit on a busy machine, too."""
BEHIND_EVENTS: Final = 300
"""A queue with so many events is behind."""
MAX_QUEUED_BYTES: Final = 4 << 20
"""Lines in one queue; `put` waits while there are more."""
PAUSE_FACTOR: Final = 4
"""The task of a queue that is not behind works for a fifth of the time: a transaction for one event
costs half of what one for twenty does, and where all take long there are too many."""
MAX_PAUSE_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.5
"""The wait before a store that can't be reached is tried again."""
IDLE_SECONDS: Final = 1.0
"""After so long without chunks a task checks that all views are at the same position."""
REWIND_TIMEOUT_SECONDS: Final = 3.0
"""How long after a rewind its chunks must arrive; twice as long after each that did not help. Faust
loses a rewind where it was still delivering what it had read before."""
FULL_REWIND_ATTEMPT: Final = 3
"""The rewind to one position which reads the whole partition: the offset found for it is wrong."""

OffsetFinder = Callable[[int, int], Awaitable[int]]
"""Given a partition and a view's position, an offset from which on the view finds all it lacks."""

_logger = logging.getLogger(__name__)


async def offset_of_beginning(partition: int, position: int) -> int:
    """The offset that is always right."""
    return 0


@dataclass(slots=True)
class _RewindRequest:
    """Why a partition is read again: a projection and its position."""

    view_position: tuple[str, int]
    requested_at: float
    attempts: int
    arrived: bool = False
    """Whether chunks from there have been put since."""


@dataclass(slots=True)
class _PartitionQueue:
    queued_chunks: deque[tuple[Chunk, Any]] = field(default_factory=deque)
    unstored_tokens: list[Any] = field(default_factory=list)
    """Tokens of chunks that were applied, until the stores have their position."""
    queued_bytes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def pause_after_batch(self, seconds: float) -> None:
        """Let more gather after a batch that took so many seconds, unless the queue is behind."""
        if sum(chunk.event_count for chunk, _ in self.queued_chunks) < BEHIND_EVENTS:
            await asyncio.sleep(min(PAUSE_FACTOR * seconds, MAX_PAUSE_SECONDS))

    def pop_batch(self, max_events: int) -> list[tuple[Chunk, Any]]:
        batch: list[tuple[Chunk, Any]] = []
        events = 0
        while self.queued_chunks:
            events += self.queued_chunks[0][0].event_count
            if batch and events > max_events:
                break
            batch.append(self.queued_chunks.popleft())
            self.queued_bytes -= len(batch[-1][0].lines)
        return batch

    def discard_chunks(self) -> None:
        """Leave out what waits."""
        self.queued_chunks.clear()
        self.queued_bytes = 0
        self.changed.set()


class PartitionQueues:
    """Chunks go in, each with a token; `acknowledge` gets the token once the stores hold it."""

    def __init__(
        self,
        runner: PartitionedRunner,
        acknowledge: Callable[[Any], None],
        rewind: Callable[[int, int], Awaitable[None]],
        report_failure: Callable[[BaseException], None],
        retry_seconds: float = RETRY_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        batch_events: int = BATCH_EVENTS,
        rewind_timeout_seconds: float = REWIND_TIMEOUT_SECONDS,
    ) -> None:
        """`rewind` has a partition read again from a position or from before it (0 is the
        beginning), for a store is behind the feed's reader; `report_failure` gets an error that
        can't be retried, after which the partition's task has ended."""
        self._runner = runner
        self._acknowledge, self._rewind = acknowledge, rewind
        self._report_failure = report_failure
        self._retry_seconds = retry_seconds
        self._idle_seconds = idle_seconds
        self._batch_events = batch_events
        self._rewind_timeout_seconds = rewind_timeout_seconds
        self._queues: dict[int, _PartitionQueue] = {}
        self._rewinds: dict[int, _RewindRequest] = {}

    def open(self, partition: int) -> _PartitionQueue:
        """Start this partition's task, if it doesn't run."""
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = _PartitionQueue()
            queue.task = asyncio.create_task(self._run(partition, queue))
        return queue

    async def put(self, chunk: Chunk, token: Any) -> None:
        """Queue a chunk behind those of its partition; waits while there are too many."""
        queue = self.open(chunk.partition)
        rewind = self._rewinds.get(chunk.partition)
        if rewind is not None and chunk.after <= rewind.view_position[1]:
            rewind.arrived = True
        while queue.queued_bytes > MAX_QUEUED_BYTES:
            queue.changed.clear()
            await queue.changed.wait()
        queue.queued_chunks.append((chunk, token))
        queue.queued_bytes += len(chunk.lines)
        queue.changed.set()

    async def close(self, partitions: Collection[int] | None = None) -> None:
        """End the tasks of these partitions, or of all: other workers may have them now."""
        numbers = list(self._queues) if partitions is None else partitions
        closed = [queue for number in numbers if (queue := self._queues.pop(number, None))]
        tasks = [queue.task for queue in closed if queue.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in closed:
            queue.discard_chunks()  # a `put` that waits for room has nothing to wait for
        for number in numbers:
            self._rewinds.pop(number, None)
        self._runner.discard_partitions(numbers)

    async def _run(self, partition: int, queue: _PartitionQueue) -> None:
        try:
            while True:
                while not queue.queued_chunks:
                    queue.changed.clear()
                    try:
                        await asyncio.wait_for(queue.changed.wait(), self._idle_seconds)
                    except TimeoutError:
                        await self._check_level(partition, queue)
                batch = queue.pop_batch(self._batch_events)
                queue.changed.set()
                began = asyncio.get_running_loop().time()
                await self._apply_until_stored(partition, queue, batch)
                await queue.pause_after_batch(asyncio.get_running_loop().time() - began)
        except Exception as error:  # noqa: BLE001  # it ends the worker, which logs it
            self._report_failure(error)

    async def _apply_until_stored(
        self, partition: int, queue: _PartitionQueue, batch: list[tuple[Chunk, Any]]
    ) -> None:
        work = partial(self._runner.apply_chunks, [chunk for chunk, _ in batch])
        try:
            stored = await retry_unavailable(work, self._retry_seconds)
        except Gap as gap:
            await self._recover_gap(partition, queue, batch, gap)
            return
        queue.unstored_tokens.extend(token for _, token in batch)
        if stored:
            for token in queue.unstored_tokens:
                self._acknowledge(token)
            queue.unstored_tokens.clear()

    async def _check_level(self, partition: int, queue: _PartitionQueue) -> None:
        """Bring up views that are behind although there are no chunks."""
        if self._rewind_overdue(partition):
            await self._rewind_partition(partition, queue, self._rewinds[partition].view_position)
            return
        with suppress(StoreUnavailable):  # the next check is soon
            try:
                await self._runner.check_level(partition)
            except Gap as gap:
                await self._recover_gap(partition, queue, [], gap)

    async def _recover_gap(
        self, partition: int, queue: _PartitionQueue, batch: list[tuple[Chunk, Any]], gap: Gap
    ) -> None:
        """Have the partition read again from the view's position. If something is still missing
        then, there is a hole in the topic: the chunks right behind it are left out, for the relay
        sends them again."""
        queue.unstored_tokens.clear()
        before = self._rewinds.get(partition)
        first = before is None or before.view_position != gap.view_position
        if first or self._rewind_overdue(partition):
            _logger.warning("reading the partition again: %s", gap)
            await self._rewind_partition(partition, queue, gap.view_position)
        elif len(batch) > 1:
            for queued in batch:
                await self._apply_until_stored(partition, queue, [queued])

    async def _rewind_partition(
        self, partition: int, queue: _PartitionQueue, view_position: tuple[str, int]
    ) -> None:
        before, attempts = self._rewinds.get(partition), 1
        if before is not None and before.view_position == view_position:
            attempts = before.attempts + 1
        self._rewinds[partition] = _RewindRequest(view_position, time.monotonic(), attempts)
        queue.discard_chunks()
        await self._rewind(partition, view_position[1] if attempts < FULL_REWIND_ATTEMPT else 0)

    def _rewind_overdue(self, partition: int) -> bool:
        """Whether a rewind was requested and its chunks did not arrive in time."""
        rewind = self._rewinds.get(partition)
        if rewind is None or rewind.arrived:
            return False
        timeout: float = self._rewind_timeout_seconds * 2 ** (rewind.attempts - 1)
        return time.monotonic() - rewind.requested_at > timeout
