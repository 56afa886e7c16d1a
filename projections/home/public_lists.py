"""Timelines that are the same for everybody, but for what a reader hides: a user's, all, a tag's.

Each lists posts and comments, newest first; retweets appear in home timelines alone.
"""

from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from events.hashtags import fold_hashtag
from projections.pages import PageRequest, read_page
from projections.store import ReadStore
from projections.tables import Key, Table
from projections.timeline import BY_AUTHOR, BY_TAG, HASHTAG_ENTRIES, POST_ENTRIES


class TimelineEntry(NamedTuple):
    """A line of a timeline. `id` is what cursors name: the post's, or the retweet event's."""

    id: int
    post: int
    retweeter: int | None = None


NONE_HIDDEN: AbstractSet[int] = frozenset()


async def read_user_timeline(
    store: ReadStore, author: int, asked: PageRequest
) -> list[TimelineEntry]:
    """What a user wrote. Whether the reader may see the user at all is the caller's question."""
    rows = await read_page(store, POST_ENTRIES, (author,), asked, index=BY_AUTHOR)
    return [TimelineEntry(row.post, row.post) for row in rows]


async def read_public_timeline(
    store: ReadStore, asked: PageRequest, hidden: AbstractSet[int] = NONE_HIDDEN
) -> list[TimelineEntry]:
    """All posts, without those of hidden authors."""
    return await _read_visible(store, POST_ENTRIES, (), None, asked, hidden)


async def read_hashtag_timeline(
    store: ReadStore, tag: str, asked: PageRequest, hidden: AbstractSet[int] = NONE_HIDDEN
) -> list[TimelineEntry]:
    """The posts that carry a hashtag, however it is written, without those of hidden authors."""
    return await _read_visible(store, HASHTAG_ENTRIES, (fold_hashtag(tag),), BY_TAG, asked, hidden)


async def _read_visible(
    store: ReadStore,
    table: Table[Any],
    prefix: Key,
    index: tuple[str, ...] | None,
    asked: PageRequest,
    hidden: AbstractSet[int],
) -> list[TimelineEntry]:
    """Pages of rows with a `post`, one after another until enough of them are visible."""
    found: list[TimelineEntry] = []
    while True:
        rows = await read_page(store, table, prefix, asked, index=index)
        posts = (
            rows
            if table is POST_ENTRIES
            else (await store.get_many(POST_ENTRIES, {(row.post,) for row in rows})).values()
        )
        visible = {row.post for row in posts if row.author not in hidden}
        kept = [TimelineEntry(row.post, row.post) for row in rows if row.post in visible]
        found = kept + found if asked.counts_from_oldest else found + kept
        if len(found) >= asked.limit or len(rows) < asked.limit:
            break
        if asked.counts_from_oldest:
            asked = asked._replace(min_id=rows[0].post)
        else:
            asked = asked._replace(max_id=rows[-1].post)
    return found[-asked.limit :] if asked.counts_from_oldest else found[: asked.limit]
