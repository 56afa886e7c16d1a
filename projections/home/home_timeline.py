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

from projections.batch_loader import BatchLoader
from projections.home.entry_cache import EntryCache, ReaderState
from projections.home.merge import EntryBounds, merge_entries
from projections.home.new_entries import NewEntryAssembler
from projections.home.public_lists import TimelineEntry
from projections.home.rings import HomeRings, LocalRings, RingVersion
from projections.home.viewer import ViewerContext, load_contexts
from projections.invalidation import InvalidationKind
from projections.pages import PageRequest
from projections.store import ReadStore

_ENTRIES_PER_LOAD: Final = 64
"""Entries whose facts are loaded at once."""


class _RingEntries(NamedTuple):
    """The rings that answer a reader, and the entry id from which on they know everything."""

    rings: list[Sequence[int]]
    floor: int

    def entries_between(self, bounds: EntryBounds) -> Iterable[int]:
        """The entries between two ids, in the direction of the bounds, each once."""
        parts = [_slice_entries(entries, bounds) for entries in self.rings]
        if len(parts) <= 1:
            return parts[0] if parts else ()
        # A ring may still hold entries from before their author got an outbox.
        return dict.fromkeys(merge(*parts, key=abs, reverse=not bounds.ascending))


class HomeTimeline:
    """Reads home timelines; one in each API process, with what it remembers."""

    def __init__(
        self, store: Callable[[], ReadStore], rings: HomeRings, most_readers: int = 4000
    ) -> None:
        """`store` gives the current store of the projection `timeline`."""
        self._current_store = store
        self._rings = rings
        self._max_readers = most_readers
        self._readers: dict[int, ReaderState] = {}
        self._load_tickets: dict[int, object] = {}
        self._context_loader = BatchLoader(self._fetch_contexts)
        self._entry_cache = EntryCache()
        self._local_rings = rings if isinstance(rings, LocalRings) else None
        self._new_entries = NewEntryAssembler()

    def invalidate(self, kind: int, id: int) -> None:
        """Drop what an entry of the journal of changes says has changed."""
        if kind == InvalidationKind.RELATIONS:
            self._readers.pop(id, None)
            self._load_tickets.pop(id, None)
            if self._local_rings is not None:
                self._local_rings.discard_ring(id)
        elif kind == InvalidationKind.HIGH_FANOUT and self._local_rings is None:
            self._readers.clear()
            self._load_tickets.clear()
        elif kind in NewEntryAssembler.KINDS:
            found = self._new_entries.add_pair(kind, id)
            if found is not None:
                shown = self._local_rings is not None and self._local_rings.add_entry(found)
                self._entry_cache.add_entry(found, worth=shown)
        else:
            self._entry_cache.invalidate(kind, id)

    def invalidate_all(self) -> None:
        """Drop everything."""
        if self._local_rings is not None:
            self._local_rings.discard_all()
        self._readers.clear()
        self._load_tickets.clear()
        self._entry_cache.invalidate_all()

    async def viewer_context(self, viewer: int) -> ViewerContext:
        """Whom a reader follows and hides."""
        return (await self._load_reader(viewer)).context

    def cached_page(self, viewer: int, asked: PageRequest) -> list[TimelineEntry] | None:
        """The page, if everything it takes is at hand; else None, and `read` has it."""
        reader = self._readers.get(viewer)
        state = self._cache_version(reader) if reader is not None else None
        if reader is None or state is None:
            return None
        if reader.page_key == (state, asked):
            return reader.page
        bounds = self._entry_bounds(reader, asked)
        ready = self._read_rings(reader.context) if bounds is not None else None
        if bounds is None or ready is None:
            return None
        reach = _clip_bounds(bounds, ready.floor)
        shown = (
            self._entry_cache.visible_entries(reader, ready.entries_between(reach), asked.limit)
            if reach
            else None
        )
        if shown is None or (len(shown) < asked.limit and reach != bounds):
            return None
        return self._remember_page(reader, asked, state, shown)

    async def load_page(self, viewer: int, asked: PageRequest) -> list[TimelineEntry]:
        """The page, from rings and durable tables. Newest first, each post once."""
        reader = await self._load_reader(viewer)
        bounds = self._entry_bounds(reader, asked)
        while bounds is None:
            for id in (asked.max_id, asked.since_id, asked.min_id):
                if id is not None:
                    await self._entry_cache.load_cursor(self._current_store(), reader, id)
            bounds = self._entry_bounds(reader, asked)
        if self._local_rings is not None and self._readers.get(viewer) is reader:
            await self._local_rings.build_ring(self._current_store(), reader.context)
        state = self._cache_version(reader)
        ready = self._read_rings(reader.context)
        reach = _clip_bounds(bounds, ready.floor) if ready else None
        shown: list[TimelineEntry] = []
        if ready is not None and reach is not None:
            entries = list(ready.entries_between(reach))
            for start in range(0, len(entries), _ENTRIES_PER_LOAD):
                shown += await self._load_visible(
                    reader, entries[start : start + _ENTRIES_PER_LOAD]
                )
                if len(shown) >= asked.limit:
                    break
            if len(shown) >= asked.limit or reach == bounds:
                return self._remember_page(reader, asked, state, shown[: asked.limit])
            bounds = bounds._replace(below=ready.floor)
        shown += await self._load_from_tables(reader, bounds, asked.limit - len(shown))
        return shown[::-1] if bounds.ascending else shown

    async def _load_from_tables(
        self, reader: ReaderState, bounds: EntryBounds, limit: int
    ) -> list[TimelineEntry]:
        """What the durable tables show between two ids."""
        seen = reader.context
        shown: list[TimelineEntry] = []
        window: list[int] = []
        async for found in merge_entries(
            self._current_store(), seen.authors, seen.retweeters, bounds
        ):
            window.append(found.signed_id)
            if len(window) == _ENTRIES_PER_LOAD:
                shown += await self._load_visible(reader, window)
                window = []
                if len(shown) >= limit:
                    break
        shown += await self._load_visible(reader, window)
        return shown[:limit]

    async def _load_visible(
        self, reader: ReaderState, window: Sequence[int]
    ) -> list[TimelineEntry]:
        """Which of the entries the reader sees."""
        shown = self._entry_cache.visible_entries(reader, window, len(window))
        while shown is None:
            await self._entry_cache.load_entries(self._current_store(), reader, window)
            shown = self._entry_cache.visible_entries(reader, window, len(window))
        return shown

    def _remember_page(
        self,
        reader: ReaderState,
        asked: PageRequest,
        state: RingVersion | None,
        shown: list[TimelineEntry],
    ) -> list[TimelineEntry]:
        page = shown[::-1] if asked.counts_from_oldest else shown
        reader.page_key, reader.page = (state, asked), page
        return page

    def _cache_version(self, reader: ReaderState) -> RingVersion | None:
        """What changes whenever a page from rings may; None where the reader has no ring."""
        stamp = self._rings.ring_version(reader.context.user)
        if stamp is None:
            return None
        broadcasts = self._rings.outbox_version if reader.context.high_fanout_authors else 0
        return (*stamp, broadcasts, self._entry_cache.generation)

    def _read_rings(self, seen: ViewerContext) -> _RingEntries | None:
        """The reader's ring and the outboxes that belong to it; None, and they are asked for,
        where one is missing."""
        keys = (seen.user, *(-author for author in seen.high_fanout_authors))
        rings = [(key, self._rings.read_ring(key)) for key in keys]
        for key, ring in rings:
            if ring is None:
                self._rings.request_ring(key)
        found = [ring for _, ring in rings if ring is not None]
        if len(found) < len(keys):
            return None
        # Where everything lies in the reader's own ring, outboxes are empty.
        found = [ring for ring in found if len(ring.entries) or not ring.complete]
        ends = (abs(ring.entries[0]) for ring in found if not ring.complete)
        return _RingEntries([ring.entries for ring in found], max(ends, default=0))

    def _entry_bounds(self, reader: ReaderState, asked: PageRequest) -> EntryBounds | None:
        """The page's bounds as entry ids; None where that must be loaded first."""
        bounds = []
        for id in (asked.max_id, asked.since_id, asked.min_id):
            entry = self._entry_cache.resolve_cursor(reader, id) if id is not None else None
            if entry is None and id is not None:
                return None
            bounds.append(entry)
        named = PageRequest(asked.limit, *bounds)
        return EntryBounds(named.lower_bound, named.max_id, named.counts_from_oldest)

    async def _fetch_contexts(self, viewers: Collection[int]) -> Mapping[int, ViewerContext]:
        # A process that keeps rings by itself fans everybody out.
        return await load_contexts(
            self._current_store(), viewers, with_big=self._local_rings is None
        )

    async def _load_reader(self, viewer: int) -> ReaderState:
        reader = self._readers.get(viewer)
        if reader is None:
            ticket = self._load_tickets.setdefault(viewer, object())
            reader = ReaderState((await self._context_loader((viewer,)))[viewer])
            if self._load_tickets.get(viewer) is ticket:  # and nothing touched it meanwhile
                del self._load_tickets[viewer]
                while len(self._readers) >= self._max_readers:
                    del self._readers[next(iter(self._readers))]
                self._readers[viewer] = reader
        return reader


def _clip_bounds(bounds: EntryBounds, floor: int) -> EntryBounds | None:
    """The part of the bounds that lies at `floor` or above; None where a page can't start there."""
    if bounds.above is not None and bounds.above >= floor - 1:
        return bounds
    if bounds.ascending or (bounds.below is not None and bounds.below <= floor):
        return bounds if floor == 0 else None
    return bounds._replace(above=floor - 1) if floor else bounds


def _slice_entries(entries: Sequence[int], bounds: EntryBounds) -> Sequence[int]:
    """The entries between two ids, in the direction of the bounds."""
    first, last = 0, len(entries)
    if bounds.above is not None:
        first = bisect_right(entries, bounds.above, key=abs)
    if bounds.below is not None:
        last = bisect_left(entries, bounds.below, key=abs)
    part = entries[first:last]
    return part if bounds.ascending else part[::-1]
