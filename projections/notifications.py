"""Notifications: who mentioned, answered, liked, retweeted and followed a user.

Three tables hold what happened, each under the user whom it concerns: mentions under the handle,
which a user keeps for good, so that a text needs no look-up; answers under the author of what they
answer; the rest under the user whom its event names. What depends on other people's rows (deleted
posts and accounts, blocks, mutes, follows that a block ended) is left out by the reader.

An answer names its post and not that post's author. Where a worker sees the answer first, it waits
in `PENDING_ANSWERS` for the post.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from events.envelope import RecordedEvent
from events.ids.snowflake import EPOCH_MS, decode_id
from events.schema import (
    Event,
    NotificationsDismissed,
    NotificationsRead,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostRemoved,
    PostRetweeted,
    PostUnliked,
    PostUnretweeted,
    UserFollowed,
    UserUnfollowed,
)
from projections.pages import PageRequest
from projections.projection import BatchRows, RowRead
from projections.store import KeyRange, ReadStore
from projections.tables import CounterTable, Table

MENTION: Final = "mention"
LIKE: Final = "like"
RETWEET: Final = "retweet"
FOLLOW: Final = "follow"
NOTIFICATION_KINDS: Final = (MENTION, LIKE, RETWEET, FOLLOW)

BY_RECIPIENT: Final = ("recipient", "id")
BY_HANDLE: Final = ("handle", "id")

MAX_SCANNED: Final = 1000
"""Notifications that are read for one page of which readers hide some."""

_SEQUENCES: Final = 1 << 12


class NoticeRow(NamedTuple):
    """`actor` did what `kind` says (like, retweet, follow) to `post`, or to the recipient (0)."""

    recipient: int
    kind: str
    actor: int
    post: int
    id: int


class AnswerRow(NamedTuple):
    """`actor` wrote `post` as an answer to a post of the recipient's."""

    recipient: int
    post: int
    actor: int
    id: int


class MentionRow(NamedTuple):
    """`actor` wrote (since the event of `id`) in `post` of the user with a folded handle."""

    post: int
    handle: str
    actor: int
    id: int


class PostAuthor(NamedTuple):
    """Who wrote a post, deleted or not."""

    post: int
    author: int


class PendingAnswers(NamedTuple):
    """Answers to a post that has not arrived yet: a JSON array of [id, answer, its author]."""

    post: int
    answers: str


class NotificationMarks(NamedTuple):
    """A user has read all up to `read`, and dismissed all up to `cleared`."""

    user: int
    read: int
    cleared: int


class DismissedNotification(NamedTuple):
    """A user dismissed one notification."""

    user: int
    id: int


NOTICES: Final[Table[NoticeRow]] = Table("notices", NoticeRow, 4, (BY_RECIPIENT,))
ANSWERS: Final[Table[AnswerRow]] = Table("answers", AnswerRow, 2, (BY_RECIPIENT,), cross_owner=True)
MENTIONS: Final[Table[MentionRow]] = Table("mentions", MentionRow, 2, (BY_HANDLE,))
POST_AUTHORS: Final[Table[PostAuthor]] = Table(
    "authors", PostAuthor, 1, cross_owner=True, conflict_checked=True
)
PENDING_ANSWERS: Final[Table[PendingAnswers]] = Table(
    "pending_answers", PendingAnswers, 1, cross_owner=True
)
MARKS: Final[Table[NotificationMarks]] = Table("marks", NotificationMarks, 1)
DISMISSED: Final[Table[DismissedNotification]] = Table("dismissed", DismissedNotification, 2)


def notification_id(event_id: int) -> int:
    """The id of the notification of an event: below 2^53 until 2045, so that a JSON number can
    hold it, and in the order of time.

    It has the event's ms and 12 bits of machine and sequence. Those of one machine differ always;
    two of different machines are the same once in 4,096 pairs of one ms.
    """
    ms, machine, sequence = decode_id(event_id)
    return (ms - EPOCH_MS) * _SEQUENCES + (sequence + machine * 0x9E5) % _SEQUENCES


def notification_ms(id: int) -> int:
    """When a notification's event happened, in Unix ms."""
    return id // _SEQUENCES + EPOCH_MS


def first_notification_at(ms: int) -> int:
    """The least id that a notification of that time (Unix ms), or of later, can have."""
    return (ms - EPOCH_MS) * _SEQUENCES


