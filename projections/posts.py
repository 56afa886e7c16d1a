"""Posts and what they gathered: likes, retweets, comments.

A post's row follows from its author's events alone, a like's from the liker's. What several
people's events change is only ever added to, and only when one of those rows came or went. So
the same rows come out in whatever order the events of different people are projected; a like
may even come before its post.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from events.envelope import RecordedEvent
from events.ids.snowflake import time_ms
from events.schema import (
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostRemoved,
    PostRetweeted,
    PostUnliked,
    PostUnretweeted,
    UserDeleted,
)
from projections.invalidation import Invalidation, InvalidationKind
from projections.pages import PageRequest, read_page
from projections.projection import BatchRows, RowRead
from projections.store import BatchReads, Changes, KeyRange, OldSchema, ReadStore
from projections.tables import CounterTable, Key, Table

BY_AUTHOR: Final = ("author",)
BY_POST: Final = ("post", "id")
BY_USER: Final = ("user", "id")


class PostRow(NamedTuple):
    """A post or, where `reply_to` names another one, a comment.

    `hashtags` and `mentions` are JSON arrays of strings, `media` one of the event's objects;
    `edited` is the id of the newest edit, which has its time. A deleted post stays as a tombstone:
    `deleted` is 1, its texts are empty.
    """

    post: int
    author: int
    text: str
    reply_to: int | None
    hashtags: str
    mentions: str
    media: str
    edited: int | None = None
    deleted: int = 0
    sensitive: int = 0
    spoiler_text: str = ""
    language: str = ""


class CommentRow(NamedTuple):
    """`comment` is a comment on `post` that was not deleted."""

    post: int
    comment: int


class MarkRow(NamedTuple):
    """`user` likes, or retweeted, `post` since the event `id`."""

    user: int
    post: int
    id: int


class PostCounts(NamedTuple):
    """How often a post was liked, retweeted and commented on."""

    post: int
    likes: int
    retweets: int
    comments: int


class AuthorPostCount(NamedTuple):
    """How many posts and comments of an author there are."""

    author: int
    posts: int


class DeletedAccountRow(NamedTuple):
    """A deleted account: its posts and marks, should some arrive late, are ignored."""

    user: int


POSTS: Final[Table[PostRow]] = Table("posts", PostRow, key_size=1, indexes=(BY_AUTHOR,))
COMMENTS: Final[Table[CommentRow]] = Table("comments", CommentRow, key_size=2)
LIKES: Final[Table[MarkRow]] = Table("likes", MarkRow, key_size=2, indexes=(BY_POST, BY_USER))
RETWEETS: Final[Table[MarkRow]] = Table("retweets", MarkRow, key_size=2, indexes=(BY_POST,))
DELETED_ACCOUNTS: Final[Table[DeletedAccountRow]] = Table("gone", DeletedAccountRow, key_size=1)
POST_COUNTS: Final[CounterTable[PostCounts]] = CounterTable("counts", PostCounts, key_size=1)
AUTHOR_POST_COUNTS: Final[CounterTable[AuthorPostCount]] = CounterTable(
    "authored", AuthorPostCount, key_size=1
)

_encode = msgspec.json.Encoder().encode
_RANGE_READ_MS: Final = 7 * 86_400_000
"""Posts less than a week apart: no reader has marked very many others between them."""


class PostsProjection:
    """Keeps posts, comments, likes and retweets, and counts them."""

    name = "posts"
    version = 3
    event_types: tuple[type[Event], ...] = (
        PostLiked,
        PostUnliked,
        PostCreated,
        PostRetweeted,
        PostUnretweeted,
        PostEdited,
        PostDeleted,
        PostRemoved,
        UserDeleted,
    )
    tables: tuple[Table[Any] | CounterTable[Any], ...] = (
        POSTS, COMMENTS, LIKES, RETWEETS, DELETED_ACCOUNTS, POST_COUNTS, AUTHOR_POST_COUNTS,
    )  # fmt: skip

    def rows_to_read(self, recorded: RecordedEvent) -> Iterable[RowRead | KeyRange]:
        """The row that the event is about, and all of a user's when the account ends."""
        event = recorded.event
        if isinstance(event, PostLiked | PostUnliked):
            return (
                RowRead(LIKES, (event.user, event.post)),
                RowRead(DELETED_ACCOUNTS, (event.user,)),
            )
        if isinstance(event, PostCreated):
            return (RowRead(POSTS, (event.post,)), RowRead(DELETED_ACCOUNTS, (event.author,)))
        if isinstance(event, PostRetweeted | PostUnretweeted):
            return (
                RowRead(RETWEETS, (event.user, event.post)),
                RowRead(DELETED_ACCOUNTS, (event.user,)),
            )
        if isinstance(event, PostEdited | PostDeleted):
            return (RowRead(POSTS, (event.post,)),)
        if isinstance(event, UserDeleted):
            key = (event.user,)
            return (
                KeyRange(POSTS, key, order_by=BY_AUTHOR),
                KeyRange(LIKES, key),
                KeyRange(RETWEETS, key),
            )
        return ()

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        """Put or delete a row, and count it."""
        event = recorded.event
        if isinstance(event, PostLiked):
            _add_mark(LIKES, MarkRow(event.user, event.post, recorded.id), view)
        elif isinstance(event, PostCreated):
            _create_post(event, view)
        elif isinstance(event, PostRetweeted):
            _add_mark(RETWEETS, MarkRow(event.user, event.post, recorded.id), view)
        elif isinstance(event, PostUnliked):
            _remove_mark(LIKES, view.get(LIKES, (event.user, event.post)), view)
        elif isinstance(event, PostUnretweeted):
            _remove_mark(RETWEETS, view.get(RETWEETS, (event.user, event.post)), view)
        elif isinstance(event, PostEdited):
            _edit_post(event, recorded.id, view)
        elif isinstance(event, PostDeleted):
            _delete_post(view.get(POSTS, (event.post,)), view)
        elif isinstance(event, UserDeleted):
            view.put(DELETED_ACCOUNTS, DeletedAccountRow(event.user))
            for post in view.rows_in_range(KeyRange(POSTS, (event.user,), order_by=BY_AUTHOR)):
                _delete_post(post, view)
            for table in (LIKES, RETWEETS):
                for mark in view.rows_in_range(KeyRange(table, (event.user,))):
                    _remove_mark(table, mark, view)


