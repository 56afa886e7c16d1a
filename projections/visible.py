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

from projections.entries import Entry
from projections.merge import Found
from projections.store import ReadStore
from projections.timeline import BY_POST, ENDED, PASSED, POSTED, RETWEETS
from projections.touched import Kind
from projections.viewer import ViewerContext

MANY: Final = 500
"""Retweets of a post above which they are not all kept, but asked for reader by reader."""
NOBODY: Final = 0
"""Stands for the author of a post, or the maker of a retweet, that is gone."""
_GONE: Final = (NOBODY, 0)


class Crowd:
    """More than `MANY` retweets of a post, as they were at one moment."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Reader:
    """What is remembered for one reader."""

    context: ViewerContext
    firsts: dict[int, tuple[Crowd, int]] = field(default_factory=dict)
    """Under a post that a crowd retweeted, the earliest retweet by one of the followed, or 0."""
    asked: object = None
    """What the remembered page answers, and the state of everything that it came from."""
    page: list[Entry] = field(default_factory=list)


class Known:
    """Facts about entries, shared by all readers, bounded, and dropped when they change."""

    def __init__(self, most: int = 200_000) -> None:
        self.authors: dict[int, int] = {}
        """The author of each post."""
        self.retweets: dict[int, tuple[int, int]] = {}
        """Who made a retweet entry, and of which post."""
        self.passed: dict[int, dict[int, int] | Crowd] = {}
        """Under a post, who retweeted it, and the entry ids of that."""
        self.ended: dict[int, int] = {}
        """The author of each post that was deleted; `NOBODY` for what never was a post."""
        self.generation = 0
        """Grows whenever an answer may differ although no ring and no context changed."""
        self._most = most
        self._loading: dict[tuple[int, int], object] = {}
        """What is being read, and by whom: a ticket of the latest who began."""

    def touch(self, kind: int, id: int) -> None:
        """Drop what changed."""
        self._loading.pop((kind, id), None)
        if kind == Kind.ENTRY:
            author, retweet = self.authors.pop(id, None), self.retweets.pop(id, None)
            self.ended.pop(id, None)
            self.generation += author is not None or retweet is not None
        elif kind == Kind.RETWEETS:
            self.generation += self.passed.pop(id, None) is not None

    def came(self, found: Found, worth: bool) -> None:
        """An entry is new: keep what was told of it, if somebody is likely to need it."""
        entry, actor, post = found
        self.touch(Kind.ENTRY, abs(entry))
        if entry < 0:
            passed = self.passed.get(post)
            if isinstance(passed, dict) and len(passed) < MANY:
                self._loading.pop((Kind.RETWEETS, post), None)
                passed[actor] = -entry
                self.generation += 1
            else:
                self.touch(Kind.RETWEETS, post)
        if worth:
            self._make_room()
            if entry > 0:
                self.authors[post] = actor
            else:
                self.retweets[-entry] = (actor, post)

    def forget(self) -> None:
        """Drop everything."""
        self.authors, self.retweets, self.passed, self.ended = {}, {}, {}, {}
        self._loading.clear()
        self.generation += 1

    def first(self, reader: Reader, post: int) -> int | None:
        """The earliest retweet of a post by somebody whom the reader follows; 0 where there is
        none, None where that must be loaded first."""
        passed = self.passed.get(post)
        if isinstance(passed, Crowd):
            of, first = reader.firsts.get(post, (None, 0))
            return first if of is passed else None
        if passed is None:
            return None
        retweeters = reader.context.retweeters
        if len(passed) > len(retweeters):
            mine = [passed[user] for user in retweeters if user in passed]
        else:
            mine = [id for user, id in passed.items() if user in retweeters]
        return min(mine, default=0)

    def cursor(self, reader: Reader, id: int) -> int | None:
        """The entry that a client means by an id: where that is a post which shows through a
        retweet, the retweet. None where something must be loaded first."""
        author = self.authors.get(id)
        if author is None:
            return id if self.retweets.get(id, _GONE) != _GONE else None
        if author == NOBODY:
            author = self.ended.get(id)
            if author is None or author == NOBODY:
                return author if author is None else id
        if author in reader.context.own:
            return id
        first = self.first(reader, id)
        return first if first is None else first or id

    def show(self, reader: Reader, entries: Iterable[int], limit: int) -> list[Entry] | None:
        """At most `limit` of the entries that the reader sees, in their order; None where
        something about them must be loaded first."""
        context = reader.context
        shown: list[Entry] = []
        authors, own, visible = self.authors, context.own, context.authors
        for entry in entries:
            if entry > 0:
                author = authors.get(entry)
                if author is None:
                    return None
                if author in visible:
                    shown.append(Entry(entry, entry))
            else:
                retweet = self.retweets.get(-entry)
                if retweet is None:
                    return None
                actor, post = retweet
                if actor not in context.retweeters:
                    continue
                author = authors.get(post)
                if author is None:
                    return None
                if author == NOBODY or author in own or author in context.hidden:
                    continue
                first = self.first(reader, post)
                if first is None:
                    return None
                if first == -entry:
                    shown.append(Entry(first, post, actor))
            if len(shown) == limit:
                break
        return shown

    async def load(self, store: ReadStore, reader: Reader, entries: Iterable[int]) -> None:
        """Learn what `show` needs for these entries."""
        self._make_room()
        context = reader.context
        posts = {entry for entry in entries if entry > 0}
        await self._load_retweets(store, {-entry for entry in entries if entry < 0})
        passed = set()
        for entry in entries:
            actor, post = self.retweets.get(-entry, _GONE) if entry < 0 else _GONE
            if actor in context.retweeters:
                passed.add(post)
        await self._load_authors(store, posts | passed)
        seen = {
            post
            for post in passed
            if (author := self.authors.get(post, NOBODY)) != NOBODY
            and author not in context.own
            and author not in context.hidden
        }
        await asyncio.gather(*(self.load_first(store, reader, post) for post in seen))

    async def load_cursor(self, store: ReadStore, reader: Reader, id: int) -> None:
        """Learn what `cursor` needs."""
        await self._load_authors(store, {id})
        author = self.authors.get(id)
        if author == NOBODY and id not in self.ended:
            row = await store.get(ENDED, (id,))
            author = self.ended[id] = row.author if row else NOBODY
        if author != NOBODY and author not in reader.context.own:
            await self.load_first(store, reader, id)

    async def load_first(self, store: ReadStore, reader: Reader, post: int) -> None:
        """Learn what `first` needs."""
        passed = self.passed.get(post)
        if passed is None:
            tickets = self._begin(Kind.RETWEETS, (post,))
            rows = await store.scan(RETWEETS, (post,), index=BY_POST, limit=MANY + 1)
            passed = {row.actor: row.id for row in rows} if len(rows) <= MANY else Crowd()
            if self._still((Kind.RETWEETS, post), tickets[post]):
                self.passed[post] = passed
        if isinstance(passed, Crowd):
            keys = {(user, post) for user in reader.context.retweeters}
            mine = await store.get_many(PASSED, keys)
            reader.firsts[post] = (passed, min((row.id for row in mine.values()), default=0))

    async def _load_authors(self, store: ReadStore, posts: set[int]) -> None:
        """A post that isn't there has the author `NOBODY`."""
        wanted = {post for post in posts if post not in self.authors}
        if wanted:
            tickets = self._begin(Kind.ENTRY, wanted)
            rows = await store.get_many(POSTED, {(post,) for post in wanted})
            for post in wanted:
                if self._still((Kind.ENTRY, post), tickets[post]):
                    row = rows.get((post,))
                    self.authors[post] = row.author if row else NOBODY

    async def _load_retweets(self, store: ReadStore, ids: set[int]) -> None:
        wanted = {id for id in ids if id not in self.retweets}
        if wanted:
            tickets = self._begin(Kind.ENTRY, wanted)
            rows = await store.get_many(RETWEETS, {(id,) for id in wanted})
            for id in wanted:
                if self._still((Kind.ENTRY, id), tickets[id]):
                    row = rows.get((id,))
                    self.retweets[id] = (row.actor, row.post) if row else _GONE

    def _make_room(self) -> None:
        if len(self.authors) + len(self.retweets) + 20 * len(self.passed) > self._most:
            self.forget()

    def _begin(self, kind: int, ids: Iterable[int]) -> Mapping[int, object]:
        """Note that something is being read; the tickets to keep what comes.

        Who reads the same at the same time shares the ticket, which is good until a touch: were
        the newest alone good, many readers would keep one another from ever keeping anything.
        """
        return {id: self._loading.setdefault((kind, id), object()) for id in ids}

    def _still(self, what: tuple[int, int], ticket: object) -> bool:
        """Whether nothing touched what is being read, and nobody kept it already."""
        if self._loading.get(what) is ticket:
            del self._loading[what]
            return True
        return False
