"""Lanes: what gathers behind a batch on its way is the next batch."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from events.owned_lines import owned
from events.recorded import Stored
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from projections.post_rows import POSTS
from projections.posts import Posts
from projections.store import Changes, StoreUnavailable
from streams.chunks import Chunk, cut, marks
from streams.dead_letters import kept
from streams.lanes import Lanes
from streams.partitions import PartitionedView, Partitions
from tests.engines.relays import until
from tests.engines.worlds import fill

EVENTS = 60
AGAIN_SECONDS = 0.5


class Slow(MemoryStore):
    """Makes a transaction only when it is let, and can be away or broken."""

    def __init__(self) -> None:
        super().__init__(kept(Posts()))
        self.open = asyncio.Event()
        self.open.set()
        self.applied: list[tuple[int, int, int]] = []
        self.errors: list[Exception] = []
        self.broken = False

    async def position(self, partition: int = 0) -> int:
        if self.broken:
            raise ArithmeticError("broken")
        return await super().position(partition)

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        await self.open.wait()
        if self.errors:
            raise self.errors.pop()
        self.applied.append((partition, after, position))
        return await super().apply(changes, after, position, partition)


class Worker:
    """Lanes over one slow view, and what they said."""

    def __init__(self) -> None:
        self.store = Slow()
        self.done: list[Chunk] = []
        self.rewound: list[tuple[int, int]] = []
        self.failed: list[BaseException] = []
        self.away = False
        self._views = [PartitionedView(Posts(), self.store)]
        self.lanes = Lanes(
            Partitions(self.look, clock=lambda: 0.0),
            self.done.append,
            self.rewind,
            self.failed.append,
            retry_seconds=0.001,
            idle_seconds=0.05,
            again_seconds=AGAIN_SECONDS,
        )

    async def look(self) -> Sequence[PartitionedView]:
        return [] if self.away else self._views

    async def rewind(self, partition: int, position: int) -> None:
        self.rewound.append((partition, position))

    async def put(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            await self.lanes.put(chunk, chunk)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    yield made
    await made.lanes.close()


async def history(partitions: int, most: int = 1) -> tuple[list[Stored], list[Chunk]]:
    log = MemoryLog()
    await fill(log, 0, EVENTS)
    events, ends = log.read_all(limit=EVENTS), [0] * partitions
    return events, [*cut(owned(events), ends, EVENTS, most_events=most), *marks(ends, EVENTS)]


async def test_what_gathers_while_a_batch_is_on_its_way_is_one_batch(worker: Worker) -> None:
    _, sent = await history(1)
    worker.store.open.clear()
    await worker.put(sent[:1])
    await asyncio.sleep(0)  # its lane takes the first and waits for the store
    await worker.put(sent[1:])
    worker.store.open.set()
    await until(lambda: len(worker.done) == len(sent))
    assert len(worker.store.applied) <= 2
    assert worker.done == sent
    assert await worker.store.position(0) == EVENTS


async def test_every_partition_has_a_lane_of_its_own(worker: Worker) -> None:
    _, sent = await history(3)
    worker.store.open.clear()
    await worker.put(sent)
    worker.store.open.set()
    await until(lambda: len(worker.done) == len(sent))
    assert [await worker.store.position(p) for p in range(3)] == [EVENTS] * 3


async def test_a_store_that_is_away_is_tried_again(worker: Worker) -> None:
    events, sent = await history(1, most=7)
    worker.store.errors = [StoreUnavailable("not now") for _ in range(3)]
    await worker.put(sent)
    await until(lambda: len(worker.done) == len(sent))
    posts = {event.id for event in events if event.type == "post-created"}
    assert {row.post for row in await worker.store.scan(POSTS)} == posts


async def test_a_store_behind_its_reader_has_the_partition_read_again_once(worker: Worker) -> None:
    _, sent = await history(1, most=5)
    await worker.put(sent[4:])
    await until(lambda: worker.rewound == [(0, 0)])
    assert worker.done == []
    await worker.put(sent)
    await until(lambda: worker.done[-1:] == sent[-1:])
    assert worker.rewound == [(0, 0)]
    assert await worker.store.position(0) == EVENTS


async def test_what_lies_behind_a_hole_is_left_out_and_taken_when_it_comes_again(
    worker: Worker,
) -> None:
    _, sent = await history(1, most=5)
    await worker.put(sent[3:])
    await until(lambda: worker.rewound == [(0, 0)])
    await worker.put([*sent[:2], *sent[3:6]])
    await until(lambda: worker.rewound == [(0, 0), (0, sent[1].upto)])
    await worker.put([*sent[1:2], *sent[3:6], *sent[2:]])
    await until(lambda: worker.done[-1:] == sent[-1:])
    assert await worker.store.position(0) == EVENTS
    assert worker.failed == []


async def test_a_rewind_that_the_reader_forgot_is_asked_for_again(worker: Worker) -> None:
    _, sent = await history(1, most=5)
    await worker.put(sent[4:])
    await until(lambda: worker.rewound == [(0, 0)])
    # Nothing comes any more, or what comes lies behind the same gap.
    await until(lambda: worker.rewound == [(0, 0)] * 2)
    await worker.put(sent[4:])
    await until(lambda: worker.rewound == [(0, 0)] * 3)
    await worker.put(sent)
    await until(lambda: worker.done[-1:] == sent[-1:])
    assert await worker.store.position(0) == EVENTS
    assert len(worker.rewound) == 3


async def test_a_view_that_was_left_behind_is_brought_up_although_nothing_comes(
    worker: Worker,
) -> None:
    _, sent = await history(1, most=5)
    worker.away = True
    await worker.put(sent)
    await until(lambda: worker.done[-1:] == sent[-1:])
    worker.away = False
    await until(lambda: worker.rewound == [(0, 0)])
    await worker.put(sent)
    await until(lambda: worker.done[-1:] == sent[-1:] and len(worker.done) == 2 * len(sent))
    assert await worker.store.position(0) == EVENTS
    assert worker.rewound == [(0, 0)]


async def test_what_can_not_be_tried_again_is_told(worker: Worker) -> None:
    _, sent = await history(1)
    worker.store.broken = True
    await worker.put(sent[:1])
    await until(lambda: bool(worker.failed))
    assert isinstance(worker.failed[0], ArithmeticError)
    assert worker.done == []


async def test_a_lane_that_was_closed_begins_where_the_store_is(worker: Worker) -> None:
    _, sent = await history(2)
    await worker.put(sent[:10])
    await until(lambda: len(worker.store.applied) > 0)
    await worker.lanes.close([0, 1])
    await worker.put(sent)
    await until(lambda: worker.done[-1:] == sent[-1:] and len(worker.done) >= len(sent))
    assert worker.rewound == []
    assert [await worker.store.position(p) for p in (0, 1)] == [EVENTS] * 2