def _add_mark(table: Table[MarkRow], mark: MarkRow, view: BatchRows) -> None:
    if view.get(table, mark[:2]) is None and view.get(DELETED_ACCOUNTS, mark[:1]) is None:
        view.put(table, mark)
        _count_mark(table, mark.post, 1, view)


def _remove_mark(table: Table[MarkRow], mark: MarkRow | None, view: BatchRows) -> None:
    if mark is not None:
        view.delete(table, mark[:2])
        _count_mark(table, mark.post, -1, view)


def _count_mark(table: Table[MarkRow], post: int, one: int, view: BatchRows) -> None:
    if table is LIKES:
        view.add(POST_COUNTS, (post,), one, 0, 0)
    else:
        view.add(POST_COUNTS, (post,), 0, one, 0)


def _create_post(event: PostCreated, view: BatchRows) -> None:
    if view.get(POSTS, (event.post,)) or view.get(DELETED_ACCOUNTS, (event.author,)):
        return
    lists = (
        _encode_names(event.hashtags),
        _encode_names(event.mentions),
        _encode(event.media).decode() if event.media else "[]",
    )
    row = PostRow(event.post, event.author, event.text, event.reply_to, *lists)
    view.put(POSTS, _with_warnings(row, event))
    view.add(AUTHOR_POST_COUNTS, (event.author,), 1)
    if event.reply_to is not None:
        view.put(COMMENTS, CommentRow(event.reply_to, event.post))
        view.add(POST_COUNTS, (event.reply_to,), 0, 0, 1)


def _edit_post(event: PostEdited, id: int, view: BatchRows) -> None:
    row = view.get(POSTS, (event.post,))
    if row is not None and not row.deleted:
        hashtags, mentions = _encode_names(event.hashtags), _encode_names(event.mentions)
        row = row._replace(text=event.text, hashtags=hashtags, mentions=mentions, edited=id)
        view.put(POSTS, _with_warnings(row, event))


def _with_warnings(row: PostRow, event: PostCreated | PostEdited) -> PostRow:
    return row._replace(
        sensitive=int(event.sensitive), spoiler_text=event.spoiler_text, language=event.language
    )


def _delete_post(row: PostRow | None, view: BatchRows) -> None:
    if row is None or row.deleted:
        return
    tombstone = PostRow(row.post, row.author, "", row.reply_to, "[]", "[]", "[]", row.edited, 1)
    view.put(POSTS, tombstone)
    view.add(AUTHOR_POST_COUNTS, (row.author,), -1)
    if row.reply_to is not None:
        view.delete(COMMENTS, (row.reply_to, row.post))
        view.add(POST_COUNTS, (row.reply_to,), 0, 0, -1)


def _encode_names(names: tuple[str, ...]) -> str:
    return _encode(names).decode() if names else "[]"


class PostWithCounts(NamedTuple):
    """A `PostRow` that was not deleted, with its counts."""

    post: int
    author: int
    text: str
    reply_to: int | None
    hashtags: str
    mentions: str
    media: str
    edited: int | None
    likes: int
    retweets: int
    comments: int
    sensitive: int = 0
    spoiler_text: str = ""
    language: str = ""