class NotificationsProjection:
    """Keeps what users are notified of, and what of it they read and dismissed."""

    name = "notifications"
    version = 1
    event_types: tuple[type[Event], ...] = (
        PostCreated,
        PostEdited,
        PostDeleted,
        PostRemoved,
        PostLiked,
        PostUnliked,
        PostRetweeted,
        PostUnretweeted,
        UserFollowed,
        UserUnfollowed,
        NotificationsRead,
        NotificationsDismissed,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        NOTICES, ANSWERS, MENTIONS, POST_AUTHORS, PENDING_ANSWERS, MARKS, DISMISSED,
    )  # fmt: skip

    def rows_to_read(self, recorded: RecordedEvent) -> Iterator[RowRead | KeyRange]:
        """Ranges only where a post changes or everything is dismissed."""
        event = recorded.event
        if isinstance(event, PostCreated):
            yield RowRead(PENDING_ANSWERS, (event.post,))
        if isinstance(event, PostCreated | PostDeleted) and event.reply_to is not None:
            yield RowRead(POST_AUTHORS, (event.reply_to,))
            yield RowRead(PENDING_ANSWERS, (event.reply_to,))
        if isinstance(event, PostEdited | PostDeleted):
            yield KeyRange(MENTIONS, (event.post,))
        elif isinstance(event, NotificationsRead | NotificationsDismissed):
            yield RowRead(MARKS, (event.user,))
            if isinstance(event, NotificationsDismissed) and event.first != event.last:
                yield KeyRange(DISMISSED, (event.user,))

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Put or delete what an event is a notification of."""
        event, id = recorded.event, notification_id(recorded.id)
        match event:
            case PostCreated():
                _create_post(event, id, view)
            case PostEdited():
                _edit_post(event, id, view)
            case PostDeleted():
                for row in view.rows_in_range(KeyRange(MENTIONS, (event.post,))):
                    view.delete(MENTIONS, row[:2])
                _remove_answer(event, view)
            case PostLiked(post=post, user=user, author=author):
                _put_notice(NoticeRow(author, LIKE, user, post, id), view)
            case PostRetweeted(post=post, user=user, author=author):
                _put_notice(NoticeRow(author, RETWEET, user, post, id), view)
            case UserFollowed(followee=followee, follower=follower):
                _put_notice(NoticeRow(followee, FOLLOW, follower, 0, id), view)
            case PostUnliked(post=post, user=user, author=author):
                view.delete(NOTICES, (author, LIKE, user, post))
            case PostUnretweeted(post=post, user=user, author=author):
                view.delete(NOTICES, (author, RETWEET, user, post))
            case UserUnfollowed(followee=followee, follower=follower):
                view.delete(NOTICES, (followee, FOLLOW, follower, 0))
            case NotificationsRead() | NotificationsDismissed():
                _mark(event, view)


def _put_notice(row: NoticeRow, view: BatchRows) -> None:
    if row.recipient != row.actor:
        view.put(NOTICES, row)


def _create_post(event: PostCreated, id: int, view: BatchRows) -> None:
    for handle in {name.lower() for name in event.mentions}:
        view.put(MENTIONS, MentionRow(event.post, handle, event.author, id))
    view.put(POST_AUTHORS, PostAuthor(event.post, event.author))
    if pending := view.get(PENDING_ANSWERS, (event.post,)):
        view.delete(PENDING_ANSWERS, (event.post,))
        for answer_id, answer, actor in msgspec.json.decode(pending.answers):
            if actor != event.author:
                view.put(ANSWERS, AnswerRow(event.author, answer, actor, answer_id))
    if event.reply_to is None:
        return
    answered = view.get(POST_AUTHORS, (event.reply_to,))
    if answered is None:
        _change_pending(event.reply_to, event.post, [id, event.post, event.author], view)
    elif answered.author != event.author:
        view.put(ANSWERS, AnswerRow(answered.author, event.post, event.author, id))


def _remove_answer(event: PostDeleted, view: BatchRows) -> None:
    if event.reply_to is not None:
        answered = view.get(POST_AUTHORS, (event.reply_to,))
        if answered is None:
            _change_pending(event.reply_to, event.post, None, view)
        else:
            view.delete(ANSWERS, (answered.author, event.post))


def _change_pending(post: int, answer: int, line: list[int] | None, view: BatchRows) -> None:
    """Replace or remove the line of an answer among those that wait for a post."""
    row = view.get(PENDING_ANSWERS, (post,))
    lines: list[list[int]] = msgspec.json.decode(row.answers) if row else []
    kept = [one for one in lines if one[1] != answer] + ([line] if line else [])
    if kept:
        text = msgspec.json.encode(sorted(kept)).decode()
        view.put(PENDING_ANSWERS, PendingAnswers(post, text))
    elif row:
        view.delete(PENDING_ANSWERS, (post,))


def _edit_post(event: PostEdited, id: int, view: BatchRows) -> None:
    """Those who are mentioned by the edit alone hear of it."""
    named = {name.lower() for name in event.mentions}
    for row in view.rows_in_range(KeyRange(MENTIONS, (event.post,))):
        if row.handle in named:
            named.remove(row.handle)
        else:
            view.delete(MENTIONS, row[:2])
    for handle in named:
        view.put(MENTIONS, MentionRow(event.post, handle, event.author, id))


def _mark(event: NotificationsRead | NotificationsDismissed, view: BatchRows) -> None:
    marks = view.get(MARKS, (event.user,)) or NotificationMarks(event.user, 0, 0)
    if isinstance(event, NotificationsRead):
        view.put(MARKS, marks._replace(read=max(marks.read, event.through)))
    elif event.first == event.last:
        view.put(DISMISSED, DismissedNotification(event.user, event.last))
    else:
        view.put(MARKS, marks._replace(cleared=max(marks.cleared, event.last)))
        for row in view.rows_in_range(KeyRange(DISMISSED, (event.user,))):
            if row.id <= event.last:
                view.delete(DISMISSED, row)


class NotificationEntry(NamedTuple):
    """`actor` did what `kind` says; `post` is 0 where it is about no post."""

    id: int
    kind: str
    actor: int
    post: int


class NotificationPage(NamedTuple):
    """Notifications, newest first; `scanned_to` as in `timeline.EntryPage`."""

    found: list[NotificationEntry]
    scanned_to: int | None = None


Shown = Callable[[Sequence[NotificationEntry]], Awaitable[list[NotificationEntry]]]
"""Leaves out what the recipient should not see (any more)."""


class Recipient(NamedTuple):
    """Whose notifications they are."""

    user: int
    handle: str


async def read_marks_of(store: ReadStore, user: int) -> NotificationMarks:
    """What a user has read and cleared."""
    return await store.get(MARKS, (user,)) or NotificationMarks(user, 0, 0)


async def leave_out_dismissed(
    store: ReadStore, user: int, found: Sequence[NotificationEntry]
) -> list[NotificationEntry]:
    """Those of some notifications that a user did not dismiss."""
    cleared = (await read_marks_of(store, user)).cleared
    dismissed = await store.get_many(DISMISSED, {(user, one.id) for one in found})
    return [one for one in found if one.id > cleared and (user, one.id) not in dismissed]


async def list_notifications(
    store: ReadStore,
    recipient: Recipient,
    request: PageRequest,
    kinds: Collection[str],
    shown: Shown,
) -> NotificationPage:
    """A page of a user's notifications, without dismissed ones."""
    cleared = (await read_marks_of(store, recipient.user)).cleared
    found: list[NotificationEntry] = []
    wanted = request._replace(limit=max(20, request.limit))
    last: int | None = None
    for _ in range(-(-MAX_SCANNED // wanted.limit)):
        rows = await _read_rows(store, recipient, wanted, cleared)
        left = [row for row in rows if row.kind in kinds and _concerns(row, recipient)]
        keys = {(recipient.user, row.id) for row in left}
        dismissed = await store.get_many(DISMISSED, keys)
        found += await shown([row for row in left if (recipient.user, row.id) not in dismissed])
        if len(rows) < wanted.limit or len(found) >= request.limit:
            return NotificationPage(sorted(found[: request.limit], reverse=True))
        last = rows[-1].id
        wanted = wanted.beyond(last)
    return NotificationPage(sorted(found, reverse=True), last)


def _concerns(row: NotificationEntry, recipient: Recipient) -> bool:
    """Not one's own post; nor one of before the account, when the handle was free."""
    return row.actor != recipient.user and (row.kind != MENTION or row.post > recipient.user)


async def _read_rows(
    store: ReadStore, recipient: Recipient, request: PageRequest, cleared: int
) -> list[NotificationEntry]:
    """The rows of the three tables within the bounds, each once, in the order of reading."""
    descending = not request.counts_from_oldest
    bounds: dict[str, Any] = {
        "above": max(request.lower_bound or 0, cleared),
        "below": request.max_id,
        "limit": request.limit,
        "descending": descending,
    }
    user = (recipient.user,)
    notices = await store.scan(NOTICES, user, index=BY_RECIPIENT, **bounds)
    answers = await store.scan(ANSWERS, user, index=BY_RECIPIENT, **bounds)
    mentions = await store.scan(MENTIONS, (recipient.handle,), index=BY_HANDLE, **bounds)
    rows = {NotificationEntry(row.id, row.kind, row.actor, row.post) for row in notices}
    rows.update(NotificationEntry(row.id, MENTION, row.actor, row.post) for row in answers)
    rows.update(NotificationEntry(row.id, MENTION, row.actor, row.post) for row in mentions)
    return sorted(rows, reverse=descending)[: request.limit]
