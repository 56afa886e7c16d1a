"""Home timelines: the posts and retweets of those whom a reader follows, newest first.

The newest entries of active readers lie ready in rings, which hold what was fanned out and know
nothing of blocks, mutes, unfollows and deletions: those take effect here, on read. Authors with a
great audience are not fanned out; each has an outbox, a ring of what the author made, and readers
merge the outboxes in. Where a ring is missing or ends, the durable tables answer; the answers are
the same.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import merge
from typing import Final, NamedTuple

from projections.arrivals import Arrivals
from projections.entries import Entry
from projections.gathering import Gathered
from projections.merge import Bounds, merged
from projections.pages import Page
from projections.rings import HomeTimelines, KeptHere, Stamp
from projections.store import ReadStore
from projections.touched import Kind
from projections.viewer import ViewerContext, contexts
from projections.visible import Known, Reader

_WINDOW: Final = 64
"""Entries whose facts are loaded at once."""


class _Ready(NamedTuple):
    """The rings that answer a reader, and the entry id from which on they know everything."""

    rings: list[Sequence[int]]
    floor: int

    def between(self, bounds: Bounds) -> Iterable[int]:
        """The entries between two ids, in the direction of the bounds, each once."""
        parts = [_slice(entries, bounds) for entries in self.rings]
        if len(parts) <= 1:
            return parts[0] if parts else ()
        # A ring may still hold entries from before their author got an outbox.
        return dict.fromkeys(merge(*parts, key=abs, reverse=not bounds.ascending))


class Home:
    """Reads home timelines; one in each API process, with what it remembers."""

    def __init__(
        self, store: Callable[[], ReadStore], rings: HomeTimelines, most_readers: int = 4000
    ) -> None:
        """`store` gives the current store of the projection `timeline`."""
        self._store = store
        self._rings = rings
        self._most_readers = most_readers
        self._readers: dict[int, Reader] = {}
        self._loading: dict[int, object] = {}
        self._contexts = Gathered(self._fetch_contexts)
        self._known = Known()
        self._kept = rings if isinstance(rings, KeptHere) else None
        self._arrivals = Arrivals()

    def touch(self, kind: int, id: int) -> None:
        """Drop what an entry of the journal of changes says has changed."""
        if kind == Kind.CONTEXT:
            self._readers.pop(id, None)
            self._loading.pop(id, None)
            if self._kept is not None:
                self._kept.drop(id)
        elif kind == Kind.BIG and self._kept is None:
            self._readers.clear()
            self._loading.clear()
        elif kind in Arrivals.KINDS:
            found = self._arrivals.take(kind, id)
            if found is not None:
                shown = self._kept is not None and self._kept.came(found)
                self._known.came(found, worth=shown)
        else:
            self._known.touch(kind, id)

    def forget(self) -> None:
        """Drop everything."""
        if self._kept is not None:
            self._kept.forget()
        self._readers.clear()
        self._loading.clear()
        self._known.forget()

    async def context(self, viewer: int) -> ViewerContext:
        """Whom a reader follows and hides."""
        return (await self._reader(viewer)).context

    def now(self, viewer: int, asked: Page) -> list[Entry] | None:
        """The page, if everything it takes is at hand; else None, and `read` has it."""
        reader = self._readers.get(viewer)
        state = self._state(reader) if reader is not None else None
        if reader is None or state is None:
            return None
        if reader.asked == (state, asked):
            return reader.page
        bounds = self._bounds(reader, asked)
        ready = self._ready(reader.context) if bounds is not None else None
        if bounds is None or ready is None:
            return None
        reach = _within(bounds, ready.floor)
        shown = self._known.show(reader, ready.between(reach), asked.limit) if reach else None
        if shown is None or (len(shown) < asked.limit and reach != bounds):
            return None
        return self._remember(reader, asked, state, shown)

    async def read(self, viewer: int, asked: Page) -> list[Entry]:
        """The page, from rings and durable tables. Newest first, each post once."""
        reader = await self._reader(viewer)
        bounds = self._bounds(reader, asked)
        while bounds is None:
            for id in (asked.max_id, asked.since_id, asked.min_id):
                if id is not None:
                    await self._known.load_cursor(self._store(), reader, id)
            bounds = self._bounds(reader, asked)
        if self._kept is not None and self._readers.get(viewer) is reader:
            await self._kept.make(self._store(), reader.context)
        state = self._state(reader)
        ready = self._ready(reader.context)
        reach = _within(bounds, ready.floor) if ready else None
        shown: list[Entry] = []
        if ready is not None and reach is not None:
            entries = list(ready.between(reach))
            for start in range(0, len(entries), _WINDOW):
                shown += await self._show(reader, entries[start : start + _WINDOW])
                if len(shown) >= asked.limit:
                    break
            if len(shown) >= asked.limit or reach == bounds:
                return self._remember(reader, asked, state, shown[: asked.limit])
            bounds = bounds._replace(below=ready.floor)
        shown += await self._merge(reader, bounds, asked.limit - len(shown))
        return shown[::-1] if bounds.ascending else shown

    async def _merge(self, reader: Reader, bounds: Bounds, limit: int) -> list[Entry]:
        """What the durable tables show between two ids."""
        seen = reader.context
        shown: list[Entry] = []
        window: list[int] = []
        async for found in merged(self._store(), seen.authors, seen.retweeters, bounds):
            window.append(found.entry)
            if len(window) == _WINDOW:
                shown += await self._show(reader, window)
                window = []
                if len(shown) >= limit:
                    break
        shown += await self._show(reader, window)
        return shown[:limit]

    async def _show(self, reader: Reader, window: Sequence[int]) -> list[Entry]:
        """Which of the entries the reader sees."""
        shown = self._known.show(reader, window, len(window))
        while shown is None:
            await self._known.load(self._store(), reader, window)
            shown = self._known.show(reader, window, len(window))
        return shown

    def _remember(
        self, reader: Reader, asked: Page, state: Stamp | None, shown: list[Entry]
    ) -> list[Entry]:
        page = shown[::-1] if asked.from_the_oldest else shown
        reader.asked, reader.page = (state, asked), page
        return page

    def _state(self, reader: Reader) -> Stamp | None:
        """What changes whenever a page from rings may; None where the reader has no ring."""
        stamp = self._rings.stamp(reader.context.user)
        if stamp is None:
            return None
        broadcasts = self._rings.broadcasts if reader.context.big else 0
        return (*stamp, broadcasts, self._known.generation)

    def _ready(self, seen: ViewerContext) -> _Ready | None:
        """The reader's ring and the outboxes that belong to it; None, and they are asked for,
        where one is missing."""
        keys = (seen.user, *(-author for author in seen.big))
        rings = [(key, self._rings.read(key)) for key in keys]
        for key, ring in rings:
            if ring is None:
                self._rings.want(key)
        found = [ring for _, ring in rings if ring is not None]
        if len(found) < len(keys):
            return None
        # Where everything lies in the reader's own ring, outboxes are empty.
        found = [ring for ring in found if len(ring.entries) or not ring.whole]
        ends = (abs(ring.entries[0]) for ring in found if not ring.whole)
        return _Ready([ring.entries for ring in found], max(ends, default=0))

    def _bounds(self, reader: Reader, asked: Page) -> Bounds | None:
        """The page's bounds as entry ids; None where that must be loaded first."""
        bounds = []
        for id in (asked.max_id, asked.since_id, asked.min_id):
            entry = self._known.cursor(reader, id) if id is not None else None
            if entry is None and id is not None:
                return None
            bounds.append(entry)
        named = Page(asked.limit, *bounds)
        return Bounds(named.above, named.max_id, named.from_the_oldest)

    async def _fetch_contexts(self, viewers: Collection[int]) -> Mapping[int, ViewerContext]:
        # A process that keeps rings by itself fans everybody out.
        return await contexts(self._store(), viewers, with_big=self._kept is None)

    async def _reader(self, viewer: int) -> Reader:
        reader = self._readers.get(viewer)
        if reader is None:
            ticket = self._loading.setdefault(viewer, object())
            reader = Reader((await self._contexts((viewer,)))[viewer])
            if self._loading.get(viewer) is ticket:  # and nothing touched it meanwhile
                del self._loading[viewer]
                while len(self._readers) >= self._most_readers:
                    del self._readers[next(iter(self._readers))]
                self._readers[viewer] = reader
        return reader


def _within(bounds: Bounds, floor: int) -> Bounds | None:
    """The part of the bounds that lies at `floor` or above; None where a page can't start there."""
    if bounds.above is not None and bounds.above >= floor - 1:
        return bounds
    if bounds.ascending or (bounds.below is not None and bounds.below <= floor):
        return bounds if floor == 0 else None
    return bounds._replace(above=floor - 1) if floor else bounds


def _slice(entries: Sequence[int], bounds: Bounds) -> Sequence[int]:
    """The entries between two ids, in the direction of the bounds."""
    first, last = 0, len(entries)
    if bounds.above is not None:
        first = bisect_right(entries, bounds.above, key=abs)
    if bounds.below is not None:
        last = bisect_left(entries, bounds.below, key=abs)
    part = entries[first:last]
    return part if bounds.ascending else part[::-1]
