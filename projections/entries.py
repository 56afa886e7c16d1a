"""Timelines that are the same for everybody, but for what a reader hides: a user's, all, a tag's.

Each lists posts and comments, newest first; retweets appear in home timelines alone.
"""

from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from events.tags import fold
from projections.pages import Page, page
from projections.store import ReadStore
from projections.tables import Key, Table
from projections.timeline import BY_AUTHOR, BY_TAG, POSTED, TAGGED


class Entry(NamedTuple):
    """A line of a timeline. `id` is what cursors name: the post's, or the retweet event's."""

    id: int
    post: int
    retweeter: int | None = None


NOBODY: AbstractSet[int] = frozenset()


async def user(store: ReadStore, author: int, asked: Page) -> list[Entry]:
    """What a user wrote. Whether the reader may see the user at all is the caller's question."""
    rows = await page(store, POSTED, (author,), asked, index=BY_AUTHOR)
    return [Entry(row.post, row.post) for row in rows]


async def public(store: ReadStore, asked: Page, hidden: AbstractSet[int] = NOBODY) -> list[Entry]:
    """All posts, without those of hidden authors."""
    return await _visible(store, POSTED, (), None, asked, hidden)


async def hashtag(
    store: ReadStore, tag: str, asked: Page, hidden: AbstractSet[int] = NOBODY
) -> list[Entry]:
    """The posts that carry a hashtag, however it is written, without those of hidden authors."""
    return await _visible(store, TAGGED, (fold(tag),), BY_TAG, asked, hidden)


async def _visible(
    store: ReadStore,
    table: Table[Any],
    prefix: Key,
    index: tuple[str, ...] | None,
    asked: Page,
    hidden: AbstractSet[int],
) -> list[Entry]:
    """Pages of rows with a `post`, one after another until enough of them are visible."""
    found: list[Entry] = []
    while True:
        rows = await page(store, table, prefix, asked, index=index)
        posts = (
            rows
            if table is POSTED
            else (await store.get_many(POSTED, {(row.post,) for row in rows})).values()
        )
        visible = {row.post for row in posts if row.author not in hidden}
        kept = [Entry(row.post, row.post) for row in rows if row.post in visible]
        found = kept + found if asked.from_the_oldest else found + kept
        if len(found) >= asked.limit or len(rows) < asked.limit:
            break
        if asked.from_the_oldest:
            asked = asked._replace(min_id=rows[0].post)
        else:
            asked = asked._replace(max_id=rows[-1].post)
    return found[-asked.limit :] if asked.from_the_oldest else found[: asked.limit]
