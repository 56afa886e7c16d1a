"""Posts to read: what those whom a reader follows liked and retweeted in the last days.

It needs no view of its own: the likes and retweets of one account are a range of the view `posts`,
in the order of the posts' ids, which have their times.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from math import sqrt
from typing import Any, Final, Literal, NamedTuple

from events.ids.snowflake import first_id_at
from projections.baskets import counted_follows, pack_basket
from projections.posts import BY_AUTHOR, LIKES, POSTS, RETWEETS, MarkRow, read_posts
from projections.store import BatchReads, KeyRange, ReadStore

MAX_AGE_MS: Final = 3 * 86_400_000
"""How old a post may be."""

MAX_MARKING: Final = 64
"""Of those that a reader follows, how many are asked for what they liked and retweeted."""

MARKS_PER_ACCOUNT: Final = 50
"""The newest likes of each, and as many retweets."""

_RANKED: Final = 400
"""Posts whose authors are looked up."""


class RecommendedPost(NamedTuple):
    """A post, and the users among those whom the reader follows who liked or retweeted it."""

    post: int
    kind: Literal["liked_by", "retweeted_by"]
    users: tuple[int, ...]


async def recommend_posts(
    store: ReadStore,
    reader: int,
    following: Collection[int],
    hidden: AbstractSet[int],
    now_ms: int,
    limit: int,
    left_out: AbstractSet[int] = frozenset(),
) -> list[RecommendedPost]:
    """Posts for a reader, the best first, of the view `posts`.

    A like or retweet counts the less the more its user gave (by the square root), equal posts come
    newest first. Never a post by the reader, by one they follow (their home timeline has it) or by
    one of `hidden`, one that the reader liked, retweeted or commented on, a deleted one, or one of
    `left_out`.
    """
    oldest = first_id_at(now_ms - MAX_AGE_MS)
    sources = counted_follows(reader, pack_basket(set(following) - hidden), MAX_MARKING)
    likes, retweets = await _read_marks(store, sources, oldest)
    scores: dict[int, float] = defaultdict(float)
    for user in sources:
        given = likes[user] | retweets[user]
        for post in given:
            scores[post] += 1 / sqrt(len(given))
    seen = await _seen_posts(store, reader, oldest)
    possible = scores.keys() - seen - left_out
    ranked = sorted(possible, key=lambda post: (-scores[post], -post))[:_RANKED]
    posts = await read_posts(store, ranked)
    not_for_reader = {reader, *following, *hidden}
    best = [post for post in ranked if post in posts and posts[post].author not in not_for_reader]
    return [_explain(post, sources, likes, retweets) for post in best[:limit]]


def _explain(
    post: int,
    sources: Sequence[int],
    likes: dict[int, set[int]],
    retweets: dict[int, set[int]],
) -> RecommendedPost:
    liking = tuple(user for user in sources if post in likes[user])
    retweeting = tuple(user for user in sources if post in retweets[user])
    if len(liking) > len(retweeting):
        return RecommendedPost(post, "liked_by", liking)
    return RecommendedPost(post, "retweeted_by", retweeting)


async def _read_marks(
    store: ReadStore, users: Sequence[int], oldest: int
) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """What each of the users likes and retweeted, of posts with that id or a newer one."""
    spans = [
        KeyRange(table, (user,), above=oldest - 1) for table in (LIKES, RETWEETS) for user in users
    ]
    found: list[list[Any]]
    if isinstance(store, BatchReads):
        found = await store.scan_many(spans)
        for rows in found:
            rows.sort(reverse=True)
    else:
        found = [
            await store.scan(
                span.table, span.prefix, above=span.above, limit=MARKS_PER_ACCOUNT, descending=True
            )
            for span in spans
        ]
    marked = [{row.post for row in rows[:MARKS_PER_ACCOUNT]} for rows in found]
    return (
        dict(zip(users, marked[: len(users)], strict=True)),
        dict(zip(users, marked[len(users) :], strict=True)),
    )


async def _seen_posts(store: ReadStore, reader: int, oldest: int) -> set[int]:
    """The posts that the reader liked, retweeted or commented on."""
    marks: list[MarkRow] = []
    for table in (LIKES, RETWEETS):
        marks += await store.scan(table, (reader,), above=oldest - 1)
    own = await store.scan(POSTS, (reader,), index=BY_AUTHOR, above=oldest - 1)
    return {mark.post for mark in marks} | {row.reply_to for row in own if row.reply_to is not None}
