"""What a server of blocks keeps count of."""

import pytest

from events.ids.id_blocks import (
    EVEN_TICKETS,
    ID_SERVER_BLOCKS,
    IDS_PER_BLOCK,
    ODD_TICKETS,
    BlockLedger,
    BlockSeries,
    BlocksUnavailable,
    IdBlock,
    ReturnedBlock,
)
from events.ids.snowflake import IMPORT_MACHINES, ORDINARY_MACHINES

NOW = 1_700_000_000_000
TWO_MACHINES = BlockSeries(1, 1, range(900, 902))


def give_back(block: IdBlock, end_ms: int, wasted: int = 0) -> list[ReturnedBlock]:
    return [ReturnedBlock(block.number, block.machine_id, end_ms, wasted)]


def test_blocks_have_numbers_that_grow_and_machine_ids_of_their_own() -> None:
    ledger = BlockLedger(1)
    blocks = ledger.give(TWO_MACHINES, 2, "me", NOW, NOW + 1000)
    assert blocks == [IdBlock(1, 900, NOW, NOW + 1000), IdBlock(2, 901, NOW, NOW + 1000)]


def test_a_ticket_server_hands_out_odd_numbers_and_the_other_even_ones() -> None:
    for series, numbers in ((ODD_TICKETS, [1, 3, 5]), (EVEN_TICKETS, [2, 4, 6])):
        ledger = BlockLedger(series.first)
        blocks = ledger.give(series, 3, "me", NOW, NOW + 1000)
        assert [block.number for block in blocks] == numbers
        assert {block.machine_id % 2 for block in blocks} == {numbers[0] % 2}


def test_no_two_ways_to_make_ids_share_a_machine_id() -> None:
    ways = [
        ORDINARY_MACHINES,
        ODD_TICKETS.machines,
        EVEN_TICKETS.machines,
        ID_SERVER_BLOCKS.machines,
        IMPORT_MACHINES,
    ]
    assert sorted(machine for way in ways for machine in way) == list(range(1024))


def test_a_machine_id_that_is_held_is_not_given_until_its_block_expires() -> None:
    ledger = BlockLedger(1)
    ledger.give(TWO_MACHINES, 2, "killed", NOW, NOW + 1000)
    with pytest.raises(BlocksUnavailable, match="all 2 machine ids"):
        ledger.give(TWO_MACHINES, 1, "me", NOW + 999, NOW + 5000)
    [block] = ledger.give(TWO_MACHINES, 1, "me", NOW + 1000, NOW + 5000)
    assert block == IdBlock(3, 900, NOW + 1000, NOW + 5000)
    assert ledger.blocks_lost == 1


def test_a_machine_id_of_a_block_that_came_back_is_free_after_its_newest_id() -> None:
    ledger = BlockLedger(1)
    one, _ = ledger.give(TWO_MACHINES, 2, "me", NOW, NOW + 60_000)
    ledger.take_back(give_back(one, NOW + 50, wasted=7))
    with pytest.raises(BlocksUnavailable):
        ledger.give(TWO_MACHINES, 1, "you", NOW + 49, NOW + 60_000)
    [again] = ledger.give(TWO_MACHINES, 1, "you", NOW + 50, NOW + 60_000)
    assert (again.number, again.machine_id) == (3, one.machine_id)
    assert (ledger.numbers_wasted, ledger.blocks_lost, ledger.blocks_given) == (7, 0, 3)


def test_giving_a_block_back_again_or_when_it_went_to_another_changes_nothing() -> None:
    ledger = BlockLedger(1)
    [one] = ledger.give(TWO_MACHINES, 1, "me", NOW, NOW + 1000)
    ledger.take_back(give_back(one, NOW + 10, wasted=1) * 2)
    assert ledger.numbers_wasted == 1
    ledger.give(TWO_MACHINES, 2, "you", NOW + 20, NOW + 1000)
    ledger.take_back(give_back(one, NOW + 10, wasted=1))
    assert ledger.numbers_wasted == 1
    with pytest.raises(BlocksUnavailable):
        ledger.give(TWO_MACHINES, 1, "me", NOW + 30, NOW + 1000)


def test_a_block_cannot_be_given_back_for_longer_than_it_was_held() -> None:
    ledger = BlockLedger(1)
    [one] = ledger.give(TWO_MACHINES, 1, "me", NOW, NOW + 1000)
    ledger.take_back(give_back(one, NOW + 9_999_999))
    assert ledger.holdings[one.machine_id].until_ms == NOW + 1000


def test_machine_ids_are_given_in_turn() -> None:
    series = BlockSeries(1, 1, range(900, 903))
    ledger, given = BlockLedger(1), []
    for step in range(5):
        [block] = ledger.give(series, 1, "me", NOW + step, NOW + 60_000)
        ledger.take_back(give_back(block, NOW + step + 1, IDS_PER_BLOCK))
        given.append(block.machine_id)
    assert given == [900, 901, 902, 900, 901]
