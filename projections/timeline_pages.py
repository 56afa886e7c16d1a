"""The timelines of a user, of all users and of a hashtag, read page by page from the tables.

Each stops after a bounded number of rows that the reader does not see, and says how far it came.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from events.hashtags import fold_hashtag
from projections.pages import PageRequest, read_page
from projections.store import BatchReads, IndexScans, ReadStore
from projections.tables import Key, Table
from projections.timeline import (
    BY_ACTOR,
    BY_AUTHOR,
    BY_TAG,
    DELETED_POSTS,
    HASHTAG_ENTRIES,
    MAX_SCANNED_ROWS,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    RETWEETS_BY_USER,
    UNDONE_RETWEETS,
    EntryPage,
    RetweetEntry,
    TimelineEntry,
)

_LEAST_CHUNK: Final = 64
_LARGEST_CHUNK: Final = 512
"""Rows that are read at once after the first ones: some milliseconds in which no other request of
the process is answered."""


class _Chunk(NamedTuple):
    """A part of a list: the entries that the reader sees, newest first, and the rows it took.

    `end` is the id up to which the list was read, None where there is no more.
    """

    visible: list[TimelineEntry]
    rows_read: int
    end: int | None


_ReadChunk = Callable[[PageRequest], Awaitable[_Chunk]]


async def read_user_timeline(
    store: ReadStore, user: int, request: PageRequest, hidden: AbstractSet[int] = frozenset()
) -> EntryPage:
    """The posts and comments of a user, and what the user retweeted of others who aren't hidden.

    Cursors are ids of entries, or of posts: a post that the user retweeted, or did until lately,
    stands for the retweet. Whether the reader may see the user, the caller checks.
    """
    resolved = await _resolve_cursors(store, user, request)
    return await _read_visible(resolved, lambda chunk: _user_chunk(store, user, chunk, hidden))


async def read_public_timeline(
    store: ReadStore, request: PageRequest, hidden: AbstractSet[int] = frozenset()
) -> EntryPage:
    """All posts and comments, without those of hidden authors."""
    return await _read_visible(
        request, lambda chunk: _posts_chunk(store, POST_ENTRIES, (), None, chunk, hidden)
    )


async def read_hashtag_timeline(
    store: ReadStore, tag: str, request: PageRequest, hidden: AbstractSet[int] = frozenset()
) -> EntryPage:
    """What carries a hashtag, in whatever case it is written, without hidden authors."""
    prefix = (fold_hashtag(tag),)
    return await _read_visible(
        request, lambda chunk: _posts_chunk(store, HASHTAG_ENTRIES, prefix, BY_TAG, chunk, hidden)
    )


async def list_own_posts(
    store: ReadStore, author: int, request: PageRequest
) -> list[TimelineEntry]:
    """The posts and comments of an author, the newest first."""
    rows = await read_page(store, POST_ENTRIES, (author,), request, index=BY_AUTHOR)
    return [TimelineEntry(row.post, row.post) for row in rows]


async def list_own_retweets(
    store: ReadStore, user: int, request: PageRequest
) -> list[TimelineEntry]:
    """All that a user retweets, own posts too, the newest retweet first. Some may be deleted."""
    rows = await read_page(store, RETWEET_ENTRIES, (user,), request, index=BY_ACTOR)
    return [TimelineEntry(row.id, row.post, user) for row in rows]


async def find_newest_posts(store: ReadStore, users: Collection[int]) -> Mapping[int, int]:
    """The newest post or comment of each of the users who has one."""
    rows: list[list[Any]]
    if isinstance(store, BatchReads):
        scans = [IndexScans(POST_ENTRIES, (user,), BY_AUTHOR) for user in users]
        rows = await store.merge_scans(scans, limit=1, descending=True)
    else:
        rows = [
            await store.scan(POST_ENTRIES, (user,), index=BY_AUTHOR, limit=1, descending=True)
            for user in users
        ]
    return {row.author: row.post for found in rows for row in found}


async def _read_visible(request: PageRequest, read_chunk: _ReadChunk) -> EntryPage:
    """Read one chunk after another, until enough entries are visible or `MAX_SCANNED_ROWS` were
    read. Most pages take one chunk, of the page's own size."""
    visible, chunk, scanned = EntryPage(), request, 0
    upwards = request.counts_from_oldest
    while True:
        more, rows_read, end = await read_chunk(chunk)
        visible[:] = more + visible if upwards else visible + more
        scanned += rows_read
        if len(visible) >= request.limit or end is None:
            break
        if scanned >= MAX_SCANNED_ROWS:
            visible.scanned_to = end
            break
        chunk = chunk._replace(limit=min(max(4 * chunk.limit, _LEAST_CHUNK), _LARGEST_CHUNK))
        chunk = chunk.beyond(end)
        await asyncio.sleep(0)  # a store in this process answers without letting other tasks run
    if len(visible) > request.limit:
        visible[:] = visible[-request.limit :] if upwards else visible[: request.limit]
    return visible


