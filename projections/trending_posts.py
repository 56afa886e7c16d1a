"""Posts that many like and retweet just now.

It needs no view of its own: among the newest retweets and the newest posts are all that can be
talked of now. What a post gathered counts the less the older it is, half after a day.
"""

from heapq import nsmallest
from typing import Final

from events.ids.snowflake import first_id_at, time_ms
from projections.posts import read_posts
from projections.store import ReadStore
from projections.timeline import POST_ENTRIES, RETWEET_ENTRIES

MAX_AGE_MS: Final = 7 * 86_400_000
"""How old a post may be."""

_HALF_LIFE_MS: Final = 86_400_000
_RETWEETS: Final = 1000
_POSTS: Final = 200
"""The newest that are looked at."""


async def find_trending_posts(
    timeline: ReadStore, posts: ReadStore, now_ms: int, limit: int
) -> list[int]:
    """Posts and comments, the most talked of first, newer ones before equal older ones.

    `timeline` and `posts` are the stores of these projections.
    """
    oldest = first_id_at(now_ms - MAX_AGE_MS)
    retweets = await timeline.scan(
        RETWEET_ENTRIES, above=oldest - 1, limit=_RETWEETS, descending=True
    )
    newest = await timeline.scan(POST_ENTRIES, above=oldest - 1, limit=_POSTS, descending=True)
    wanted = {row.post for row in retweets if row.post >= oldest} | {row.post for row in newest}
    scores = {
        row.post: (row.likes + row.retweets) * 0.5 ** ((now_ms - time_ms(row.post)) / _HALF_LIFE_MS)
        for row in (await read_posts(posts, wanted)).values()
        if row.likes + row.retweets > 0
    }
    return nsmallest(limit, scores, key=lambda post: (-scores[post], -post))
