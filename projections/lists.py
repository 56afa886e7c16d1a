"""Lists of accounts, each its owner's alone.

All rows of a list follow from its owner's events. That a member's account was deleted, or that the
owner no longer follows it, the reader finds out.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.schema import (
    Event,
    ListChanged,
    ListDeleted,
    ListMemberAdded,
    ListMemberRemoved,
    UserDeleted,
)
from projections.pages import PageRequest
from projections.projection import BatchRows, RowRead
from projections.store import KeyRange, ReadStore
from projections.tables import CounterTable, Table

BY_MEMBER: Final = ("user", "member", "list")


class ListRow(NamedTuple):
    """A list of `user`'s. `replies_policy` is `followed`, `list` or `none`."""

    user: int
    list: int
    title: str
    replies_policy: str


class ListMemberRow(NamedTuple):
    """`member` is on a list of `user`'s, by the event `id`."""

    user: int
    list: int
    member: int
    id: int


LISTS: Final[Table[ListRow]] = Table("lists", ListRow, key_size=2)
LIST_MEMBERS: Final[Table[ListMemberRow]] = Table(
    "members", ListMemberRow, key_size=3, indexes=(BY_MEMBER,)
)


class ListContent(NamedTuple):
    """What a list shows: the accounts on it, and which of their answers."""

    members: frozenset[int]
    replies_policy: str


class ListsProjection:
    """Keeps lists and who is on them."""

    name = "lists"
    version = 1
    event_types: tuple[type[Event], ...] = (
        ListChanged,
        ListDeleted,
        ListMemberAdded,
        ListMemberRemoved,
        UserDeleted,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (LISTS, LIST_MEMBERS)

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """The list that an event is about; all of a user's when the account ends."""
        event = recorded.event
        if isinstance(event, ListMemberAdded):
            yield RowRead(LISTS, (event.user, event.list))
        elif isinstance(event, ListDeleted):
            yield KeyRange(LIST_MEMBERS, (event.user, event.list))
        elif isinstance(event, UserDeleted):
            yield KeyRange(LISTS, (event.user,))
            yield KeyRange(LIST_MEMBERS, (event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Put or delete a list or a member."""
        match recorded.event:
            case ListChanged(list=id, user=user, title=title, replies_policy=policy):
                view.put(LISTS, ListRow(user, id, title, policy))
            case ListMemberAdded(list=id, user=user, member=member):
                if view.get(LISTS, (user, id)) is not None:
                    view.put(LIST_MEMBERS, ListMemberRow(user, id, member, recorded.id))
            case ListMemberRemoved(list=id, user=user, member=member):
                view.delete(LIST_MEMBERS, (user, id, member))
            case ListDeleted(list=id, user=user):
                view.delete(LISTS, (user, id))
                for row in view.rows_in_range(KeyRange(LIST_MEMBERS, (user, id))):
                    view.delete(LIST_MEMBERS, row[:3])
            case UserDeleted(user=user):
                for row in view.rows_in_range(KeyRange(LISTS, (user,))):
                    view.delete(LISTS, row[:2])
                for row in view.rows_in_range(KeyRange(LIST_MEMBERS, (user,))):
                    view.delete(LIST_MEMBERS, row[:3])


async def read_lists(store: ReadStore, user: int) -> list[ListRow]:
    """A user's lists, the oldest first."""
    return await store.scan(LISTS, (user,))


async def find_list(store: ReadStore, user: int, id: int) -> ListRow | None:
    """One of a user's lists."""
    return await store.get(LISTS, (user, id))


async def read_members(store: ReadStore, user: int, id: int) -> list[ListMemberRow]:
    """Who is on a user's list, put there last first. At most `commands.lists.MAX_MEMBERS`."""
    rows = await store.scan(LIST_MEMBERS, (user, id))
    return sorted(rows, key=lambda row: row.id, reverse=True)


async def read_content(store: ReadStore, user: int, id: int) -> ListContent | None:
    """What one of a user's lists shows."""
    row = await find_list(store, user, id)
    if row is None:
        return None
    members = await store.scan(LIST_MEMBERS, (user, id))
    return ListContent(frozenset(one.member for one in members), row.replies_policy)


def page_of_members(
    members: Collection[ListMemberRow], request: PageRequest
) -> list[ListMemberRow]:
    """A page of the members of a list, whose cursors are their events' ids."""
    found = [
        row
        for row in members
        if (request.max_id is None or row.id < request.max_id)
        and (request.lower_bound is None or row.id > request.lower_bound)
    ]
    return found[-request.limit :] if request.counts_from_oldest else found[: request.limit]


async def lists_with(store: ReadStore, user: int, member: int) -> list[ListRow]:
    """A user's lists that an account is on."""
    rows = await store.scan(LIST_MEMBERS, (user, member), index=BY_MEMBER)
    found = await store.get_many(LISTS, {(user, row.list) for row in rows})
    return sorted(found.values())