class LikedPost(NamedTuple):
    """A post that a user likes; `id` is the event's, and the cursor of pages."""

    id: int
    post: int


class MarkingUser(NamedTuple):
    """A user who liked or retweeted; `id` is the event's, and the cursor of pages."""

    id: int
    user: int


async def read_posts(store: ReadStore, posts: Collection[int]) -> Mapping[int, PostWithCounts]:
    """Those posts; deleted ones and unknown ids are absent."""
    keys = {(post,) for post in posts}
    rows = await store.get_many(POSTS, keys)
    counts = await store.get_many(POST_COUNTS, keys)
    return {
        row.post: PostWithCounts(
            *row[:8], *(counts[key][1:] if key in counts else (0, 0, 0)), *_warnings_of(row)
        )
        for key, row in rows.items()
        if not row.deleted
    }


def _warnings_of(row: PostRow) -> tuple[int, str, str]:
    """The last columns of a post; none where the view is of before there were any."""
    try:
        return row.sensitive, row.spoiler_text, row.language
    except OldSchema:
        return 0, "", ""


async def list_comments(store: ReadStore, post: int, request: PageRequest) -> list[int]:
    """The comments on a post that were not deleted, newest first."""
    return [row.comment for row in await read_page(store, COMMENTS, (post,), request)]


async def list_likers(store: ReadStore, post: int, request: PageRequest) -> list[MarkingUser]:
    """The users who like a post, the newest like first."""
    rows = await read_page(store, LIKES, (post,), request, index=BY_POST)
    return [MarkingUser(row.id, row.user) for row in rows]


async def list_retweeters(store: ReadStore, post: int, request: PageRequest) -> list[MarkingUser]:
    """The users who retweeted a post, the newest retweet first."""
    rows = await read_page(store, RETWEETS, (post,), request, index=BY_POST)
    return [MarkingUser(row.id, row.user) for row in rows]


async def list_liked(store: ReadStore, user: int, request: PageRequest) -> list[LikedPost]:
    """The posts that a user likes, the newest like first. Some may be deleted."""
    rows = await read_page(store, LIKES, (user,), request, index=BY_USER)
    return [LikedPost(row.id, row.post) for row in rows]


async def count_authored_posts(store: ReadStore, users: Collection[int]) -> Mapping[int, int]:
    """How many posts and comments each of the users has."""
    rows = await store.get_many(AUTHOR_POST_COUNTS, {(user,) for user in users})
    return {user: rows[user,].posts if (user,) in rows else 0 for user in users}


async def read_marks(
    store: ReadStore, keys: Collection[tuple[int, int]]
) -> Mapping[tuple[int, int], tuple[bool, bool]]:
    """(liked, retweeted), for each (viewer, post)."""
    if isinstance(store, BatchReads):
        liked, retweeted = await _read_marks_by_range(store, keys)
    else:
        liked = set(await store.get_many(LIKES, keys))
        retweeted = set(await store.get_many(RETWEETS, keys))
    return {key: (key in liked, key in retweeted) for key in keys}


async def _read_marks_by_range(store: BatchReads, keys: Iterable[Key]) -> tuple[set[Key], set[Key]]:
    """Those of the keys that are in `LIKES` and in `RETWEETS`, and maybe others, by one read.

    It reads all that a viewer marked between the oldest and the newest of the posts, if these are
    about as old: one search in place of one for each post.
    """
    posts_by_viewer: dict[int, list[int]] = {}
    for viewer, post in keys:
        posts_by_viewer.setdefault(viewer, []).append(post)
    ranges: list[KeyRange] = []
    for viewer, posts in posts_by_viewer.items():
        first, last = min(posts), max(posts)
        if time_ms(last) - time_ms(first) < _RANGE_READ_MS:
            ranges.append(KeyRange(LIKES, (viewer,), below=last + 1, above=first - 1))
        else:
            ranges += [KeyRange(LIKES, (viewer, post)) for post in posts]
    rows = await store.scan_many([*ranges, *(span._replace(table=RETWEETS) for span in ranges)])
    liked, retweeted = (
        {row[:2] for found in half for row in found}
        for half in (rows[: len(ranges)], rows[len(ranges) :])
    )
    return liked, retweeted


def find_invalidations(changes: Changes) -> Iterator[Invalidation]:
    """What API processes must drop from their caches after these changes."""
    posts = {post for (post,) in changes.puts.get(POSTS, ())}
    posts.update(post for (post,) in changes.increments.get(POST_COUNTS, ()))
    for post in posts:
        yield InvalidationKind.POST, post
    users: set[int] = set()
    for table in (LIKES, RETWEETS):
        users.update(user for user, _ in changes.puts.get(table, ()))
        users.update(user for user, _ in changes.deletes.get(table, ()))
    for user in users:
        yield InvalidationKind.MARKS, user
