"""Ids made of numbers that a server hands out."""

import pytest

from events.ids.block_generator import BlockIdGenerator
from events.ids.generator import MAX_CLOCK_LAG_MS
from events.ids.id_blocks import IDS_PER_BLOCK, BlocksUnavailable, IdBlock, ReturnedBlock
from events.ids.snowflake import ClockWentBack, decode_id
from tests.support.manual_clock import ManualClock

NOW = 1_700_000_000_000


class Blocks:
    """Blocks one after the other, on machine ids that go down; and what came back."""

    def __init__(self, clock: ManualClock, lasting_ms: int = 60_000) -> None:
        self.clock, self.lasting_ms = clock, lasting_ms
        self.given = 0
        self.returned: list[ReturnedBlock] = []
        self.left = 100

    def next_block(self, returned: ReturnedBlock | None) -> IdBlock:
        self.returned += [returned] if returned else []
        if not self.left:
            raise BlocksUnavailable("none")
        self.left -= 1
        self.given += 1
        now = self.clock()
        return IdBlock(self.given, 1000 - self.given, now, now + self.lasting_ms)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def blocks(clock: ManualClock) -> Blocks:
    return Blocks(clock)


def test_an_id_has_its_time_its_blocks_machine_id_and_its_number(
    clock: ManualClock, blocks: Blocks
) -> None:
    ids = BlockIdGenerator(blocks.next_block, clock)
    assert [decode_id(ids.next_id()) for _ in range(2)] == [(NOW, 999, 0), (NOW, 999, 1)]
    clock.ms += 5
    assert decode_id(ids.next_id()) == (NOW + 5, 999, 2)


def test_a_number_makes_one_id_and_ids_only_grow_from_block_to_block(
    clock: ManualClock, blocks: Blocks
) -> None:
    ids = BlockIdGenerator(blocks.next_block, clock)
    made = []
    for _ in range(3 * IDS_PER_BLOCK):
        made.append(ids.next_id())
        clock.ms += len(made) % 1000 == 0
    assert made == sorted(set(made))
    parts = [decode_id(id) for id in made]
    numbers = [(999 - part.machine) * IDS_PER_BLOCK + part.sequence for part in parts]
    assert numbers == list(range(3 * IDS_PER_BLOCK))
    assert blocks.returned[0] == ReturnedBlock(1, 999, parts[IDS_PER_BLOCK - 1].ms + 1, 0)


def test_ids_are_later_than_the_newest_of_before_and_than_the_start_of_their_block(
    clock: ManualClock, blocks: Blocks
) -> None:
    ids = BlockIdGenerator(blocks.next_block, clock, not_before_ms=NOW + 3000)
    assert decode_id(ids.next_id()).ms == NOW + 3001
    clock.ms += 5000
    assert decode_id(ids.next_id()).ms == NOW + 5000


def test_no_id_is_made_of_a_block_whose_time_is_over(clock: ManualClock, blocks: Blocks) -> None:
    ids = BlockIdGenerator(blocks.next_block, clock)
    first = decode_id(ids.next_id())
    clock.ms = NOW + 59_999
    assert decode_id(ids.next_id()).machine == first.machine
    clock.ms = NOW + 60_000
    assert decode_id(ids.next_id()) == (NOW + 60_000, first.machine - 1, 0)
    assert blocks.returned == [ReturnedBlock(1, 999, NOW + 60_000, IDS_PER_BLOCK - 2)]


def test_without_a_block_ids_are_refused_until_there_is_one(
    clock: ManualClock, blocks: Blocks
) -> None:
    blocks.left = 1
    ids = BlockIdGenerator(blocks.next_block, clock)
    made = [ids.next_id() for _ in range(IDS_PER_BLOCK)]
    for _ in range(2):
        with pytest.raises(BlocksUnavailable):
            ids.next_id()
    blocks.left = 1
    assert ids.next_id() > made[-1]
    assert [block.number for block in blocks.returned] == [1]


def test_a_clock_that_went_back_makes_no_older_ids_and_is_refused_beyond_ten_seconds(
    clock: ManualClock, blocks: Blocks
) -> None:
    ids = BlockIdGenerator(blocks.next_block, clock)
    first = ids.next_id()
    clock.ms -= MAX_CLOCK_LAG_MS
    assert decode_id(ids.next_id()).ms == decode_id(first).ms
    clock.ms -= 1
    with pytest.raises(ClockWentBack, match=r"10\.0 s behind the newest id"):
        ids.next_id()


def test_what_is_left_of_the_block_in_use_is_known_at_the_end(
    clock: ManualClock, blocks: Blocks
) -> None:
    ids = BlockIdGenerator(blocks.next_block, clock)
    assert ids.end() is None
    for _ in range(10):
        ids.next_id()
    assert ids.end() == ReturnedBlock(1, 999, NOW + 1, IDS_PER_BLOCK - 10)
    assert ids.end() is None
