"""Which entries of a home timeline a reader sees, from facts about entries kept in memory.

A post shows once, at its oldest visible entry: the original where the reader follows its author (or
is it), else the earliest retweet by a user whom the reader follows. So what was shown stays where
it was when another user retweets it, and a walk through the pages meets each post once.

Whether an entry shows does not depend on its neighbours, so a page can start anywhere. One thing
depends on the pages before: a retweet whose id is older than its post's (`ShownPages.shown_above`).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from projections.home.shown_pages import ShownPages
from projections.home.viewer import ViewerContext
from projections.invalidation import InvalidationKind
from projections.pages import EntryBounds, PageRequest
from projections.store import ReadStore
from projections.tables import Row, Table
from projections.timeline import (
    BY_POST,
    DELETED_POSTS,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    RETWEETS_BY_USER,
    UNDONE_RETWEETS,
    EntryPage,
    SignedEntry,
    TimelineEntry,
    UndoneRetweet,
)

MAX_CACHED_RETWEETS: Final = 500
"""Retweets of a post above which they are not all cached, but looked up reader by reader."""
_MAX_UNDONE: Final = 1000
"""Undone retweets of a post that are looked at."""
NO_USER: Final = 0
"""Stands for the author of a post, or the maker of a retweet, that does not exist."""
_NO_RETWEET: Final = (NO_USER, 0)
_UNDONE: Final = -1
"""In the place of an `InvalidationKind`, for tickets: the undone retweets of a post."""


class ManyRetweets:
    """More than `MAX_CACHED_RETWEETS` retweets of a post, as they were at one moment."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class ReaderState:
    """What is cached for one reader."""

    context: ViewerContext
    first_retweets: dict[int, tuple[ManyRetweets, int, int]] = field(default_factory=dict)
    """Under a post with many retweets, the earliest by one of the followed, or 0; and the newest by
    one of the hidden, or 0."""
    shown: ShownPages = field(default_factory=ShownPages)
    page_key: object = None
    """The request that `page` answers, and the state of everything that it was made from."""
    page: EntryPage = field(default_factory=EntryPage)


