"""Queues of partitions: the chunks that gather behind a batch are the next batch."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from events.envelope import StoredEvent
from events.json_lines import render_owned_lines
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.posts import POSTS, PostsProjection
from projections.store import Changes, StoreUnavailable
from streams.feed.chunks import Chunk, split_into_chunks, watermarks_for_all
from streams.projecting import partition_queues
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.partition_queues import PartitionQueues
from streams.projecting.partitioned_runner import PartitionedProjection, PartitionedRunner
from tests.support.made_up_events import append_made_up
from tests.support.waiting import PATIENCE_SECONDS, wait_until

EVENTS = 60
REWIND_SECONDS = 0.5


class SlowStore(MemoryReadStore):
    """Commits only while `open` is set, and can be unavailable or broken."""

    def __init__(self) -> None:
        super().__init__(tables_with_dead_letters(PostsProjection()))
        self.open = asyncio.Event()
        self.open.set()
        self.applied: list[tuple[int, int, int]] = []
        self.errors: list[Exception] = []
        self.broken = False

    async def read_checkpoint(self, partition: int = 0) -> int:
        if self.broken:
            raise ArithmeticError("broken")
        return await super().read_checkpoint(partition)

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        await self.open.wait()
        if self.errors:
            raise self.errors.pop()
        self.applied.append((partition, after, position))
        return await super().apply(changes, after, position, partition)


class QueueWorker:
    """Queues over one slow view, and what they called."""

    def __init__(self) -> None:
        self.store = SlowStore()
        self.done: list[Chunk] = []
        self.rewound: list[tuple[int, int]] = []
        self.failed: list[BaseException] = []
        self.away = False
        self._views = [PartitionedProjection(PostsProjection(), self.store)]
        self.queues = PartitionQueues(
            PartitionedRunner(self.current_views, clock=lambda: 0.0),
            self.done.append,
            self.rewind,
            self.failed.append,
            retry_seconds=0.001,
            idle_seconds=0.05,
            rewind_timeout_seconds=REWIND_SECONDS,
        )

    async def current_views(self) -> Sequence[PartitionedProjection]:
        return [] if self.away else self._views

    async def rewind(self, partition: int, position: int) -> None:
        self.rewound.append((partition, position))

    async def put(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            await self.queues.put(chunk, chunk)


@pytest.fixture
async def worker() -> AsyncIterator[QueueWorker]:
    worker = QueueWorker()
    yield worker
    await worker.queues.close()


async def history(partitions: int, most: int = 1) -> tuple[list[StoredEvent], list[Chunk]]:
    log = MemoryLog()
    await append_made_up(log, 0, EVENTS)
    events, ends = log.read_all(limit=EVENTS), [0] * partitions
    return events, [
        *split_into_chunks(render_owned_lines(events), ends, EVENTS, max_events=most),
        *watermarks_for_all(ends, EVENTS),
    ]


async def test_chunks_queued_during_a_batch_become_one_batch(worker: QueueWorker) -> None:
    _, sent = await history(1)
    worker.store.open.clear()
    await worker.put(sent[:1])
    await asyncio.sleep(0)  # the queue's task has the first and waits for the store
    await worker.put(sent[1:])
    worker.store.open.set()
    await wait_until(lambda: len(worker.done) == len(sent))
    assert len(worker.store.applied) <= 2
    assert worker.done == sent
    assert await worker.store.read_checkpoint(0) == EVENTS


async def test_every_partition_has_a_queue_of_its_own(worker: QueueWorker) -> None:
    _, sent = await history(3)
    worker.store.open.clear()
    await worker.put(sent)
    worker.store.open.set()
    await wait_until(lambda: len(worker.done) == len(sent))
    assert [await worker.store.read_checkpoint(p) for p in range(3)] == [EVENTS] * 3


async def test_an_unavailable_store_is_retried(worker: QueueWorker) -> None:
    events, sent = await history(1, most=7)
    worker.store.errors = [StoreUnavailable("not now") for _ in range(3)]
    await worker.put(sent)
    await wait_until(lambda: len(worker.done) == len(sent))
    posts = {event.id for event in events if event.type == "post-created"}
    assert {row.post for row in await worker.store.scan(POSTS)} == posts


async def test_a_store_behind_its_reader_has_the_partition_read_again_once(
    worker: QueueWorker,
) -> None:
    _, sent = await history(1, most=5)
    await worker.put(sent[4:])
    await wait_until(lambda: worker.rewound == [(0, 0)])
    assert worker.done == []
    await worker.put(sent)
    await wait_until(lambda: worker.done[-1:] == sent[-1:])
    assert worker.rewound == [(0, 0)]
    assert await worker.store.read_checkpoint(0) == EVENTS


async def test_chunks_behind_a_gap_are_skipped_and_applied_when_they_are_read_again(
    worker: QueueWorker,
) -> None:
    _, sent = await history(1, most=5)
    await worker.put(sent[3:])
    await wait_until(lambda: worker.rewound == [(0, 0)])
    await worker.put([*sent[:2], *sent[3:6]])
    await wait_until(lambda: worker.rewound == [(0, 0), (0, sent[1].through)])
    await worker.put([*sent[1:2], *sent[3:6], *sent[2:]])
    await wait_until(lambda: worker.done[-1:] == sent[-1:])
    assert await worker.store.read_checkpoint(0) == EVENTS
    assert worker.failed == []


async def test_a_lost_rewind_is_requested_again(worker: QueueWorker) -> None:
    _, sent = await history(1, most=5)
    await worker.put(sent[4:])
    await wait_until(lambda: worker.rewound == [(0, 0)])
    # Nothing comes any more, or what comes lies behind the same gap.
    await wait_until(lambda: worker.rewound == [(0, 0)] * 2)
    await worker.put(sent[4:])
    await wait_until(lambda: worker.rewound == [(0, 0)] * 3)
    await worker.put(sent)
    await wait_until(lambda: worker.done[-1:] == sent[-1:])
    assert await worker.store.read_checkpoint(0) == EVENTS
    assert len(worker.rewound) == 3


async def test_a_lagging_view_catches_up_although_no_chunk_arrives(
    worker: QueueWorker,
) -> None:
    _, sent = await history(1, most=5)
    worker.away = True
    await worker.put(sent)
    await wait_until(lambda: worker.done[-1:] == sent[-1:])
    worker.away = False
    await wait_until(lambda: worker.rewound == [(0, 0)])
    await worker.put(sent)
    await wait_until(lambda: worker.done[-1:] == sent[-1:] and len(worker.done) == 2 * len(sent))
    assert await worker.store.read_checkpoint(0) == EVENTS
    assert worker.rewound == [(0, 0)]


async def test_an_error_that_cannot_be_retried_is_reported(worker: QueueWorker) -> None:
    _, sent = await history(1)
    worker.store.broken = True
    await worker.put(sent[:1])
    await wait_until(lambda: bool(worker.failed))
    assert isinstance(worker.failed[0], ArithmeticError)
    assert worker.done == []


async def test_a_reopened_queue_begins_at_the_position_of_the_store(worker: QueueWorker) -> None:
    _, sent = await history(2)
    await worker.put(sent[:10])
    await wait_until(lambda: len(worker.store.applied) > 0)
    await worker.queues.close([0, 1])
    await worker.put(sent)
    await wait_until(lambda: worker.done[-1:] == sent[-1:] and len(worker.done) >= len(sent))
    assert worker.rewound == []
    assert [await worker.store.read_checkpoint(p) for p in (0, 1)] == [EVENTS] * 2


async def test_a_reader_that_waits_for_room_goes_on_when_other_workers_get_the_partition(
    worker: QueueWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_queues, "MAX_QUEUED_BYTES", 0)
    worker.store.open.clear()
    _, chunks = await history(partitions=1)
    reading = asyncio.create_task(worker.put(chunks[:3]))
    await asyncio.wait({reading}, timeout=0.1)
    assert not reading.done()
    await worker.queues.close([0])
    async with asyncio.timeout(PATIENCE_SECONDS):
        await reading
    assert worker.done == []
