"""A server of blocks in memory, which a test takes down."""

from collections.abc import Sequence

from events.ids.id_blocks import (
    ID_SERVER_BLOCKS,
    BlockLedger,
    BlockSeries,
    BlocksUnavailable,
    IdBlock,
    ReturnedBlock,
)


class FakeBlocks:
    """A `BlockSource` that remembers what it was asked."""

    def __init__(self, series: BlockSeries = ID_SERVER_BLOCKS) -> None:
        self.series = series
        self.ledger = BlockLedger(series.first)
        self.is_down = False
        self.asked: list[int] = []

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        if self.is_down:
            raise BlocksUnavailable("it is down")
        self.asked.append(count)
        self.ledger.take_back(returned)
        return self.ledger.give(self.series, count, owner, now_ms, until_ms)
