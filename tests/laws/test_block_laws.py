"""The law of ids, however they are made: no id twice, whatever clocks, processes and servers do."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from events.ids.block_generator import BlockIdGenerator
from events.ids.generator import SnowflakeGenerator
from events.ids.id_blocks import (
    BlockSeries,
    BlockSource,
    IdBlock,
    ReturnedBlock,
)
from events.ids.snowflake import SnowflakeError
from infra.ids.ticket_servers import TicketServers
from tests.support.fake_blocks import FakeBlocks
from tests.support.manual_clock import ManualClock
from tests.support.soak import amount

NOW = 1_700_000_000_000
LASTING_MS = 30_000

STEP = st.one_of(
    st.tuples(st.sampled_from(["tickets", "global"]), st.just(1)),
    st.tuples(st.sampled_from(["stop", "crash", "down", "up"]), st.just(0)),
    st.tuples(st.just("ids"), st.sampled_from([1, 4096])),
    # Few distances, so that clocks which went apart meet again.
    st.tuples(st.just("clock"), st.sampled_from([1, -1, 9_999, -9_999, LASTING_MS, -LASTING_MS])),
)
PLAN = st.lists(st.tuples(st.integers(0, 1), STEP), min_size=10, max_size=60)


class Servers:
    """Two ticket servers and an id server with one machine id each, which is soon given again.
    A step takes one of the first two down, or up again, by the number of its process."""

    def __init__(self) -> None:
        self.all = [
            FakeBlocks(BlockSeries(1, 2, range(601, 602))),
            FakeBlocks(BlockSeries(2, 2, range(600, 601))),
            FakeBlocks(BlockSeries(1, 1, range(800, 801))),
        ]

    def source(self, way: str) -> BlockSource:
        odd, even, only = self.all
        return only if way == "global" else TicketServers(odd, even, lambda: 0.0)


class MakingProcess:
    """A process with a clock of its own, which makes ids one way or the other."""

    def __init__(self, servers: Servers, machine: int) -> None:
        self.servers, self.clock = servers, ManualClock(NOW)
        self.snowflakes = SnowflakeGenerator(machine, self.clock, self.clock.sleep)
        self.source: BlockSource | None = None
        self.ids: BlockIdGenerator | None = None

    def next_block(self, returned: ReturnedBlock | None) -> IdBlock:
        assert self.source is not None
        now, back = self.clock(), [returned] if returned else []
        return self.source.take_blocks(1, "law", now, now + LASTING_MS, back)[0]

    def start(self, way: str) -> None:
        self.stop()
        self.source = self.servers.source(way)
        self.ids = BlockIdGenerator(self.next_block, self.clock)

    def stop(self) -> None:
        left = self.ids.end() if self.ids else None
        if left and self.source:
            self.source.take_blocks(0, "law", self.clock(), 0, [left])
        self.ids = None

    def crash(self) -> None:
        self.ids = None

    def make(self, count: int) -> list[int]:
        one = self.ids.next_id if self.ids else self.snowflakes.next_id
        made: list[int] = []
        with suppress(SnowflakeError):
            made.extend(one() for _ in range(count))
        assert made == sorted(made)
        return made


@settings(max_examples=amount(60, 1000))
@given(PLAN)
def test_no_id_is_made_twice_by_one_way_or_by_two(plan: list[tuple[int, tuple[str, int]]]) -> None:
    servers = Servers()
    processes = [MakingProcess(servers, machine) for machine in range(2)]
    made: set[int] = set()
    for number, (what, value) in plan:
        process = processes[number]
        with suppress(SnowflakeError):
            match what:
                case "tickets" | "global":
                    process.start(what)
                case "stop":
                    process.stop()
                case "crash":
                    process.crash()
                case "clock":
                    process.clock.ms += value
                case "down" | "up":
                    servers.all[number].is_down = what == "down"
        fresh = process.make(value) if what in ("tickets", "global", "ids") else []
        assert made.isdisjoint(fresh)
        made.update(fresh)
