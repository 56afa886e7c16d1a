"""Two ticket servers, after Flickr's: one hands out odd block numbers, the other even ones."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from events.ids.id_blocks import BlockSource, BlocksUnavailable, IdBlock, ReturnedBlock

_AVOIDED_SECONDS: Final = 5.0
"""How long a server that did not answer is not asked first."""


class TicketServers:
    """A `BlockSource` over both, in turn; while one is down, the other serves all.

    Neither knows the other: they have no number and no machine id in common.
    """

    def __init__(
        self,
        odd: BlockSource,
        even: BlockSource,
        monotonic: Callable[[], float],
        first: Literal[0, 1] = 1,
    ) -> None:
        """`first` is the parity of the server that is asked first: not always the same one."""
        self._servers = (even, odd)
        self._monotonic = monotonic
        self._turn: int = first
        self._avoided_until = [0.0, 0.0]
        self._to_return: list[list[ReturnedBlock]] = [[], []]
        """For each server, what it was not told yet, because the other was asked."""

    def take_blocks(
        self,
        count: int,
        owner: str,
        now_ms: int,
        until_ms: int,
        returned: Sequence[ReturnedBlock] = (),
    ) -> list[IdBlock]:
        to_return = [
            [*kept, *(block for block in returned if block.number % 2 == parity)]
            for parity, kept in enumerate(self._to_return)
        ]
        problems = []
        for parity in self._order():
            if not count and not to_return[parity]:
                continue
            try:
                blocks = self._servers[parity].take_blocks(
                    count, owner, now_ms, until_ms, to_return[parity]
                )
            except BlocksUnavailable as error:
                self._avoided_until[parity] = self._monotonic() + _AVOIDED_SECONDS
                problems.append(f"{'odd' if parity else 'even'} numbers: {error}")
                continue
            if count:
                to_return[parity] = []
                self._to_return = to_return
                return blocks
        if problems:
            both = "neither ticket server gives ids" if count else "blocks could not be given back"
            raise BlocksUnavailable(f"{both}: {'; '.join(problems)}")
        return []

    def _order(self) -> tuple[int, int]:
        """The server whose turn it is first, unless it did not answer just now."""
        first, self._turn = self._turn, 1 - self._turn
        now = self._monotonic()
        if self._avoided_until[first] > now >= self._avoided_until[1 - first]:
            first = 1 - first
        return first, 1 - first
