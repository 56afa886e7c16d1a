"""Which entries of a home timeline a reader sees, and what one must know to say so.

A post shows once, at its oldest visible entry: the original where the reader follows its author (or
is it), else the earliest retweet by somebody whom the reader follows. So what was shown stays where
it was when somebody else retweets it, and a walk through the pages meets each post once.

Whether an entry shows does not depend on its neighbours, so a page can start anywhere.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from projections.home.merge import SignedEntry
from projections.home.public_lists import TimelineEntry
from projections.home.viewer import ViewerContext
from projections.invalidation import InvalidationKind
from projections.store import ReadStore
from projections.timeline import (
    BY_POST,
    DELETED_POSTS,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    RETWEETS_BY_USER,
)

MAX_CACHED_RETWEETS: Final = 500
"""Retweets of a post above which they are not all kept, but asked for reader by reader."""
NO_USER: Final = 0
"""Stands for the author of a post, or the maker of a retweet, that is gone."""
_NO_RETWEET: Final = (NO_USER, 0)


class ManyRetweets:
    """More than `MAX_CACHED_RETWEETS` retweets of a post, as they were at one moment."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class ReaderState:
    """What is remembered for one reader."""

    context: ViewerContext
    first_retweets: dict[int, tuple[ManyRetweets, int]] = field(default_factory=dict)
    """Under a post that a crowd retweeted, the earliest retweet by one of the followed, or 0."""
    page_key: object = None
    """What the remembered page answers, and the state of everything that it came from."""
    page: list[TimelineEntry] = field(default_factory=list)


