"""Which posts readers have marked: liked, or retweeted."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from events.ids.snowflake import time_ms
from projections.post_rows import LIKES, RETWEETS
from projections.store import BatchReads, KeyRange, ReadStore
from projections.tables import Key

_RANGE_READ_MS: Final = 7 * 86_400_000
"""Between posts that are less than a week apart nobody has marked very many others."""


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
    """At least which of the keys are in `LIKES`, and in `RETWEET_ENTRIES`, by one question.

    It asks for all that a viewer marked between the oldest and the newest of the posts, if these
    are about as old: one search in place of one for each post.
    """
    pages: dict[int, list[int]] = {}
    for viewer, post in keys:
        pages.setdefault(viewer, []).append(post)
    spans: list[KeyRange] = []
    for viewer, shown in pages.items():
        first, last = min(shown), max(shown)
        if time_ms(last) - time_ms(first) < _RANGE_READ_MS:
            spans.append(KeyRange(LIKES, (viewer,), below=last + 1, above=first - 1))
        else:
            spans += [KeyRange(LIKES, (viewer, post)) for post in shown]
    found = await store.scan_many([*spans, *(span._replace(table=RETWEETS) for span in spans)])
    liked, retweeted = (
        {row[:2] for rows in half for row in rows}
        for half in (found[: len(spans)], found[len(spans) :])
    )
    return liked, retweeted
