"""The posts around one: what it answers, and what answers it."""

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Final, NamedTuple

from projections.posts import COMMENTS, POSTS, PostWithCounts, read_posts
from projections.store import ReadStore

MAX_ANCESTORS: Final = 40
MAX_DESCENDANTS: Final = 200
MAX_DEPTH: Final = 20
"""Levels of answers below a post."""


class PostThread(NamedTuple):
    """The ids of the posts above and below one.

    `ancestors` go from the root (or the 40th above) down to what the post answers. `descendants`
    are depth first: each post is followed by the answers to it, the oldest first.
    """

    ancestors: Sequence[int]
    descendants: Sequence[int]


async def read_thread(store: ReadStore, post: int, hidden: Set[int]) -> PostThread:
    """The thread of a post, without what authors in `hidden` wrote.

    A deleted or hidden post above leaves a gap; below, what answers it is left out with it. Where
    there are more than `MAX_DESCENDANTS`, higher levels go before lower ones and older answers
    before newer ones.
    """
    return PostThread(
        await _find_ancestors(store, post, hidden), await _find_descendants(store, post, hidden)
    )


async def _find_ancestors(store: ReadStore, post: int, hidden: Set[int]) -> list[int]:
    ancestors: list[int] = []
    row = await store.get(POSTS, (post,))
    for _ in range(MAX_ANCESTORS):
        if row is None or row.reply_to is None:
            break
        row = await store.get(POSTS, (row.reply_to,))
        if row is not None and not row.deleted and row.author not in hidden:
            ancestors.append(row.post)
    return ancestors[::-1]


async def _find_descendants(store: ReadStore, post: int, hidden: Set[int]) -> list[int]:
    answers: dict[int, list[int]] = {}
    level: Sequence[int] = [post]
    left = MAX_DESCENDANTS
    for _ in range(MAX_DEPTH):
        found: dict[int, list[int]] = {}
        for parent in level:
            # Some may be hidden: more of them than are left are not worth reading.
            rows = await store.scan(COMMENTS, (parent,), limit=MAX_DESCENDANTS)
            found[parent] = [row.comment for row in rows]
        posts = await _visible_posts(store, [id for ids in found.values() for id in ids], hidden)
        kept = sorted(posts)[:left]
        left -= len(kept)
        shown = frozenset(kept)
        answers |= {parent: [id for id in ids if id in shown] for parent, ids in found.items()}
        level = [id for id in kept if posts[id].comments]
        if not level or not left:
            break
    return _depth_first(answers, post)


async def _visible_posts(
    store: ReadStore, ids: Collection[int], hidden: Set[int]
) -> Mapping[int, PostWithCounts]:
    posts = await read_posts(store, ids) if ids else {}
    return {id: post for id, post in posts.items() if post.author not in hidden}


def _depth_first(answers: Mapping[int, Sequence[int]], root: int) -> list[int]:
    ordered: list[int] = []
    waiting = list(reversed(answers.get(root, ())))
    while waiting:
        post = waiting.pop()
        ordered.append(post)
        waiting.extend(reversed(answers.get(post, ())))
    return ordered