class EntryCache:
    """Facts about entries, shared by all readers, bounded, and dropped when they change."""

    def __init__(self, most: int = 200_000) -> None:
        self.post_authors: dict[int, int] = {}
        """The author of each post."""
        self.retweet_entries: dict[int, tuple[int, int]] = {}
        """Who made a retweet entry, and of which post."""
        self.retweets_by_post: dict[int, dict[int, int] | ManyRetweets] = {}
        """Under a post, who retweeted it, and the entry ids of that."""
        self.deleted_post_authors: dict[int, int] = {}
        """The author of each post that was deleted; `NOBODY` for what never was a post."""
        self.generation = 0
        """Grows whenever an answer may differ although no ring and no context changed."""
        self._max_facts = most
        self._load_tickets: dict[tuple[int, int], object] = {}
        """What is being read, and by whom: a ticket of the latest who began."""

    def invalidate(self, kind: int, id: int) -> None:
        """Drop what changed."""
        self._load_tickets.pop((kind, id), None)
        if kind == InvalidationKind.ENTRY:
            author, retweet = self.post_authors.pop(id, None), self.retweet_entries.pop(id, None)
            self.deleted_post_authors.pop(id, None)
            self.generation += author is not None or retweet is not None
        elif kind == InvalidationKind.RETWEETS:
            self.generation += self.retweets_by_post.pop(id, None) is not None

    def add_entry(self, found: SignedEntry, worth: bool) -> None:
        """An entry is new: keep what was told of it, if somebody is likely to need it."""
        entry, actor, post = found
        self.invalidate(InvalidationKind.ENTRY, abs(entry))
        if entry < 0:
            passed = self.retweets_by_post.get(post)
            if isinstance(passed, dict) and len(passed) < MAX_CACHED_RETWEETS:
                self._load_tickets.pop((InvalidationKind.RETWEETS, post), None)
                passed[actor] = -entry
                self.generation += 1
            else:
                self.invalidate(InvalidationKind.RETWEETS, post)
        if worth:
            self._make_room()
            if entry > 0:
                self.post_authors[post] = actor
            else:
                self.retweet_entries[-entry] = (actor, post)

    def invalidate_all(self) -> None:
        """Drop everything."""
        (
            self.post_authors,
            self.retweet_entries,
            self.retweets_by_post,
            self.deleted_post_authors,
        ) = {}, {}, {}, {}
        self._load_tickets.clear()
        self.generation += 1

    def first_retweet(self, reader: ReaderState, post: int) -> int | None:
        """The earliest retweet of a post by somebody whom the reader follows; 0 where there is
        none, None where that must be loaded first."""
        passed = self.retweets_by_post.get(post)
        if isinstance(passed, ManyRetweets):
            of, first = reader.first_retweets.get(post, (None, 0))
            return first if of is passed else None
        if passed is None:
            return None
        retweeters = reader.context.retweeters
        if len(passed) > len(retweeters):
            mine = [passed[user] for user in retweeters if user in passed]
        else:
            mine = [id for user, id in passed.items() if user in retweeters]
        return min(mine, default=0)

    def resolve_cursor(self, reader: ReaderState, id: int) -> int | None:
        """The entry that a client means by an id: where that is a post which shows through a
        retweet, the retweet. None where something must be loaded first."""
        author = self.post_authors.get(id)
        if author is None:
            return id if self.retweet_entries.get(id, _NO_RETWEET) != _NO_RETWEET else None
        if author == NO_USER:
            author = self.deleted_post_authors.get(id)
            if author is None or author == NO_USER:
                return author if author is None else id
        if author in reader.context.self_and_followed:
            return id
        first = self.first_retweet(reader, id)
        return first if first is None else first or id

    def visible_entries(
        self, reader: ReaderState, entries: Iterable[int], limit: int
    ) -> list[TimelineEntry] | None:
        """At most `limit` of the entries that the reader sees, in their order; None where
        something about them must be loaded first."""
        context = reader.context
        shown: list[TimelineEntry] = []
        authors, own, visible = self.post_authors, context.self_and_followed, context.authors
        for entry in entries:
            if entry > 0:
                author = authors.get(entry)
                if author is None:
                    return None
                if author in visible:
                    shown.append(TimelineEntry(entry, entry))
            else:
                retweet = self.retweet_entries.get(-entry)
                if retweet is None:
                    return None
                actor, post = retweet
                if actor not in context.retweeters:
                    continue
                author = authors.get(post)
                if author is None:
                    return None
                if author == NO_USER or author in own or author in context.hidden:
                    continue
                first = self.first_retweet(reader, post)
                if first is None:
                    return None
                if first == -entry:
                    shown.append(TimelineEntry(first, post, actor))
            if len(shown) == limit:
                break
        return shown

    async def load_entries(
        self, store: ReadStore, reader: ReaderState, entries: Iterable[int]
    ) -> None:
        """Learn what `show` needs for these entries."""
        self._make_room()
        context = reader.context
        posts = {entry for entry in entries if entry > 0}
        await self._load_retweets(store, {-entry for entry in entries if entry < 0})
        passed = set()
        for entry in entries:
            actor, post = (
                self.retweet_entries.get(-entry, _NO_RETWEET) if entry < 0 else _NO_RETWEET
            )
            if actor in context.retweeters:
                passed.add(post)
        await self._load_authors(store, posts | passed)
        seen = {
            post
            for post in passed
            if (author := self.post_authors.get(post, NO_USER)) != NO_USER
            and author not in context.self_and_followed
            and author not in context.hidden
        }
        await asyncio.gather(*(self.load_first_retweet(store, reader, post) for post in seen))

    async def load_cursor(self, store: ReadStore, reader: ReaderState, id: int) -> None:
        """Learn what `cursor` needs."""
        await self._load_authors(store, {id})
        author = self.post_authors.get(id)
        if author == NO_USER and id not in self.deleted_post_authors:
            row = await store.get(DELETED_POSTS, (id,))
            author = self.deleted_post_authors[id] = row.author if row else NO_USER
        if author != NO_USER and author not in reader.context.self_and_followed:
            await self.load_first_retweet(store, reader, id)

    async def load_first_retweet(self, store: ReadStore, reader: ReaderState, post: int) -> None:
        """Learn what `first` needs."""
        passed = self.retweets_by_post.get(post)
        if passed is None:
            tickets = self._begin_load(InvalidationKind.RETWEETS, (post,))
            rows = await store.scan(
                RETWEET_ENTRIES, (post,), index=BY_POST, limit=MAX_CACHED_RETWEETS + 1
            )
            passed = (
                {row.actor: row.id for row in rows}
                if len(rows) <= MAX_CACHED_RETWEETS
                else ManyRetweets()
            )
            if self._finish_load((InvalidationKind.RETWEETS, post), tickets[post]):
                self.retweets_by_post[post] = passed
        if isinstance(passed, ManyRetweets):
            keys = {(user, post) for user in reader.context.retweeters}
            mine = await store.get_many(RETWEETS_BY_USER, keys)
            reader.first_retweets[post] = (
                passed,
                min((row.id for row in mine.values()), default=0),
            )

    async def _load_authors(self, store: ReadStore, posts: set[int]) -> None:
        """A post that isn't there has the author `NOBODY`."""
        wanted = {post for post in posts if post not in self.post_authors}
        if wanted:
            tickets = self._begin_load(InvalidationKind.ENTRY, wanted)
            rows = await store.get_many(POST_ENTRIES, {(post,) for post in wanted})
            for post in wanted:
                if self._finish_load((InvalidationKind.ENTRY, post), tickets[post]):
                    row = rows.get((post,))
                    self.post_authors[post] = row.author if row else NO_USER

    async def _load_retweets(self, store: ReadStore, ids: set[int]) -> None:
        wanted = {id for id in ids if id not in self.retweet_entries}
        if wanted:
            tickets = self._begin_load(InvalidationKind.ENTRY, wanted)
            rows = await store.get_many(RETWEET_ENTRIES, {(id,) for id in wanted})
            for id in wanted:
                if self._finish_load((InvalidationKind.ENTRY, id), tickets[id]):
                    row = rows.get((id,))
                    self.retweet_entries[id] = (row.actor, row.post) if row else _NO_RETWEET

    def _make_room(self) -> None:
        if (
            len(self.post_authors) + len(self.retweet_entries) + 20 * len(self.retweets_by_post)
            > self._max_facts
        ):
            self.invalidate_all()

    def _begin_load(self, kind: int, ids: Iterable[int]) -> Mapping[int, object]:
        """Note that something is being read; the tickets to keep what comes.

        Who reads the same at the same time shares the ticket, which is good until a touch: were
        the newest alone good, many readers would keep one another from ever keeping anything.
        """
        return {id: self._load_tickets.setdefault((kind, id), object()) for id in ids}

    def _finish_load(self, what: tuple[int, int], ticket: object) -> bool:
        """Whether nothing touched what is being read, and nobody kept it already."""
        if self._load_tickets.get(what) is ticket:
            del self._load_tickets[what]
            return True
        return False
