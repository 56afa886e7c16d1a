"""Blocks of ids: what an id server and ticket servers hand out, and how they keep count.

Such a server hands out numbers, each once and for ever, 4,096 at a time: block 7 is the numbers
28,672 to 32,767. The id that a number becomes has the layout of every other id, so that its time
is known and ids sort by time:

    | 41 bits: ms since 2010-11-04T01:42:54.657Z | 10 bits: machine of the block | 12 bits: number |

A number has more bits than are left beside the time. So a block comes with a machine id that no
other holder has for the same times, as a lease of one does: `from_ms` and `until_ms` bound the time
*in the ids* that are made of it. The three ways to make ids, and imports, have machine ids of their
own, and therefore no id in common.

A `BlockLedger` is all that a server has to remember. It is kept on disk before a block is handed
out, so a number is never handed out twice, whatever is killed when; what a killed holder had left
is lost, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from events.ids.snowflake import (
    ID_SERVER_MACHINES,
    IDS_PER_MS,
    TICKET_MACHINES,
    SnowflakeError,
)

IDS_PER_BLOCK: Final = IDS_PER_MS


class BlocksUnavailable(SnowflakeError):
    """No block of ids can be had at the moment: no server answers, or all machine ids are held."""


@dataclass(frozen=True, slots=True)
class IdBlock:
    """4,096 numbers. Their ids have this machine id and times from `from_ms` to before `until_ms`
    (Unix ms)."""

    number: int
    machine_id: int
    from_ms: int
    until_ms: int


class ReturnedBlock(NamedTuple):
    """A block that its holder will make no more ids of: used up, out of date or left over."""

    number: int
    machine_id: int
    end_ms: int
    """The first Unix ms that no id of the block has."""
    wasted: int
    """Numbers of it that no id was made of."""


class BlockSource(Protocol):
    """Where blocks come from: a ticket server, two of them, an id server."""

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        """Give back `returned`, then take at most `count` blocks, and at least one where `count` is
        not 0. Durable when it returns.

        `owner` is for people who look at the server. The blocks are for ids of the times from
        `now_ms`, by the caller's clock, to before `until_ms`; a server may give less time. To give
        a block back again changes nothing. Raises `BlocksUnavailable`; then the caller gives
        `returned` back again.
        """
        ...


class BlockSeries(NamedTuple):
    """The block numbers of one server, and the machine ids of its blocks; no other server has any
    of them."""

    first: int
    step: int
    machines: range


ODD_TICKETS: Final = BlockSeries(1, 2, TICKET_MACHINES[1::2])
EVEN_TICKETS: Final = BlockSeries(2, 2, TICKET_MACHINES[::2])
ID_SERVER_BLOCKS: Final = BlockSeries(1, 1, ID_SERVER_MACHINES)


@dataclass(slots=True)
class BlockHolding:
    """The newest block of a machine id."""

    number: int
    owner: str
    until_ms: int
    returned: bool = False


@dataclass(slots=True)
class BlockLedger:
    """What a server of blocks remembers. Of the numbers of a lost block some may be in use: how
    many, only the holder knew that was killed."""

    next_number: int
    holdings: dict[int, BlockHolding] = field(default_factory=dict)
    """By machine id."""
    newest_machine_id: int = -1
    blocks_given: int = 0
    numbers_wasted: int = 0
    blocks_lost: int = 0

    def take_back(self, returned: Sequence[ReturnedBlock]) -> None:
        """Free the machine ids of blocks for the times after their newest ids."""
        for block in returned:
            holding = self.holdings.get(block.machine_id)
            if holding is None or holding.number != block.number or holding.returned:
                continue
            holding.returned = True
            holding.until_ms = min(holding.until_ms, block.end_ms)
            self.numbers_wasted += block.wasted

    def give(
        self, series: BlockSeries, count: int, owner: str, now_ms: int, until_ms: int
    ) -> list[IdBlock]:
        """At most `count` blocks. Raises `BlocksUnavailable` where every machine id is held."""
        blocks = []
        for machine in self._free_machines(series.machines, now_ms)[:count]:
            former = self.holdings.get(machine)
            self.blocks_lost += former is not None and not former.returned
            self.holdings[machine] = BlockHolding(self.next_number, owner, until_ms)
            blocks.append(IdBlock(self.next_number, machine, now_ms, until_ms))
            self.next_number += series.step
            self.newest_machine_id = machine
        self.blocks_given += len(blocks)
        if count and not blocks:
            raise BlocksUnavailable(
                f"all {len(series.machines)} machine ids for blocks of ids are held: stop a "
                "process that makes ids, or wait until the blocks of dead ones expire"
            )
        return blocks

    def _free_machines(self, machines: range, now_ms: int) -> list[int]:
        """Those that nothing holds, beginning after the one that was given last."""
        free = [
            machine
            for machine in machines
            if (held := self.holdings.get(machine)) is None or held.until_ms <= now_ms
        ]
        return sorted(free, key=lambda machine: machine <= self.newest_machine_id)
