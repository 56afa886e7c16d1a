"""Carrying out deletions: what a deleted account signed in with, and the keys of deleted texts.

The log says that an account or a post was deleted; here the consequences are drawn outside of it.
Deleting an account erases its row of the account store and destroys its key, so that its name, bio
and posts can't be read anywhere any more. Deleting a post destroys the keys of its versions, and
deleting a list or a filter those of its titles and keywords; they go as well when the list or the
filter is changed, and a note about an account by the next one, since none but the last is ever
shown. All of it follows the log from a checkpoint, like a projector: a process that is killed in
between leaves nothing undone, and any number may do the same at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, get_args

from api.accounts.account_store import AccountStore
from api.accounts.errors import AccountError
from api.log_follower import FEW_EVENTS, LogFollower, repeating
from events.codec import EVENT_CODEC
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES
from events.log import LOG_START, EventLog, LogError, run_read
from events.schema import (
    FilterChanged,
    FilterDeleted,
    ListChanged,
    ListDeleted,
    PostDeleted,
    PrivateNoteChanged,
    UserDeleted,
)
from events.sealed_text import sealed_texts
from events.streams import filters_stream, list_stream, note_stream, post_stream

Deletion = (
    UserDeleted
    | PostDeleted
    | ListDeleted
    | ListChanged
    | PrivateNoteChanged
    | FilterDeleted
    | FilterChanged
)
"""After which texts are not shown any more. One that is added asks for a new checkpoint beside the
keys (ADR 0060), so that those of before are found, too."""

_LIST_CHANGED: Final = EVENT_TYPES[ListChanged][0]
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
        self._follower = LogFollower(log, self, get_args(Deletion))

    async def catch_up(self) -> None:
        """Carry out the deletions that the log holds by now. Raises `LogError`, `AccountError`."""
        await self._follower.catch_up()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry out deletions while the block runs: those of before it first, unless the log is to
        be looked through from far behind, as after an upgrade; then meanwhile."""
        if not await self._is_far_behind():
            await self.catch_up()
        failing = "deletions can't be carried out now"
        async with repeating(self.catch_up, (LogError, AccountError), _logger, failing):
            yield

    async def _is_far_behind(self) -> bool:
        head = await run_read(self._log, self._log.head)
        done = await self.followed_through()
        return self._log.features.estimate_events(done, head) > FEW_EVENTS

    async def followed_through(self) -> int:
        """The checkpoint beside the keys."""
        return await asyncio.to_thread(self._keys.erased_through)

    async def restart(self) -> None:
        """Look for deletions from the start of the log."""
        await asyncio.to_thread(self._keys.erase, (), (), LOG_START)

    def changes_of(self, events: list[StoredEvent]) -> list[Deletion]:
        """What was deleted."""
        decoded = [EVENT_CODEC.decode(each.type, each.schema, each.data) for each in events]
        return [event for event in decoded if isinstance(event, Deletion)]

    async def apply_changes(self, changes: Sequence[Deletion], after: int, through: int) -> bool:
        """Destroy what belongs to it. It may be done twice, so `after` doesn't matter."""
        accounts, numbers = set[int](), set[int]()
        changed_lists = dict[int, bool]()
        notes, filters = set[str](), set[str]()
        for event in changes:
            match event:
                case UserDeleted():
                    accounts.add(event.user)
                case PostDeleted():
                    versions = await self._read_stream(post_stream(event.post))
                    numbers |= _keys_of(versions)
                case ListChanged() | ListDeleted():
                    deleted = isinstance(event, ListDeleted)
                    changed_lists[event.list] = deleted or changed_lists.get(event.list, False)
                case PrivateNoteChanged(user=user, subject=subject):
                    notes.add(note_stream(user, subject))
                case FilterChanged(user=user) | FilterDeleted(user=user):
                    filters.add(filters_stream(user))
        for stream in filters:
            numbers |= _keys_of_former_filters(await self._read_stream(stream))
        for stream in notes:
            numbers |= _keys_of((await self._read_stream(stream))[:-1])
        for id, deleted in changed_lists.items():
            stored = await self._read_stream(list_stream(id))
            titles = [each for each in stored if each.type == _LIST_CHANGED]
            numbers |= _keys_of(titles if deleted else titles[:-1])
        for user in accounts:
            if await self._accounts.get(user) is not None:
                await self._accounts.remove(user)
        # Last, because the checkpoint goes with it.
        await asyncio.to_thread(self._keys.erase, accounts, numbers, through)
        return True

    async def _read_stream(self, stream: str) -> Sequence[StoredEvent]:
        return await run_read(self._log, self._log.read_stream, stream)


def _keys_of(versions: Sequence[StoredEvent]) -> set[int]:
    """The numbers of the keys that seal what these say."""
    return {sealed.number for each in versions for sealed in sealed_texts(each.data)}


def _keys_of_former_filters(stored: Sequence[StoredEvent]) -> set[int]:
    """The same for all that a user's filters don't say any more."""
    current = dict[int, StoredEvent]()
    for each in stored:
        match EVENT_CODEC.decode(each.type, each.schema, each.data):
            case FilterChanged(filter=id):
                current[id] = each
            case FilterDeleted(filter=id):
                current.pop(id, None)
    return _keys_of(stored) - _keys_of(list(current.values()))
