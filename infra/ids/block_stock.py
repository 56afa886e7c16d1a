"""Blocks of ids taken ahead of need, so that to make an id waits for no server.

A thread keeps the stock filled: one block while few ids are made, up to sixteen while many are, and
none that is about to expire. As long as the server is down, ids are made of what the stock holds;
after that they are refused at once, and the thread asks on. An event loop, on which other requests
wait, never waits for a block: where the stock is empty there, the id is refused as well.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from events.ids.block_generator import BlockIdGenerator
from events.ids.id_blocks import (
    IDS_PER_BLOCK,
    BlockSource,
    BlocksUnavailable,
    IdBlock,
    ReturnedBlock,
)

BLOCK_SECONDS: Final = 600.0
"""How long ids may be made of a block after it was taken."""

MOST_BLOCKS: Final = 16
_SOON_SECONDS: Final = 0.5
"""A stock that lasts no longer is doubled."""
_LONG_SECONDS: Final = 30.0
"""A stock that lasts longer is halved."""
_WAIT_SECONDS: Final = 1.0
"""For a block, while nothing is known to be wrong with the server. Never on an event loop."""
_RETRY_SECONDS: Final = 0.2
_FRESH_PART: Final = 10
"""A block is replaced in the last tenth of its time."""
_LOOK_SECONDS: Final = 10.0
"""How often the thread looks whether blocks are in it."""

_logger = logging.getLogger(__name__)


class BlockStock:
    """The stock of one process; see the module. Begins with `open`, ends with `close`."""

    def __init__(
        self,
        source: BlockSource,
        owner: str,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        most: int = MOST_BLOCKS,
    ) -> None:
        """`clock` gives Unix ms, `monotonic` seconds."""
        self._source = source
        self._owner = owner
        self._clock = clock
        self._monotonic = monotonic
        self._most = most
        self._changed = threading.Condition()
        self._blocks: deque[IdBlock] = deque()
        self._returned: list[ReturnedBlock] = []
        self._wanted = 1
        self._filled_at = monotonic() - _SOON_SECONDS
        self._problem: BlocksUnavailable | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._keep_filled, name="id-blocks", daemon=True)

    def open(self) -> None:
        """Take the first block; after any fork. Raises `BlocksUnavailable`."""
        self._blocks.extend(self._take(1, []))
        self._thread.start()

    def next_block(self, returned: ReturnedBlock | None = None) -> IdBlock:
        """A block to make ids of, for a `BlockIdGenerator`. Raises `BlocksUnavailable`."""
        with self._changed:
            if returned is not None:
                self._returned.append(returned)
            self._drop_expired()
            if not self._blocks:
                self._changed.notify_all()
                if not _is_on_event_loop():
                    self._changed.wait_for(lambda: self._blocks or self._problem, _WAIT_SECONDS)
            if not self._blocks:
                raise self._problem or BlocksUnavailable("the next block of ids has not come yet")
            block = self._blocks.popleft()
            self._changed.notify_all()
            return block

    def return_blocks(self, returned: Sequence[ReturnedBlock]) -> None:
        """Give blocks back with the next call of the server."""
        with self._changed:
            self._returned += returned

    def close(self, in_use: ReturnedBlock | None = None) -> None:
        """Give back what is left, as far as the server answers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        left = [_unused(block) for block in self._blocks]
        returned = [*self._returned, *left, *([in_use] if in_use else [])]
        try:
            self._take(0, returned)
        except BlocksUnavailable as error:
            _logger.warning("%d blocks of ids are free only at their expiry: %s", len(left), error)

    def _drop_expired(self) -> None:
        while self._blocks and self._blocks[0].until_ms <= self._clock():
            self._returned.append(_unused(self._blocks.popleft()))

    def _fresh_blocks(self) -> list[IdBlock]:
        now = self._clock()
        return [
            block
            for block in self._blocks
            if (block.until_ms - now) * _FRESH_PART > block.until_ms - block.from_ms
        ]

    def _keep_filled(self) -> None:
        while self._wait_for_need():
            with self._changed:
                returned, self._returned = self._returned, []
                missing = self._wanted - len(self._fresh_blocks())
            try:
                taken = self._take(missing, returned)
            except BlocksUnavailable as error:
                with self._changed:
                    if self._problem is None:
                        _logger.warning("no blocks of ids: %s", error)
                    self._problem = error
                    self._returned = returned + self._returned
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._closed, _RETRY_SECONDS)
            else:
                with self._changed:
                    self._problem = None
                    fresh = self._fresh_blocks()
                    self._returned += [_unused(old) for old in self._blocks if old not in fresh]
                    self._blocks = deque([*fresh, *taken])
                    self._changed.notify_all()

    def _wait_for_need(self) -> bool:
        """Wait until half of the stock is used or about to expire; False when it is closed. Sizes
        the stock."""
        with self._changed:
            while not (self._closed or len(self._fresh_blocks()) <= self._wanted // 2):
                self._changed.wait(_LOOK_SECONDS)
            lasted = self._monotonic() - self._filled_at
            if self._problem is None and not self._closed:
                self._filled_at += lasted
                if lasted < _SOON_SECONDS:
                    self._wanted = min(self._most, self._wanted * 2)
                elif lasted > _LONG_SECONDS:
                    self._wanted = max(1, self._wanted // 2)
            return not self._closed

    def _take(self, count: int, returned: list[ReturnedBlock]) -> list[IdBlock]:
        now = self._clock()
        until = now + round(BLOCK_SECONDS * 1000)
        return self._source.take_blocks(count, self._owner, now, until, returned)


def _is_on_event_loop() -> bool:
    """Whether this thread runs an event loop now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _unused(block: IdBlock) -> ReturnedBlock:
    return ReturnedBlock(block.number, block.machine_id, block.from_ms, IDS_PER_BLOCK)


@contextmanager
def ids_of_blocks(
    stock: BlockStock, clock: Callable[[], int], newest_ms: int = 0
) -> Iterator[BlockIdGenerator]:
    """A generator for what happens now; every id is later than `newest_ms` (the newest ordinary id
    in the log, in Unix ms). Open it after any fork. Raises `BlocksUnavailable`.
    """
    stock.open()
    ids = BlockIdGenerator(stock.next_block, clock, newest_ms)
    try:
        yield ids
    finally:
        stock.close(ids.end())
