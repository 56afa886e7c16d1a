"""Posts and what they gathered: likes, retweets, comments.

A post's row follows from its author's events alone, a like's from the liker's. What several
people's events change is only ever added to, and only when one of those rows came or went. So
the same rows come out in whatever order the events of different people are projected; a like
may even come before its post.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from events.recorded import Recorded
from events.schema import (
    Event,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostRetweeted,
    PostUnliked,
    PostUnretweeted,
    UserDeleted,
)
from projections.pages import Page, page
from projections.post_rows import (
    AUTHORED,
    BY_AUTHOR,
    BY_POST,
    COMMENTS,
    COUNTS,
    GONE,
    LIKES,
    POSTS,
    RETWEETS,
    CommentRow,
    Gone,
    Mark,
    PostRow,
)
from projections.projection import Need, View
from projections.store import ReadStore, Span
from projections.tables import Table, Tally

_Needs = Iterable[Need | Span]
_encode = msgspec.json.Encoder().encode


class Posts:
    """The projection."""

    name = "posts"
    version = 1
    takes: tuple[type[Event], ...] = (
        PostLiked,
        PostUnliked,
        PostCreated,
        PostRetweeted,
        PostUnretweeted,
        PostEdited,
        PostDeleted,
        UserDeleted,
    )
    tables: tuple[Table[Any] | Tally[Any], ...] = (
        POSTS, COMMENTS, LIKES, RETWEETS, GONE, COUNTS, AUTHORED,
    )  # fmt: skip

    def needs(self, recorded: Recorded) -> _Needs:
        """The row that the event is about, and all of a user's when the account ends."""
        event = recorded.event
        if isinstance(event, PostLiked | PostUnliked):
            return (Need(LIKES, (event.user, event.post)), Need(GONE, (event.user,)))
        if isinstance(event, PostCreated):
            return (Need(POSTS, (event.post,)), Need(GONE, (event.author,)))
        if isinstance(event, PostRetweeted | PostUnretweeted):
            return (Need(RETWEETS, (event.user, event.post)), Need(GONE, (event.user,)))
        if isinstance(event, PostEdited | PostDeleted):
            return (Need(POSTS, (event.post,)),)
        if isinstance(event, UserDeleted):
            mine = (event.user,)
            return (Span(POSTS, mine, by=BY_AUTHOR), Span(LIKES, mine), Span(RETWEETS, mine))
        return ()

    def project(self, recorded: Recorded, view: View) -> None:
        """Put or take back a row, and count what came or went."""
        event = recorded.event
        if isinstance(event, PostLiked):
            _mark(LIKES, Mark(event.user, event.post, recorded.id), view)
        elif isinstance(event, PostCreated):
            _create(event, view)
        elif isinstance(event, PostRetweeted):
            _mark(RETWEETS, Mark(event.user, event.post, recorded.id), view)
        elif isinstance(event, PostUnliked):
            _unmark(LIKES, view.get(LIKES, (event.user, event.post)), view)
        elif isinstance(event, PostUnretweeted):
            _unmark(RETWEETS, view.get(RETWEETS, (event.user, event.post)), view)
        elif isinstance(event, PostEdited):
            _edit(event, recorded.id, view)
        elif isinstance(event, PostDeleted):
            _delete(view.get(POSTS, (event.post,)), view)
        elif isinstance(event, UserDeleted):
            view.put(GONE, Gone(event.user))
            for post in view.scan(Span(POSTS, (event.user,), by=BY_AUTHOR)):
                _delete(post, view)
            for table in (LIKES, RETWEETS):
                for mark in view.scan(Span(table, (event.user,))):
                    _unmark(table, mark, view)


def _mark(table: Table[Mark], mark: Mark, view: View) -> None:
    if view.get(table, mark[:2]) is None and view.get(GONE, mark[:1]) is None:
        view.put(table, mark)
        _count(table, mark.post, 1, view)


def _unmark(table: Table[Mark], mark: Mark | None, view: View) -> None:
    if mark is not None:
        view.delete(table, mark[:2])
        _count(table, mark.post, -1, view)


def _count(table: Table[Mark], post: int, one: int, view: View) -> None:
    if table is LIKES:
        view.add(COUNTS, (post,), one, 0, 0)
    else:
        view.add(COUNTS, (post,), 0, one, 0)


def _create(event: PostCreated, view: View) -> None:
    if view.get(POSTS, (event.post,)) or view.get(GONE, (event.author,)):
        return
    lists = (_json(event.hashtags), _json(event.mentions), _json(event.media))
    view.put(POSTS, PostRow(event.post, event.author, event.text, event.reply_to, *lists))
    view.add(AUTHORED, (event.author,), 1)
    if event.reply_to is not None:
        view.put(COMMENTS, CommentRow(event.reply_to, event.post))
        view.add(COUNTS, (event.reply_to,), 0, 0, 1)


def _edit(event: PostEdited, id: int, view: View) -> None:
    row = view.get(POSTS, (event.post,))
    if row is not None and not row.deleted:
        hashtags, mentions = _json(event.hashtags), _json(event.mentions)
        view.put(
            POSTS,
            row._replace(text=event.text, hashtags=hashtags, mentions=mentions, edited=id),
        )


def _delete(row: PostRow | None, view: View) -> None:
    if row is None or row.deleted:
        return
    tombstone = PostRow(row.post, row.author, "", row.reply_to, "[]", "[]", "[]", row.edited, 1)
    view.put(POSTS, tombstone)
    view.add(AUTHORED, (row.author,), -1)
    if row.reply_to is not None:
        view.delete(COMMENTS, (row.reply_to, row.post))
        view.add(COUNTS, (row.reply_to,), 0, 0, -1)


def _json(names: tuple[str, ...]) -> str:
    return _encode(names).decode() if names else "[]"


class Post(NamedTuple):
    """A post to be shown, with its counts; see `PostRow`."""

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


class Marker(NamedTuple):
    """Who liked or retweeted; `id` is the event's, and the cursor of pages."""

    id: int
    user: int


async def by_ids(store: ReadStore, posts: Collection[int]) -> Mapping[int, Post]:
    """Those posts; deleted ones and unknown ids are absent."""
    keys = {(post,) for post in posts}
    rows = await store.get_many(POSTS, keys)
    counts = await store.get_many(COUNTS, keys)
    return {
        row.post: Post(*row[:8], *(counts[key][1:] if key in counts else (0, 0, 0)))
        for key, row in rows.items()
        if not row.deleted
    }


async def comments(store: ReadStore, post: int, asked: Page) -> list[int]:
    """The comments on a post that were not deleted, newest first."""
    return [row.comment for row in await page(store, COMMENTS, (post,), asked)]


async def likers(store: ReadStore, post: int, asked: Page) -> list[Marker]:
    """Who likes a post, the newest like first."""
    rows = await page(store, LIKES, (post,), asked, index=BY_POST)
    return [Marker(row.id, row.user) for row in rows]


async def retweeters(store: ReadStore, post: int, asked: Page) -> list[Marker]:
    """Who retweeted a post, the newest retweet first."""
    rows = await page(store, RETWEETS, (post,), asked, index=BY_POST)
    return [Marker(row.id, row.user) for row in rows]


async def authored(store: ReadStore, users: Collection[int]) -> Mapping[int, int]:
    """How many posts and comments each of the users has."""
    rows = await store.get_many(AUTHORED, {(user,) for user in users})
    return {user: rows[user,].posts if (user,) in rows else 0 for user in users}
