"""Profiles: what an account shows of itself.

All of a user's rows follow from that user's own events alone.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from events.envelope import RecordedEvent
from events.schema import (
    AccountSuspended,
    AccountUnsuspended,
    Event,
    ProfileChanged,
    UserDeleted,
    UserRegistered,
)
from events.sealed_text import OpenText
from projections.invalidation import Invalidation, InvalidationKind
from projections.projection import BatchRows, RowRead
from projections.store import Changes, KeyRange, OldSchema, ReadStore
from projections.tables import CounterTable, Table


class ProfileRow(NamedTuple):
    """An account, registered at the time inside the id `user`.

    `avatar` and `header` are ids of images, `fields` is a JSON array of pairs of texts, each empty
    for none; `bot` is 1 where a program writes. A deleted account stays as a tombstone: `deleted`
    is 1, and of the rest only the handle is left. A suspended one has all its values.
    """

    user: int
    handle: str
    name: str
    bio: str
    deleted: int = 0
    avatar: str = ""
    header: str = ""
    suspended: int = 0
    fields: str = ""
    bot: int = 0


class HandleRow(NamedTuple):
    """The user of a handle. The handle of a deleted account is never given to another one."""

    handle: str
    user: int


_decode_pairs = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode

PROFILES: Final[Table[ProfileRow]] = Table("profiles", ProfileRow, key_size=1)
HANDLES: Final[Table[HandleRow]] = Table("handles", HandleRow, key_size=1)


class ProfilesProjection:
    """Keeps profiles and handles."""

    name = "profiles"
    version = 4
    event_types: tuple[type[Event], ...] = (
        UserRegistered,
        ProfileChanged,
        AccountSuspended,
        AccountUnsuspended,
        UserDeleted,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (PROFILES, HANDLES)

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """The profile that the event is about."""
        event = recorded.event
        if isinstance(
            event,
            UserRegistered | ProfileChanged | AccountSuspended | AccountUnsuspended | UserDeleted,
        ):
            yield RowRead(PROFILES, (event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Put what an account shows from now on."""
        event = recorded.event
        if isinstance(event, UserRegistered):
            if view.get(PROFILES, (event.user,)) is None:
                view.put(PROFILES, ProfileRow(event.user, event.handle, event.name, event.bio))
                view.put(HANDLES, HandleRow(event.handle, event.user))
        elif isinstance(event, ProfileChanged):
            row = view.get(PROFILES, (event.user,))
            if row is not None and not row.deleted:
                changed = row._replace(
                    name=event.name,
                    bio=event.bio,
                    avatar=event.avatar,
                    header=event.header,
                    fields=msgspec.json.encode(event.fields).decode() if event.fields else "",
                    bot=int(event.bot),
                )
                view.put(PROFILES, changed)
        elif isinstance(event, AccountSuspended | AccountUnsuspended):
            row = view.get(PROFILES, (event.user,))
            if row is not None and not row.deleted:
                suspended = int(isinstance(event, AccountSuspended))
                view.put(PROFILES, row._replace(suspended=suspended))
        elif isinstance(event, UserDeleted):
            row = view.get(PROFILES, (event.user,))
            if row is not None:
                view.put(PROFILES, ProfileRow(row.user, row.handle, "", "", deleted=1))


async def read_profiles(store: ReadStore, users: Collection[int]) -> Mapping[int, ProfileRow]:
    """The profiles of those users; deleted and suspended accounts and unknown ids are absent."""
    rows = await store.get_many(PROFILES, {(user,) for user in users})
    return {row.user: row for row in rows.values() if not row.deleted and not is_suspended(row)}


def is_suspended(row: ProfileRow) -> bool:
    """Whether an account is suspended; none is where the view is of before there were any."""
    try:
        return bool(row.suspended)
    except OldSchema:
        return False


def pictures_of(row: ProfileRow) -> tuple[str, str]:
    """The ids of avatar and header; none where the view is of before there were any."""
    try:
        return row.avatar, row.header
    except OldSchema:
        return "", ""


class ProfileDetails(NamedTuple):
    """What a profile shows beside name, bio and pictures: pairs of opened texts, and whether a
    program writes there."""

    fields: tuple[tuple[str, str], ...] = ()
    bot: bool = False


def details_of(row: ProfileRow, open_text: OpenText) -> ProfileDetails:
    """The details; none where the view is of before there were any."""
    try:
        sealed = _decode_pairs(row.fields) if row.fields else ()
        opened = tuple((open_text(name), open_text(value)) for name, value in sealed)
        return ProfileDetails(tuple(pair for pair in opened if any(pair)), bool(row.bot))
    except OldSchema:
        return ProfileDetails()


async def find_by_handle(store: ReadStore, handle: str) -> ProfileRow | None:
    """The profile with a (folded) handle; None where no account has it, or a deleted one."""
    row = await store.get(HANDLES, (handle,))
    if row is None:
        return None
    return (await read_profiles(store, (row.user,))).get(row.user)


def find_invalidations(changes: Changes) -> Iterator[Invalidation]:
    """What API processes must drop from their caches after these changes."""
    for (user,) in changes.puts.get(PROFILES, ()):
        yield InvalidationKind.PROFILE, user
