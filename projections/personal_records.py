"""What a user keeps: bookmarks, pins, followed hashtags, blocks and mutes, also of
conversations, and notes about accounts; and what operators did to the user's posts and account.

Each row follows from its user's own events alone, and has the id of the event by which it began:
lists come in that order. What became of posts and accounts since is looked up on read.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from events.envelope import RecordedEvent
from events.event_types import EVENT_TYPES
from events.schema import (
    AccountSuspended,
    AccountUnsuspended,
    ConversationMuted,
    ConversationUnmuted,
    Event,
    HashtagFollowed,
    HashtagUnfollowed,
    PostBookmarked,
    PostPinned,
    PostRemoved,
    PostUnbookmarked,
    PostUnpinned,
    PrivateNoteChanged,
    UserBlocked,
    UserDeleted,
    UserMuted,
    UserUnblocked,
    UserUnmuted,
)
from projections.invalidation import Invalidation, InvalidationKind
from projections.pages import PageRequest, read_page
from projections.projection import BatchRows, RowRead
from projections.store import Changes, KeyRange, OldSchema, ReadStore, ViewAbsent
from projections.tables import CounterTable, Table


class BookmarkRow(NamedTuple):
    """`user` keeps `post` since the event `id`."""

    user: int
    post: int
    id: int


class PinRow(NamedTuple):
    """`author` pinned `post`."""

    author: int
    post: int
    id: int


class FollowedHashtagRow(NamedTuple):
    """`user` follows the folded hashtag `tag`."""

    user: int
    tag: str
    id: int


class BlockedUserRow(NamedTuple):
    """`blocker` blocks `blocked`."""

    blocker: int
    blocked: int
    id: int


class MutedUserRow(NamedTuple):
    """`muter` mutes `muted`, until a Unix ms if not for good (0)."""

    muter: int
    muted: int
    id: int
    until: int


class MutedConversationRow(NamedTuple):
    """`user` wants no notifications of `post` and of what answers it."""

    user: int
    post: int
    id: int


class NoteRow(NamedTuple):
    """What `user` notes about `subject`."""

    user: int
    subject: int
    id: int
    note: str


class ModerationRow(NamedTuple):
    """An operator did, by the event `id`, what `kind` (a stored name) says, to a post or (0) to the
    account of `user`."""

    user: int
    id: int
    kind: str
    post: int
    reason: str


BOOKMARKS: Final[Table[BookmarkRow]] = Table("bookmarks", BookmarkRow, 2, (("user", "id"),))
PINS: Final[Table[PinRow]] = Table("pins", PinRow, 2, (("author", "id"),))
FOLLOWED_HASHTAGS: Final[Table[FollowedHashtagRow]] = Table(
    "followed_hashtags", FollowedHashtagRow, 2, (("user", "id"),)
)
BLOCKED_USERS: Final[Table[BlockedUserRow]] = Table(
    "blocked", BlockedUserRow, 2, (("blocker", "id"),)
)
MUTED_USERS: Final[Table[MutedUserRow]] = Table("muted", MutedUserRow, 2, (("muter", "id"),))
MUTED_CONVERSATIONS: Final[Table[MutedConversationRow]] = Table(
    "muted_conversations", MutedConversationRow, 2, (("user", "id"),)
)
NOTES: Final[Table[NoteRow]] = Table("notes", NoteRow, 2, (("user", "id"),))
MODERATION_ACTS: Final[Table[ModerationRow]] = Table("moderation", ModerationRow, 2)

_TABLES: Final[tuple[Table[Any], ...]] = (
    BOOKMARKS, PINS, FOLLOWED_HASHTAGS, BLOCKED_USERS, MUTED_USERS, MUTED_CONVERSATIONS, NOTES,
    MODERATION_ACTS,
)  # fmt: skip


class PersonalRecordsProjection:
    """Keeps the records."""

    name = "personal_records"
    version = 1
    event_types: tuple[type[Event], ...] = (
        PostBookmarked,
        PostUnbookmarked,
        PostPinned,
        PostUnpinned,
        HashtagFollowed,
        HashtagUnfollowed,
        UserBlocked,
        UserUnblocked,
        UserMuted,
        UserUnmuted,
        ConversationMuted,
        ConversationUnmuted,
        PrivateNoteChanged,
        PostRemoved,
        AccountSuspended,
        AccountUnsuspended,
        UserDeleted,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = _TABLES

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """Nothing, but all of a user's where the account ends."""
        if isinstance(recorded.event, UserDeleted):
            for table in _TABLES:
                yield KeyRange(table, (recorded.event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Put or delete the row that the event is about."""
        event, id = recorded.event, recorded.id
        match event:
            case PostBookmarked(post=post, user=user):
                view.put(BOOKMARKS, BookmarkRow(user, post, id))
            case PostUnbookmarked(post=post, user=user):
                view.delete(BOOKMARKS, (user, post))
            case PostPinned(post=post, author=author):
                view.put(PINS, PinRow(author, post, id))
            case PostUnpinned(post=post, author=author):
                view.delete(PINS, (author, post))
            case HashtagFollowed(user=user, tag=tag):
                view.put(FOLLOWED_HASHTAGS, FollowedHashtagRow(user, tag, id))
            case HashtagUnfollowed(user=user, tag=tag):
                view.delete(FOLLOWED_HASHTAGS, (user, tag))
            case UserBlocked(blocker=blocker, blocked=blocked):
                view.put(BLOCKED_USERS, BlockedUserRow(blocker, blocked, id))
            case UserUnblocked(blocker=blocker, blocked=blocked):
                view.delete(BLOCKED_USERS, (blocker, blocked))
            case UserMuted(muter=muter, muted=muted, until=until):
                view.put(MUTED_USERS, MutedUserRow(muter, muted, id, until))
            case UserUnmuted(muter=muter, muted=muted):
                view.delete(MUTED_USERS, (muter, muted))
            case ConversationMuted(post=post, user=user):
                view.put(MUTED_CONVERSATIONS, MutedConversationRow(user, post, id))
            case ConversationUnmuted(post=post, user=user):
                view.delete(MUTED_CONVERSATIONS, (user, post))
            case PrivateNoteChanged(user=user, subject=subject, note=note):
                if note:
                    view.put(NOTES, NoteRow(user, subject, id, note))
                else:
                    view.delete(NOTES, (user, subject))
            case PostRemoved(author=author, post=post, reason=reason):
                row = ModerationRow(author, id, EVENT_TYPES[type(event)][0], post, reason)
                view.put(MODERATION_ACTS, row)
            case AccountSuspended() | AccountUnsuspended():
                kind = EVENT_TYPES[type(event)][0]
                view.put(MODERATION_ACTS, ModerationRow(event.user, id, kind, 0, event.reason))
            case UserDeleted(user=user):
                for table in _TABLES:
                    for ended in view.rows_in_range(KeyRange(table, (user,))):
                        view.delete(table, ended[:2])


class ListedItem(NamedTuple):
    """What stands in a list: a post or a user; `id` is the cursor of pages."""

    id: int
    item: int


class ListedMute(NamedTuple):
    """A muted user, until a Unix ms if not for good (0); `id` is the cursor of pages."""

    id: int
    item: int
    until: int

    def holds_at(self, now_ms: int) -> bool:
        """Whether the mute has not ended by then."""
        return not 0 < self.until <= now_ms


class ListedHashtag(NamedTuple):
    """A followed hashtag; `id` is the cursor of pages."""

    id: int
    tag: str


async def list_bookmarks(store: ReadStore, user: int, request: PageRequest) -> list[ListedItem]:
    """The posts that a user keeps, the newest bookmark first."""
    return await _list(store, BOOKMARKS, user, request)


async def list_pins(store: ReadStore, author: int, request: PageRequest) -> list[ListedItem]:
    """The posts that an author pinned, the newest pin first."""
    return await _list(store, PINS, author, request)


async def list_blocked(store: ReadStore, blocker: int, request: PageRequest) -> list[ListedItem]:
    """The users whom a user blocks, the newest block first."""
    return await _list(store, BLOCKED_USERS, blocker, request)


async def list_muted(store: ReadStore, muter: int, request: PageRequest) -> list[ListedMute]:
    """The users whom a user mutes, or did for a time that may be over, the newest mute first."""
    rows = await read_page(store, MUTED_USERS, (muter,), request, index=("muter", "id"))
    return [ListedMute(row.id, row.muted, _end_of(row)) for row in rows]


def _end_of(row: MutedUserRow) -> int:
    """0 where the view is of before mutes could end."""
    try:
        return row.until
    except OldSchema:
        return 0


async def list_muted_conversations(
    store: ReadStore, user: int, request: PageRequest
) -> list[ListedItem]:
    """The posts below which a user wants no notifications, the newest mute first."""
    return await _list(store, MUTED_CONVERSATIONS, user, request)


async def list_notes(store: ReadStore, user: int, request: PageRequest) -> list[NoteRow]:
    """What a user notes about others, the newest note first."""
    return await read_page(store, NOTES, (user,), request, index=("user", "id"))


async def read_notes(store: ReadStore, user: int, subjects: Collection[int]) -> Mapping[int, str]:
    """What a user notes about each of some accounts that there is a note about; none while the
    view is of before there were any."""
    try:
        rows = await store.get_many(NOTES, {(user, subject) for subject in subjects})
    except (OldSchema, ViewAbsent):
        return {}
    return {row.subject: row.note for row in rows.values()}


async def list_followed_hashtags(
    store: ReadStore, user: int, request: PageRequest
) -> list[ListedHashtag]:
    """The hashtags that a user follows, the newest follow first."""
    rows = await read_page(store, FOLLOWED_HASHTAGS, (user,), request, index=("user", "id"))
    return [ListedHashtag(row.id, row.tag) for row in rows]


async def list_moderation_acts(
    store: ReadStore, user: int, request: PageRequest
) -> list[ModerationRow]:
    """What operators did to a user's posts and account, the newest first."""
    return await read_page(store, MODERATION_ACTS, (user,), request)


async def follows_hashtag(store: ReadStore, user: int, tag: str) -> bool:
    """Whether a user follows a folded hashtag."""
    return await store.get(FOLLOWED_HASHTAGS, (user, tag)) is not None


async def _list(
    store: ReadStore, table: Table[Any], user: int, request: PageRequest
) -> list[ListedItem]:
    rows = await read_page(store, table, (user,), request, index=table.indexes[0])
    return [ListedItem(id, item) for _, item, id in rows]


async def read_kept(
    store: ReadStore, keys: Collection[tuple[int, int]]
) -> Mapping[tuple[int, int], tuple[bool, bool]]:
    """(bookmarked, pinned), for each (viewer, post); neither while the view is new and empty."""
    try:
        bookmarked, pinned = await asyncio.gather(
            store.get_many(BOOKMARKS, keys), store.get_many(PINS, keys)
        )
    except ViewAbsent:
        return dict.fromkeys(keys, (False, False))
    return {key: (key in bookmarked, key in pinned) for key in keys}


async def mutes_conversations(store: ReadStore, user: int) -> bool:
    """Whether a user mutes any conversation; not while the view can't say."""
    try:
        return bool(await store.scan(MUTED_CONVERSATIONS, (user,), limit=1))
    except (ViewAbsent, OldSchema):
        return False


async def find_muted(store: ReadStore, user: int, posts: Collection[int]) -> set[int]:
    """Those of the posts at which a user mutes a conversation."""
    found = await store.get_many(MUTED_CONVERSATIONS, {(user, post) for post in posts})
    return {post for _, post in found}


def find_invalidations(changes: Changes) -> Iterator[Invalidation]:
    """What API processes must drop from their caches after these changes."""
    users: set[int] = set()
    for table in (BOOKMARKS, PINS, MUTED_CONVERSATIONS):
        users.update(user for user, _ in changes.puts.get(table, ()))
        users.update(user for user, _ in changes.deletes.get(table, ()))
    for user in users:
        yield InvalidationKind.MARKS, user
