"""Whatever is appended, and whatever the node does wrong meanwhile: EventStoreDB's log does as
memory does, one after the other, but for the numbers of positions."""

import asyncio
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from events.envelope import StoredEvent
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    EventLog,
    IdempotencyKey,
    LogError,
    NewEvent,
    StreamAppend,
)
from events.schema import PostLiked
from infra.eventstoredb.open_log import open_event_store_log
from infra.in_memory.event_log import MemoryLog
from tests.support.soak import amount

pytest.importorskip("infra.eventstoredb.client_package")

from infra.eventstoredb.event_log import EventStoreLog
from tests.standins.event_store_node import EventStoreNode
from tests.standins.node_faults import Fault

STREAMS = ("like-1-1", "like-1-2", "like-1-3")
KEYS = ("a", "b", "c")
FAULTS = (None, Fault.ANSWER_LOST, Fault.CUT, Fault.BUSY, Fault.TIMED_OUT)

ids = st.one_of(st.none(), st.none(), st.none(), st.integers(1, 4))
keys = st.one_of(
    st.none(),
    st.builds(IdempotencyKey, st.sampled_from(KEYS), st.sampled_from((b"1", b"1", b"2"))),
)


class SharedLog(RuleBasedStateMachine):
    """The same appends to both logs; they must answer and hold the same."""

    node: ClassVar[EventStoreNode]

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.namespace = f"t{secrets.token_hex(8)}"
        self.memory = MemoryLog(EventStoreLog.features)
        self.shared = self.reopened()
        self.next_id = 1000

    @rule(
        stream=st.none() | st.sampled_from(STREAMS),
        off=st.sampled_from((0, 0, 0, 0, -1, 1)),
        new=st.lists(ids, max_size=3),
        key=keys,
        faults=st.lists(st.sampled_from(FAULTS), max_size=4),
    )
    def append(
        self,
        stream: str | None,
        off: int,
        new: list[int | None],
        key: IdempotencyKey | None,
        faults: list[Fault | None],
    ) -> None:
        writes: tuple[StreamAppend, ...] = ()
        if stream is not None:
            events = tuple(NewEvent(id or self.fresh(), PostLiked(1, 2, 3)) for id in new)
            expected = max(0, len(self.memory.read_stream(stream)) + off)
            writes = (StreamAppend(stream, expected, events),)
        append = AppendRequest(writes, 1, self.fresh(), 2, key=key)
        self.node.faults.appends.extend(faults)
        shared, memory = self.outcome(self.shared, append), self.outcome(self.memory, append)
        self.node.faults.appends.clear()
        assert shared == memory

    @rule()
    def reopen(self) -> None:
        self.shared.close()
        self.shared = self.reopened()

    @rule(
        after=st.integers(0, 20),
        types=st.sampled_from((None, ["post-liked"], ["post-created"])),
        limit=st.integers(1, 20),
        until=st.none() | st.integers(0, 20),
    )
    def read(self, after: int, types: list[str] | None, limit: int, until: int | None) -> None:
        pages: list[list[StoredEvent]] = []
        for log in (self.memory, self.shared):
            places = [LOG_START, *(event.position for event in log.read_all())]
            last = None if until is None else places[min(until, len(places) - 1)]
            start = places[min(after, len(places) - 1)]
            pages.append(log.read_all(start, types=types, limit=limit, until=last))
        assert without_positions(pages[0]) == without_positions(pages[1])
        assert self.memory.newest_id(below=after) == self.shared.newest_id(below=after)
        assert sorted(set(self.memory.ids_between(0, 9))) == self.shared.ids_between(0, 9)

    @invariant()
    def they_hold_the_same(self) -> None:
        memory, shared = self.memory.read_all(), self.shared.read_all()
        assert without_positions(memory) == without_positions(shared)
        positions = [event.position for event in shared]
        assert positions == sorted(set(positions))
        for name in KEYS:
            result, expected = (log.idempotency_result(name) for log in (self.shared, self.memory))
            assert (result and result[:2]) == (expected and expected[:2])

    def teardown(self) -> None:
        self.shared.close()
        self.runner.close()
        self.folder.cleanup()

    def reopened(self) -> EventLog:
        address = self.node.address.replace("?", f"/{self.namespace}?")
        return open_event_store_log(address, Path(self.folder.name) / "ids.sqlite")

    def fresh(self) -> int:
        self.next_id += 1
        return self.next_id

    def outcome(self, log: EventLog, append: AppendRequest) -> tuple[object, ...]:
        """What came of it, with the place in the log for the position."""
        try:
            done = self.runner.run(appended(log, append))
        except LogError as error:
            return type(error), str(error)
        places = [LOG_START, *(event.position for event in log.read_all())]
        return done.result_id, places.index(done.position), done.replayed


async def appended(log: EventLog, append: AppendRequest) -> AppendResult:
    return await log.append(append)


def without_positions(events: Iterable[StoredEvent]) -> list[tuple[object, ...]]:
    return [event[1:] for event in events]


@pytest.fixture(autouse=True, scope="module")
def node() -> Iterator[None]:
    """One for all examples."""
    with EventStoreNode() as node:
        SharedLog.node = node
        yield


TestSharedLog = SharedLog.TestCase
TestSharedLog.settings = settings(max_examples=amount(10, 100), stateful_step_count=15)
