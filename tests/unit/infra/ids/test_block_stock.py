"""Blocks taken ahead by a thread."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from events.ids.id_blocks import IDS_PER_BLOCK, BlocksUnavailable, IdBlock
from events.ids.snowflake import decode_id
from infra.ids import block_stock
from infra.ids.block_stock import BLOCK_SECONDS, BlockStock, ids_of_blocks
from tests.support.fake_blocks import FakeBlocks
from tests.support.manual_clock import ManualClock

NOW = 1_700_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def server() -> FakeBlocks:
    return FakeBlocks()


@pytest.fixture
def stock(server: FakeBlocks, clock: ManualClock) -> BlockStock:
    return BlockStock(server, "test", clock, clock.monotonic)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


def test_a_server_that_is_down_at_the_start_is_said_at_once(
    server: FakeBlocks, stock: BlockStock
) -> None:
    server.is_down = True
    with pytest.raises(BlocksUnavailable, match="it is down"):
        stock.open()


def test_ids_are_made_on_while_the_server_is_down_as_far_as_the_stock_goes(
    server: FakeBlocks, stock: BlockStock, clock: ManualClock
) -> None:
    with ids_of_blocks(stock, clock) as ids:
        made = [ids.next_id()]
        wait_for(lambda: server.ledger.blocks_given == 2)
        server.is_down = True
        made += [ids.next_id() for _ in range(2 * IDS_PER_BLOCK - 1)]
        for _ in range(3):
            with pytest.raises(BlocksUnavailable, match="it is down"):
                ids.next_id()
        server.is_down = False
        wait_for(lambda: server.ledger.blocks_given > 2)
        made.append(ids.next_id())
    assert made == sorted(set(made))


def test_a_process_that_makes_many_ids_takes_more_blocks_at_once(
    server: FakeBlocks, stock: BlockStock, clock: ManualClock
) -> None:
    with ids_of_blocks(stock, clock) as ids:
        for _ in range(40 * IDS_PER_BLOCK):
            ids.next_id()
        assert 8 <= max(server.asked) <= 16
        assert all(isinstance(id, int) for id in server.ledger.holdings)


def test_what_is_left_is_given_back_and_counted_at_the_end(
    server: FakeBlocks, stock: BlockStock, clock: ManualClock
) -> None:
    with ids_of_blocks(stock, clock) as ids:
        for _ in range(100):
            ids.next_id()
        wait_for(lambda: server.ledger.blocks_given == 2)
    assert server.ledger.numbers_wasted == 2 * IDS_PER_BLOCK - 100
    assert all(held.returned for held in server.ledger.holdings.values())
    assert "id-blocks" not in [thread.name for thread in threading.enumerate()]


def test_blocks_that_expired_unused_go_back_and_others_come(
    server: FakeBlocks, stock: BlockStock, clock: ManualClock
) -> None:
    with ids_of_blocks(stock, clock) as ids:
        ids.next_id()
        wait_for(lambda: server.ledger.blocks_given == 2)
        clock.ms += round(BLOCK_SECONDS * 1000)
        assert decode_id(ids.next_id()).ms == clock.ms
    assert server.ledger.blocks_lost == 0
    given = server.ledger.blocks_given
    assert server.ledger.numbers_wasted == given * IDS_PER_BLOCK - 2


def test_ids_begin_after_the_newest_one_of_the_log(stock: BlockStock, clock: ManualClock) -> None:
    with ids_of_blocks(stock, clock, newest_ms=NOW + 700) as ids:
        assert decode_id(ids.next_id()).ms == NOW + 701


async def test_an_event_loop_never_waits_for_a_block(
    server: FakeBlocks, stock: BlockStock, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    take_blocks = server.take_blocks

    def hang(*arguments: Any) -> list[IdBlock]:
        answers.wait(20)
        return take_blocks(*arguments)

    with ids_of_blocks(stock, clock) as ids:
        ids.next_id()
        wait_for(lambda: server.ledger.blocks_given == 2)
        monkeypatch.setattr(server, "take_blocks", hang)
        for _ in range(2 * IDS_PER_BLOCK - 1):
            ids.next_id()
        began = time.monotonic()
        with pytest.raises(BlocksUnavailable, match="not come yet"):
            ids.next_id()
        assert time.monotonic() - began < block_stock._WAIT_SECONDS / 2
        answers.set()
        wait_for(lambda: server.ledger.blocks_given > 2)


def test_blocks_are_replaced_before_they_expire_though_no_id_is_made(
    server: FakeBlocks, stock: BlockStock, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_stock, "_LOOK_SECONDS", 0.01)
    with ids_of_blocks(stock, clock) as ids:
        ids.next_id()
        wait_for(lambda: server.ledger.blocks_given == 2)
        clock.ms += round(BLOCK_SECONDS * 950)
        wait_for(lambda: server.ledger.blocks_given == 3)
        clock.ms += round(BLOCK_SECONDS * 100)
        server.is_down = True  # both of before have expired
        assert decode_id(ids.next_id()).ms == clock.ms
        server.is_down = False
    assert server.ledger.blocks_lost == 0
