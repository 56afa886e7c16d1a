"""Whatever is appended, in whatever order and however many at once: SQLite does as memory does."""

import asyncio
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from events.log import AppendRequest, AppendResult, EventLog, IdempotencyKey, NewEvent, StreamAppend
from events.schema import PostLiked
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.event_log import SqliteLog
from tests.support.soak import amount

STREAMS = ("like-1-1", "like-1-2", "like-1-3")
TYPES: tuple[list[str] | None, ...] = (["post-liked"], ["post-created"], [], None)


class Guess(NamedTuple):
    """A write to a stream, `off` versions from where the stream is, of events with these ids."""

    stream: str
    off: int
    ids: list[int | None]


# Mostly right, sometimes near the truth; ids mostly new (None), sometimes of a small pool.
ids = st.one_of(st.none(), st.none(), st.integers(1, 12))
guesses = st.builds(
    Guess,
    st.sampled_from(STREAMS),
    st.sampled_from((0, 0, 0, 0, 0, -1, 1)),
    st.lists(ids, max_size=3),
)
keys = st.one_of(
    st.none(),
    st.builds(
        IdempotencyKey, st.sampled_from(("a", "b", "c", "d")), st.sampled_from((b"1", b"1", b"2"))
    ),
)
requests = st.tuples(st.lists(guesses, max_size=3), keys)


class TwoLogs(RuleBasedStateMachine):
    """The same appends to both logs; they must answer and hold the same."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.memory = MemoryLog()
        self.sqlite = self.reopened()
        self.next_id = 1000

    @rule(asked=st.lists(requests, min_size=1, max_size=6))
    def append_at_once(self, asked: list[tuple[list[Guess], IdempotencyKey | None]]) -> None:
        appends = [self.made(guesses, key) for guesses, key in asked]
        assert self.outcomes(self.sqlite, appends) == self.outcomes(self.memory, appends)

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = self.reopened()

    @rule(
        after=st.integers(0, 20),
        types=st.sampled_from(TYPES),
        limit=st.integers(1, 20),
        until=st.none() | st.integers(0, 20),
        id=st.integers(0, 1100),
    )
    def read(
        self, after: int, types: list[str] | None, limit: int, until: int | None, id: int
    ) -> None:
        pages = [
            log.read_all(after, types=types, limit=limit, until=until)
            for log in (self.memory, self.sqlite)
        ]
        assert pages[0] == pages[1]
        assert self.memory.event_at(after) == self.sqlite.event_at(after)
        assert self.memory.newest_id(below=id) == self.sqlite.newest_id(below=id)
        assert self.memory.ids_between(id, 1040) == self.sqlite.ids_between(id, 1040)
        for stream in STREAMS:
            assert self.memory.read_stream(stream, after) == self.sqlite.read_stream(stream, after)

    @invariant()
    def they_hold_the_same(self) -> None:
        assert self.memory.read_all() == self.sqlite.read_all()
        assert self.memory.head() == self.sqlite.head()
        for name in "abcd":
            assert self.memory.idempotency_result(name) == self.sqlite.idempotency_result(name)

    def teardown(self) -> None:
        self.sqlite.close()
        self.runner.close()
        self.folder.cleanup()

    def reopened(self) -> SqliteLog:
        return SqliteLog(Path(self.folder.name) / "log.sqlite")

    def made(self, guesses: list[Guess], key: IdempotencyKey | None) -> AppendRequest:
        """An append whose versions are right, but for what the guesses are off."""
        versions = {stream: len(self.memory.read_stream(stream)) for stream in STREAMS}
        writes: list[StreamAppend] = []
        for stream, off, ids in guesses:
            events = tuple(NewEvent(id or self.fresh(), PostLiked(1, 2, 3)) for id in ids)
            writes.append(StreamAppend(stream, versions[stream] + off, events))
            versions[stream] += len(events)
        return AppendRequest(tuple(writes), 1, self.fresh(), 2, key=key)

    def fresh(self) -> int:
        self.next_id += 1
        return self.next_id

    def outcomes(self, log: EventLog, appends: list[AppendRequest]) -> list[AppendResult | str]:
        """What came of each, handed over at once; of errors their sentence, which tells all."""

        async def run() -> list[AppendResult | BaseException]:
            waiting = (log.append(append) for append in appends)
            return await asyncio.gather(*waiting, return_exceptions=True)

        done = self.runner.run(run())
        return [one if isinstance(one, AppendResult) else f"{type(one)} {one}" for one in done]


TestLogs = TwoLogs.TestCase
TestLogs.settings = settings(max_examples=amount(20, 60), stateful_step_count=12)