async def _posts_chunk(
    store: ReadStore,
    table: Table[Any],
    prefix: Key,
    index: tuple[str, ...] | None,
    request: PageRequest,
    hidden: AbstractSet[int],
) -> _Chunk:
    """Rows with a `post` that is there, by an author who isn't hidden."""
    rows = await read_page(store, table, prefix, request, index=index)
    if table is POST_ENTRIES:
        authors = {row.post: row.author for row in rows}
    else:
        authors = await read_authors(store, [row.post for row in rows])
    visible = [
        TimelineEntry(row.post, row.post)
        for row in rows
        if row.post in authors and authors[row.post] not in hidden
    ]
    return _Chunk(visible, len(rows), _end_of([row.post for row in rows], request))


async def _user_chunk(
    store: ReadStore, user: int, request: PageRequest, hidden: AbstractSet[int]
) -> _Chunk:
    """A user's posts and retweets. One's own post stands where it was posted, retweeted or not."""
    posts = await read_page(store, POST_ENTRIES, (user,), request, index=BY_AUTHOR)
    retweets = await read_page(store, RETWEET_ENTRIES, (user,), request, index=BY_ACTOR)
    authors = await read_authors(store, [row.post for row in retweets])
    entries = [TimelineEntry(row.post, row.post) for row in posts] + [
        TimelineEntry(row.id, row.post, user)
        for row in retweets
        if row.post in authors and authors[row.post] not in hidden | {user}
    ]
    # Where one of the two has more, the other one is only good as far as that was read.
    ends = [
        end
        for ids in ([row.post for row in posts], [row.id for row in retweets])
        if (end := _end_of(ids, request)) is not None
    ]
    end = (min(ends) if request.counts_from_oldest else max(ends)) if ends else None
    if end is not None:
        sign = 1 if request.counts_from_oldest else -1
        entries = [entry for entry in entries if sign * entry.id <= sign * end]
    entries.sort(key=lambda entry: entry.id, reverse=True)
    return _Chunk(entries, len(posts) + len(retweets), end)


def _end_of(ids: Sequence[int], request: PageRequest) -> int | None:
    """How far a list was read of which these are the rows, newest first; None at its end."""
    if len(ids) < request.limit:
        return None
    return ids[0 if request.counts_from_oldest else -1]


async def read_authors(store: ReadStore, posts: Collection[int]) -> dict[int, int]:
    """The authors of those of the posts that are there."""
    rows = await store.get_many(POST_ENTRIES, {(post,) for post in posts}) if posts else {}
    return {row.post: row.author for row in rows.values()}


async def _resolve_cursors(store: ReadStore, user: int, request: PageRequest) -> PageRequest:
    """The request with ids of entries for those of posts that the user retweets or retweeted."""
    cursors = (request.max_id, request.since_id, request.min_id)
    named = {id for id in cursors if id is not None}
    if not named:
        return request
    undone = await store.get_many(UNDONE_RETWEETS, {(id, user) for id in named})
    retweets = await store.get_many(RETWEETS_BY_USER, {(user, id) for id in named})
    places = {row.post: row.id for row in undone.values()}
    places |= {row.post: row.id for row in retweets.values()}
    if places:
        posts = {(post,) for post in places}
        here = (await store.get_many(POST_ENTRIES, posts)).values()
        gone = (await store.get_many(DELETED_POSTS, posts)).values()
        for post, author in (*here, *gone):
            if author == user:
                del places[post]  # one's own post stands where it was posted
    bounds = (None if id is None else places.get(id, id) for id in cursors)
    return PageRequest(request.limit, *bounds)


async def find_retweets(store: ReadStore, ids: Collection[int]) -> Mapping[int, RetweetEntry]:
    """The retweets that are entries under these ids."""
    rows = await store.get_many(RETWEET_ENTRIES, {(id,) for id in ids})
    return {row.id: row for row in rows.values()}


async def find_retweet_by(store: ReadStore, user: int, post: int) -> int | None:
    """The entry's id of a user's retweet of a post; None where there is none."""
    row = await store.get(RETWEETS_BY_USER, (user, post))
    return row.id if row is not None else None
