"""What API processes do behind the log: erase, index words, remove images and clicks.

Each such consumer follows the log from a checkpoint that it keeps itself, like a projector. Any
number of processes may do so at once, and one that is killed leaves nothing undone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, Protocol, TypeVar

from events.envelope import StoredEvent
from events.event_filter import SelectedEvents, read_pages
from events.event_types import EVENT_TYPES
from events.log import LOG_START, EventLog, run_read
from events.schema import Event

FEW_EVENTS: Final = 10_000
"""A checkpoint that is no further behind than this is only written where something changed."""

LOST_TURN_SECONDS: Final = 0.05
"""Between two looks while another process applies what this one would have."""

WAIT_SECONDS: Final = 1.0
"""How often the log is asked."""

RETRY_SECONDS: Final = 5.0
"""How long after an error."""

C = TypeVar("C")


class LogConsumer(Protocol[C]):
    """Makes something of events, and remembers up to which position of the log it did."""

    async def followed_through(self) -> int:
        """The checkpoint, which other processes may have moved."""
        ...

    async def restart(self) -> None:
        """Set the checkpoint to the start of the log: an older copy of it was put in its place."""
        ...

    def changes_of(self, events: list[StoredEvent]) -> Sequence[C]:
        """What there is to do for these events. Called in a thread."""
        ...

    async def apply_changes(self, changes: Sequence[C], after: int, through: int) -> bool:
        """Do it, and move the checkpoint from `after` to `through`; durable on return.

        False, and nothing done, where another process has moved the checkpoint. A consumer that
        may do the same twice needn't look.
        """
        ...


class LogFollower(Generic[C]):
    """Has a consumer follow a log."""

    def __init__(
        self,
        log: EventLog,
        consumer: LogConsumer[C],
        kinds: Collection[type[Event]],
        events_per_read: int = 1000,
    ) -> None:
        self._log = log
        self._consumer = consumer
        self._types = frozenset(EVENT_TYPES[kind][0] for kind in kinds)
        self._events_per_read = events_per_read
        self._checkpoint = LOG_START
        self._one_at_a_time = asyncio.Lock()
        self.read_through = LOG_START
        """The position up to which nothing is left to do. The checkpoint may be behind it: where
        there was nothing to do, it is not written."""

    async def catch_up(self) -> None:
        """Follow the log as far as it is written by now. Raises `LogError`, the consumer's errors.

        Other processes may do a part of it.
        """
        async with self._one_at_a_time:
            head = await run_read(self._log, self._log.head)
            await self._find_checkpoint(head)
            while self.read_through < head:
                page = await asyncio.to_thread(self._read_page, head)
                changes = await asyncio.to_thread(self._consumer.changes_of, page.events)
                if changes or self._is_far(page.through):
                    if not await self._consumer.apply_changes(
                        changes, self._checkpoint, page.through
                    ):
                        await asyncio.sleep(LOST_TURN_SECONDS)
                        self.read_through = LOG_START
                        await self._find_checkpoint(head)
                        continue
                    self._checkpoint = page.through
                self.read_through = page.through

    async def _find_checkpoint(self, head: int) -> None:
        checkpoint = await self._consumer.followed_through()
        if checkpoint > head:
            await self._consumer.restart()
            checkpoint = LOG_START
        if checkpoint < self._checkpoint or self.read_through > head:
            self.read_through = LOG_START
        self._checkpoint = checkpoint
        self.read_through = max(self.read_through, checkpoint)

    def _read_page(self, head: int) -> SelectedEvents:
        return next(
            read_pages(
                self._log, self.read_through, head, types=self._types, limit=self._events_per_read
            )
        )

    def _is_far(self, through: int) -> bool:
        return self._log.features.estimate_events(self._checkpoint, through) > FEW_EVENTS


@asynccontextmanager
async def repeating(
    work: Callable[[], Awaitable[None]],
    errors: tuple[type[Exception], ...],
    logger: logging.Logger,
    failing: str,
    seconds: float = WAIT_SECONDS,
) -> AsyncIterator[None]:
    """Do something again and again while the block runs, so many seconds apart.

    `errors` are logged after the words `failing`, and it is tried again.
    """

    async def repeat() -> None:
        while True:
            try:
                await work()
            except errors as error:
                logger.error("%s: %s", failing, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(seconds)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
