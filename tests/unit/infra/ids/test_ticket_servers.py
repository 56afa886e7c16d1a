"""Two ticket servers, of which either may be down."""

import pytest

from events.ids.id_blocks import EVEN_TICKETS, ODD_TICKETS, BlocksUnavailable, ReturnedBlock
from infra.ids.ticket_servers import TicketServers
from tests.support.fake_blocks import FakeBlocks
from tests.support.manual_clock import ManualClock

NOW = 1_700_000_000_000


class Pair:
    """Both servers, and what a client asks them."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.odd, self.even = FakeBlocks(ODD_TICKETS), FakeBlocks(EVEN_TICKETS)
        self.tickets = TicketServers(self.odd, self.even, self.clock.monotonic)

    def take(self, count: int, *returned: ReturnedBlock) -> list[int]:
        now = self.clock()
        blocks = self.tickets.take_blocks(count, "me", now, now + 60_000, returned)
        return [block.number for block in blocks]


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_odd_and_even_numbers_come_in_turn(pair: Pair) -> None:
    assert [pair.take(1) for _ in range(4)] == [[1], [2], [3], [4]]


def test_while_one_is_down_the_other_serves_and_the_first_is_left_alone_for_a_while(
    pair: Pair,
) -> None:
    pair.odd.is_down = True
    assert [pair.take(1) for _ in range(3)] == [[2], [4], [6]]
    pair.odd.is_down = False
    assert pair.take(2) == [8, 10]
    pair.clock.ms += 5000
    assert {pair.take(1)[0] % 2 for _ in range(2)} == {0, 1}


def test_where_both_are_down_both_are_named(pair: Pair) -> None:
    pair.odd.is_down = pair.even.is_down = True
    with pytest.raises(BlocksUnavailable, match="odd numbers: it is down; even numbers: it is"):
        pair.take(1)
    pair.even.is_down = False
    assert pair.take(1) == [2]


def test_a_block_goes_back_to_its_server_once_that_is_asked_again(pair: Pair) -> None:
    assert pair.take(2) == [1, 3]
    machine = pair.odd.ledger.newest_machine_id
    pair.odd.is_down = True
    assert pair.take(1, ReturnedBlock(3, machine, NOW + 1, 9)) == [2]
    pair.odd.is_down = False
    pair.clock.ms += 5000
    assert pair.take(0) == []
    assert pair.odd.ledger.numbers_wasted == 9
    assert pair.even.ledger.numbers_wasted == 0


def test_what_could_not_be_given_back_is_an_error_of_the_last_call(pair: Pair) -> None:
    assert pair.take(1) == [1]
    pair.odd.is_down = True
    block = ReturnedBlock(1, pair.odd.ledger.newest_machine_id, NOW + 1, 9)
    with pytest.raises(BlocksUnavailable, match="could not be given back: odd"):
        pair.take(0, block)
    pair.odd.is_down = False
    assert pair.take(0, block) == []
    assert pair.odd.ledger.numbers_wasted == 9