class EntryCache:
    """Facts about entries, shared by all readers, bounded, and dropped when they change.

    Each question has two methods: one answers from memory, without awaiting, or gives None where a
    fact is missing (`find_bounds`, `visible_entries`); the other reads missing facts from the
    durable tables until the first one can answer (`load_bounds`, `load_visible`).
    """

    def __init__(self, current_store: Callable[[], ReadStore], max_facts: int = 200_000) -> None:
        self._current_store = current_store
        self.post_authors: dict[int, int] = {}
        """The author of each post; `NO_USER` where there is no such post (any more)."""
        self._retweet_entries: dict[int, tuple[int, int]] = {}
        """Under a retweet's entry id, its user and its post."""
        self._retweets_by_post: dict[int, dict[int, int] | ManyRetweets] = {}
        """Under a post, the users who retweeted it, and the entry ids of that."""
        self._deleted_post_authors: dict[int, int] = {}
        """The author of each post that was deleted; `NO_USER` for what never was a post."""
        self._undone_retweets: dict[int, list[UndoneRetweet]] = {}
        """Under a post that a cursor named and no retweet shows, its retweets that are gone."""
        self.generation = 0
        """Grows whenever an answer may differ although no ring and no context changed."""
        self._max_facts = max_facts
        self._load_tickets: dict[tuple[int, int], object] = {}
        """Under (`InvalidationKind`, id), a ticket for those who are reading it."""

    def invalidate(self, kind: int, id: int) -> None:
        """Drop what changed."""
        self._load_tickets.pop((kind, id), None)
        if kind == InvalidationKind.ENTRY:
            author, retweet = self.post_authors.pop(id, None), self._retweet_entries.pop(id, None)
            self._deleted_post_authors.pop(id, None)
            self.generation += author is not None or retweet is not None
        elif kind == InvalidationKind.RETWEETS:
            self._load_tickets.pop((_UNDONE, id), None)
            retweets = self._retweets_by_post.pop(id, None)
            undone = self._undone_retweets.pop(id, None)
            self.generation += retweets is not None or undone is not None

    def add_entry(self, entry: SignedEntry, likely_read: bool) -> None:
        """Note the facts of a new entry, where a reader is likely to need them."""
        id, actor, post = entry
        self.invalidate(InvalidationKind.ENTRY, abs(id))
        if id < 0:
            retweets = self._retweets_by_post.get(post)
            if isinstance(retweets, dict) and len(retweets) < MAX_CACHED_RETWEETS:
                self._load_tickets.pop((InvalidationKind.RETWEETS, post), None)
                retweets[actor] = -id
                self.generation += 1
            else:
                self.invalidate(InvalidationKind.RETWEETS, post)
        if likely_read:
            self._make_room()
            if id > 0:
                self.post_authors[post] = actor
            else:
                self._retweet_entries[-id] = (actor, post)

    def invalidate_all(self) -> None:
        """Drop everything."""
        self.post_authors, self._retweet_entries = {}, {}
        self._retweets_by_post, self._deleted_post_authors = {}, {}
        self._undone_retweets = {}
        self._load_tickets.clear()
        self.generation += 1

    def find_bounds(self, reader: ReaderState, request: PageRequest) -> EntryBounds | None:
        """The page's bounds as entry ids; None where a fact is missing."""
        bounds = []
        for id in (request.max_id, request.since_id, request.min_id):
            entry = self._resolve_cursor(reader, id) if id is not None else None
            if entry is None and id is not None:
                return None
            bounds.append(entry)
        resolved = PageRequest(request.limit, *bounds)
        return EntryBounds(resolved.lower_bound, resolved.max_id, resolved.counts_from_oldest)

    async def load_bounds(self, reader: ReaderState, request: PageRequest) -> EntryBounds:
        """The page's bounds as entry ids. Raises `StoreError`."""
        while (bounds := self.find_bounds(reader, request)) is None:
            for id in (request.max_id, request.since_id, request.min_id):
                if id is not None:
                    await self._load_cursor(reader, id)
        return bounds

    def visible_entries(
        self, reader: ReaderState, entries: Iterable[int], limit: int, below: int | None = None
    ) -> EntryPage | None:
        """At most `limit` of the entries that the reader sees, in their order; None where a fact
        is missing. `below` is the entry from which a walk goes on."""
        viewer = reader.context
        visible = EntryPage()
        post_authors, authors, own = self.post_authors, viewer.authors, viewer.self_and_followed
        for entry in entries:
            if entry > 0:
                author = post_authors.get(entry)
                if author is None:
                    return None
                if author in authors:
                    visible.append(TimelineEntry(entry, entry))
            else:
                retweet = self._retweet_entries.get(-entry)
                if retweet is None:
                    return None
                actor, post = retweet
                if actor not in viewer.authors:
                    continue
                author = post_authors.get(post)
                if author is None:
                    return None
                if author == NO_USER or author in own or author in viewer.hidden:
                    continue
                first = self._first_retweet(reader, post)
                if first is None:
                    return None
                if first == -entry and (
                    first > post or not reader.shown.shown_above(below, post, author)
                ):
                    visible.append(TimelineEntry(first, post, actor))
            if len(visible) == limit:
                break
        return visible

    async def load_visible(
        self, reader: ReaderState, entries: Sequence[int], below: int | None = None
    ) -> EntryPage:
        """Those of the entries that the reader sees, in their order. Raises `StoreError`."""
        while (visible := self.visible_entries(reader, entries, len(entries), below)) is None:
            await self._load_entries(reader, entries)
        return visible

    def _first_retweet(self, reader: ReaderState, post: int) -> int | None:
        """The earliest retweet of a post by a user whom the reader follows; 0 where there is none,
        None where that must be loaded first."""
        retweets = self._retweets_by_post.get(post)
        if isinstance(retweets, ManyRetweets):
            known_for, first, _ = reader.first_retweets.get(post, (None, 0, 0))
            return first if known_for is retweets else None
        if retweets is None:
            return None
        followed = reader.context.authors
        if len(retweets) > len(followed):
            ids = [retweets[user] for user in followed if user in retweets]
        else:
            ids = [id for user, id in retweets.items() if user in followed]
        return min(ids, default=0)

    def _newest_lost_retweet(self, reader: ReaderState, post: int) -> int | None:
        """The newest entry that may have shown a post which none shows now: its retweet by a user
        whom the reader hides, one that was undone, or the post itself. A walk that goes on from
        there may show a post again, and misses none. None where a fact must be loaded first."""
        undone = self._undone_retweets.get(post)
        if undone is None:
            return None
        hidden = reader.context.hidden
        shown = reader.context.self_and_followed | hidden
        lost = [post]
        lost += [row.id for row in undone if row.account_deleted or row.actor in shown]
        retweets = self._retweets_by_post.get(post, {})
        if isinstance(retweets, ManyRetweets):
            lost.append(reader.first_retweets[post][2])
        else:
            lost += [id for user, id in retweets.items() if user in hidden]
        return max(lost)

    def _resolve_cursor(self, reader: ReaderState, id: int) -> int | None:
        """The entry that a client means by an id: where that is a post which showed or shows
        through a retweet, the retweet. None where a fact is missing."""
        shown = reader.shown.places.get(id)
        if shown is not None:
            return shown
        author = self.post_authors.get(id)
        if author is None:
            return id if self._retweet_entries.get(id, _NO_RETWEET) != _NO_RETWEET else None
        if author == NO_USER:
            author = self._deleted_post_authors.get(id)
            if author is None or author == NO_USER:
                return author if author is None else id
        if author in reader.context.self_and_followed:
            return id
        first = self._first_retweet(reader, id)
        if first == 0:
            return self._newest_lost_retweet(reader, id)
        return first

    async def _load_entries(self, reader: ReaderState, entries: Iterable[int]) -> None:
        """Read the facts that `visible_entries` needs."""
        self._make_room()
        viewer = reader.context
        await self._load_retweets({-entry for entry in entries if entry < 0})
        retweets = [
            self._retweet_entries.get(-entry, _NO_RETWEET) for entry in entries if entry < 0
        ]
        retweeted = {post for actor, post in retweets if actor in viewer.authors}
        await self._load_authors({entry for entry in entries if entry > 0} | retweeted)
        shown = [
            post
            for post in retweeted
            if (author := self.post_authors.get(post, NO_USER)) != NO_USER
            and author not in viewer.self_and_followed
            and author not in viewer.hidden
        ]
        await asyncio.gather(*(self._load_first_retweet(reader, post) for post in shown))

    async def _load_cursor(self, reader: ReaderState, id: int) -> None:
        """Read the facts that `_resolve_cursor` needs."""
        await self._load_authors({id})
        author = self.post_authors.get(id)
        if author == NO_USER and id not in self._deleted_post_authors:
            row = await self._current_store().get(DELETED_POSTS, (id,))
            author = self._deleted_post_authors[id] = row.author if row else NO_USER
        if author != NO_USER and author not in reader.context.self_and_followed:
            await self._load_first_retweet(reader, id)
            if self._first_retweet(reader, id) == 0 and id not in self._undone_retweets:
                await self._load_undone_retweets(id)

    async def _load_undone_retweets(self, post: int) -> None:
        tickets = self._begin_load(_UNDONE, (post,))
        rows = await self._current_store().scan(UNDONE_RETWEETS, (post,), limit=_MAX_UNDONE)
        if self._finish_load((_UNDONE, post), tickets[post]):
            self._undone_retweets[post] = rows

    async def _load_first_retweet(self, reader: ReaderState, post: int) -> None:
        """Read the facts that `_first_retweet` needs."""
        store = self._current_store()
        retweets = self._retweets_by_post.get(post)
        if retweets is None:
            tickets = self._begin_load(InvalidationKind.RETWEETS, (post,))
            rows = await store.scan(
                RETWEET_ENTRIES, (post,), index=BY_POST, limit=MAX_CACHED_RETWEETS + 1
            )
            retweets = (
                {row.actor: row.id for row in rows}
                if len(rows) <= MAX_CACHED_RETWEETS
                else ManyRetweets()
            )
            if self._finish_load((InvalidationKind.RETWEETS, post), tickets[post]):
                self._retweets_by_post[post] = retweets
        if isinstance(retweets, ManyRetweets):
            followed, hidden = reader.context.authors, reader.context.hidden
            keys = {(user, post) for user in followed | hidden}
            found = (await store.get_many(RETWEETS_BY_USER, keys)).values()
            first = min((row.id for row in found if row.actor in followed), default=0)
            newest_hidden = max((row.id for row in found if row.actor in hidden), default=0)
            reader.first_retweets[post] = retweets, first, newest_hidden

    async def _load_authors(self, posts: set[int]) -> None:
        for id, row in await self._read_missing(POST_ENTRIES, self.post_authors, posts):
            self.post_authors[id] = row.author if row else NO_USER

    async def _load_retweets(self, ids: set[int]) -> None:
        for id, row in await self._read_missing(RETWEET_ENTRIES, self._retweet_entries, ids):
            self._retweet_entries[id] = (row.actor, row.post) if row else _NO_RETWEET

    async def _read_missing(
        self, table: Table[Row], cached: Mapping[int, object], ids: set[int]
    ) -> list[tuple[int, Row | None]]:
        """The rows of ids that are not cached, without those invalidated while they were read."""
        missing = [id for id in ids if id not in cached]
        if not missing:
            return []
        tickets = self._begin_load(InvalidationKind.ENTRY, missing)
        rows = await self._current_store().get_many(table, [(id,) for id in missing])
        return [
            (id, rows.get((id,)))
            for id in missing
            if self._finish_load((InvalidationKind.ENTRY, id), tickets[id])
        ]

    def _make_room(self) -> None:
        facts = len(self.post_authors) + len(self._retweet_entries)
        facts += 20 * (len(self._retweets_by_post) + len(self._undone_retweets))
        if facts > self._max_facts:
            self.invalidate_all()

    def _begin_load(self, kind: int, ids: Iterable[int]) -> Mapping[int, object]:
        """Note that rows are being read; the tickets with which to cache what comes.

        All who read the same row at the same time share a ticket, which is good until the row is
        invalidated: if the newest alone were good, many readers would keep one another from ever
        caching anything.
        """
        return {id: self._load_tickets.setdefault((kind, id), object()) for id in ids}

    def _finish_load(self, key: tuple[int, int], ticket: object) -> bool:
        """Whether the row was not invalidated while it was read, and is not cached already."""
        if self._load_tickets.get(key) is ticket:
            del self._load_tickets[key]
            return True
        return False
