"""Carrying out deletions: what a deleted account signed in with, and the keys of deleted texts.

The log says that an account or a post was deleted; here the consequences are drawn outside of it.
Deleting an account erases its row of the account store and destroys its key, so that its name, bio
and posts can't be read anywhere any more. Deleting a post destroys the keys of its versions. Both
follow the log from a checkpoint, like a projector: a process that is killed in between leaves
nothing undone, and any number of processes may do the same at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from api.accounts.account_store import AccountStore
from api.accounts.errors import AccountError
from events.codec import EVENT_CODEC
from events.event_filter import SelectedEvents, read_pages
from events.log import LOG_START, EventLog, LogError, run_read
from events.schema import EVENT_TYPES, PostDeleted, UserDeleted
from events.sealed_text import sealed_texts
from events.streams import post_stream

DELETIONS_PER_READ: Final = 1000

FEW_EVENTS: Final = 10_000
"""A checkpoint that is no further behind than this is only written where there was a deletion."""

WAIT_SECONDS: Final = 1.0
"""How often the log is asked for deletions."""

RETRY_SECONDS: Final = 5.0

_DELETIONS: Final = frozenset(EVENT_TYPES[kind][0] for kind in (UserDeleted, PostDeleted))
_logger = logging.getLogger(__name__)


class ErasableKeys(Protocol):
    """The keys that texts are sealed under. Methods block for a moment and raise `LogError`."""

    def erased_through(self) -> int:
        """The position of the log up to which `erase` was done."""
        ...

    def erase(self, accounts: Collection[int], numbers: Collection[int], through: int) -> None:
        """Destroy the keys of accounts and of texts, as the log asks for up to `through`.

        An account without a key will not get one either. Durable on return.
        """
        ...


class Erasure:
    """Follows the deletions in a log."""

    def __init__(self, log: EventLog, accounts: AccountStore, keys: ErasableKeys) -> None:
        self._log = log
        self._accounts = accounts
        self._keys = keys
        self._read_through: int | None = None
        self._checkpoint = LOG_START

    async def catch_up(self) -> None:
        """Carry out the deletions that the log holds by now. Raises `LogError`, `AccountError`."""
        head = await run_read(self._log, self._log.head)
        if self._read_through is None:
            self._read_through = self._checkpoint = self._keys.erased_through()
        if self._read_through > head:  # an older copy of the log was put in its place
            self._read_through = self._checkpoint = LOG_START
        pages = read_pages(
            self._log, self._read_through, head, types=_DELETIONS, limit=DELETIONS_PER_READ
        )
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            if page.events or self._is_far(page.through):
                await self._erase(page)
                self._checkpoint = page.through
            self._read_through = page.through

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry out deletions while the block runs: those of before it first."""
        await self.catch_up()
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _is_far(self, through: int) -> bool:
        return self._log.features.estimate_events(self._checkpoint, through) > FEW_EVENTS

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(WAIT_SECONDS)
            try:
                await self.catch_up()
            except (LogError, AccountError) as error:
                _logger.error("deletions can't be carried out now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _erase(self, page: SelectedEvents) -> None:
        accounts, numbers = set[int](), set[int]()
        for stored in page.events:
            event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
            if isinstance(event, UserDeleted):
                accounts.add(event.user)
            elif isinstance(event, PostDeleted):
                versions = await run_read(self._log, self._log.read_stream, post_stream(event.post))
                numbers.update(s.number for each in versions for s in sealed_texts(each.data))
        for user in accounts:
            if await self._accounts.get(user) is not None:
                await self._accounts.remove(user)
        # Last, because the checkpoint goes with it.
        await asyncio.to_thread(self._keys.erase, accounts, numbers, page.through)
