"""Which posts are in conversations that a reader mutes.

A mute holds for a post and for all below it, and what a post answers never changes. So a post is
muted where it, or one above it, is. For readers who mute none, nothing is looked up.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from api.ports import Ports
from api.views.cache import IdCache
from projections.batch_loader import BatchLoader
from projections.invalidation import InvalidationKind
from projections.personal_records import find_muted, mutes_conversations
from projections.posts import POSTS

MAX_LEVELS: Final = 200
"""Posts above one that are looked at: a thread is muted at the highest of them."""
CACHED_READERS: Final = 20_000
CACHED_PARENTS: Final = 50_000


class MutedConversations:
    """Looks up mutes, from caches that follow the projector's invalidations."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._muting = IdCache(CACHED_READERS, self._fetch_muting)
        self._parents = IdCache(CACHED_PARENTS, BatchLoader(self._fetch_parents))

    def hear_invalidations(self, changes: Sequence[tuple[int, int]] | None) -> None:
        """Drop what changed; None is everything."""
        if changes is None:
            self._muting.clear()
            return
        for kind, id in changes:
            if kind == InvalidationKind.MARKS:
                self._muting.invalidate(id)

    async def muted_among(self, reader: int, posts: Collection[int]) -> frozenset[int]:
        """Those of the posts that are in conversations which a reader mutes."""
        if not posts or not (await self._muting.get((reader,)))[reader]:
            return frozenset()
        lines = await self._lines(posts)
        store = self._ports.views.current_store("personal_records")
        muted = await find_muted(store, reader, {post for line in lines.values() for post in line})
        return frozenset(post for post, line in lines.items() if not muted.isdisjoint(line))

    async def first_post(self, post: int) -> int:
        """The post that began the conversation of a post."""
        return (await self._lines((post,)))[post][-1]

    async def mutes_of(self, reader: int, post: int) -> set[int]:
        """The posts at which a reader mutes the conversation of a post."""
        line = (await self._lines((post,)))[post]
        return await find_muted(self._ports.views.current_store("personal_records"), reader, line)

    async def _lines(self, posts: Collection[int]) -> Mapping[int, Sequence[int]]:
        """Each of the posts with those above it, up to the first of the thread."""
        lines = {post: [post] for post in posts}
        growing = list(lines.values())
        for _ in range(MAX_LEVELS):
            parents = await self._parents.get({line[-1] for line in growing})
            growing = [line for line in growing if parents.get(line[-1])]
            if not growing:
                break
            for line in growing:
                line.append(parents[line[-1]])
        return lines

    async def _fetch_muting(self, readers: Collection[int]) -> Mapping[int, bool]:
        store = self._ports.views.current_store("personal_records")
        return {reader: await mutes_conversations(store, reader) for reader in readers}

    async def _fetch_parents(self, posts: Collection[int]) -> Mapping[int, int]:
        """What each post answers, or 0. Deleted posts are there, too."""
        store = self._ports.views.current_store("posts")
        rows = await store.get_many(POSTS, {(post,) for post in posts})
        return {row.post: row.reply_to or 0 for row in rows.values()}
