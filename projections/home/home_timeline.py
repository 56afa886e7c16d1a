"""Home timelines: the posts and retweets of those whom a reader follows, newest first.

The newest entries of active readers lie ready in rings, which hold what was fanned out and know
nothing of blocks, mutes, unfollows and deletions: those take effect here, on read. High-fanout
authors are not fanned out; each has an outbox, a ring of the author's entries, and readers merge
the outboxes in. Where a ring is missing or ends, the durable tables answer; the answers are the
same.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from projections.batch_loader import BatchLoader
from projections.home.entry_cache import EntryCache, ReaderState
from projections.home.merge import merge_entries
from projections.home.rings import HomeRings, LocalRings
from projections.home.shown_pages import ShownPages
from projections.home.viewer import ViewerContext, load_contexts
from projections.invalidation import NEW_ENTRY_KINDS, InvalidationKind
from projections.pages import EntryBounds, PageRequest
from projections.store import ReadStore
from projections.timeline import MAX_SCANNED_ROWS, EntryPage, NewEntryDecoder

_ENTRIES_PER_LOAD: Final = 64
"""Entries whose facts are loaded at once."""


class HomeTimeline:
    """Reads home timelines; one in each API process, with its caches."""

    def __init__(
        self,
        current_store: Callable[[], ReadStore],
        rings: HomeRings,
        clock_ms: Callable[[], int],
        max_readers: int = 4000,
    ) -> None:
        """`current_store` gives the current store of the projection `timeline`; `clock_ms` says,
        in Unix ms, which mutes have ended."""
        self._current_store = current_store
        self._rings = rings
        self._clock_ms = clock_ms
        self._local_rings = rings if isinstance(rings, LocalRings) else None
        self._max_readers = max_readers
        self._readers: dict[int, ReaderState] = {}
        self._shown: dict[int, ShownPages] = {}
        """Under a reader, `ReaderState.shown`, for longer than the reader's relations."""
        self._load_tickets: dict[int, object] = {}
        self._context_loader = BatchLoader(self._fetch_contexts)
        self._entry_cache = EntryCache(current_store)
        self._new_entries = NewEntryDecoder()

    async def read_page(self, viewer: int, request: PageRequest) -> EntryPage:
        """A page, newest first, each post once. The caller doesn't change it.

        Cursors are ids of entries, or of posts: a post stands for the place where this process
        showed it to the reader last, else for the one where it stands.
        """
        page = self.page_from_memory(viewer, request)
        return await self.load_page(viewer, request) if page is None else page

    async def load_page(self, viewer: int, request: PageRequest) -> EntryPage:
        """The same from rings and durable tables, without `page_from_memory`."""
        reader = await self._load_reader(viewer)
        wanted = bounds = await self._entry_cache.load_bounds(reader, request)
        if self._readers.get(viewer) is reader:  # else its relations changed in the meantime
            await self._rings.prepare(self._current_store(), reader.context)
        version, generation = self._rings.version(reader.context), self._entry_cache.generation
        ready = self._rings.read(reader.context)
        clipped = bounds.clip(ready.floor) if ready is not None else None
        page = EntryPage()
        if ready is not None and clipped is not None:
            entries = list(ready.entries_between(clipped))
            page = await self._visible_of_ring(reader, entries, request.limit, bounds.below)
            if len(page) == request.limit or clipped == bounds:
                reader.shown.note_page(page, bounds, reader.context)
                reader.page_key, reader.page = (version, generation, request), page
                return page
            bounds = bounds._replace(below=ready.floor)
        older = await self._visible_of_tables(
            reader, bounds, request.limit - len(page), wanted.below
        )
        page.extend(older)
        page.scanned_to = older.scanned_to
        reader.shown.note_page(page, wanted, reader.context)
        return page

    def page_from_memory(self, viewer: int, request: PageRequest) -> EntryPage | None:
        """The page, if everything that it takes is in memory, else None.

        This is `load_page` without awaiting. Answering from memory is the hot path of the product:
        a page that was read before costs two dictionary accesses and a comparison of versions, and
        one that is new for its reader costs no task, no lock and no read of a table.
        """
        reader = self._known_reader(viewer)
        version = self._rings.version(reader.context) if reader is not None else None
        if reader is None or version is None:
            return None
        key = (version, self._entry_cache.generation, request)
        if reader.page_key == key:
            return reader.page
        bounds = self._entry_cache.find_bounds(reader, request)
        ready = self._rings.read(reader.context) if bounds is not None else None
        if bounds is None or ready is None:
            return None
        clipped = bounds.clip(ready.floor)
        if clipped is None:
            return None
        entries = ready.entries_between(clipped)
        page = self._entry_cache.visible_entries(reader, entries, request.limit, bounds.below)
        if page is None or (len(page) < request.limit and clipped != bounds):
            return None
        reader.shown.note_page(page, bounds, reader.context)
        reader.page_key, reader.page = key, page
        return page

    def _shown_to(self, viewer: int) -> ShownPages:
        """The pages that the reader was shown. Kept longer than the reader's relations."""
        shown = self._shown.pop(viewer, None)
        while len(self._shown) >= 2 * self._max_readers:
            del self._shown[next(iter(self._shown))]
        found = self._shown[viewer] = shown or ShownPages()
        return found

    async def viewer_context(self, viewer: int) -> ViewerContext:
        """Which users a reader follows and hides."""
        return (await self._load_reader(viewer)).context

    def invalidate(self, kind: int, id: int) -> None:
        """Drop what an invalidation (`projections.invalidation`) says has changed."""
        if kind == InvalidationKind.RELATIONS:
            self._readers.pop(id, None)
            self._load_tickets.pop(id, None)
            if self._local_rings is not None:
                self._local_rings.discard_ring(id)
        elif kind == InvalidationKind.HIGH_FANOUT and self._local_rings is None:
            self._readers.clear()
            self._load_tickets.clear()
        elif kind in NEW_ENTRY_KINDS:
            entry = self._new_entries.decode(kind, id)
            if entry is not None:
                in_rings = self._local_rings is not None and self._local_rings.add_entry(entry)
                self._entry_cache.add_entry(entry, likely_read=in_rings)
        else:
            self._entry_cache.invalidate(kind, id)

    def invalidate_all(self) -> None:
        """Drop everything."""
        if self._local_rings is not None:
            self._local_rings.discard_all()
        self._readers.clear()
        self._load_tickets.clear()
        self._entry_cache.invalidate_all()

    async def _visible_of_ring(
        self, reader: ReaderState, entries: Sequence[int], limit: int, below: int | None
    ) -> EntryPage:
        visible = EntryPage()
        for start in range(0, len(entries), _ENTRIES_PER_LOAD):
            visible += await self._entry_cache.load_visible(
                reader, entries[start : start + _ENTRIES_PER_LOAD], below
            )
            if len(visible) >= limit:
                break
        del visible[limit:]
        return visible

    async def _visible_of_tables(
        self, reader: ReaderState, bounds: EntryBounds, limit: int, below: int | None
    ) -> EntryPage:
        viewer, store = reader.context, self._current_store()
        visible = EntryPage()
        entries: list[int] = []
        scanned = 0
        async for entry in merge_entries(store, viewer.authors, viewer.authors, bounds):
            entries.append(entry.signed_id)
            if len(entries) == _ENTRIES_PER_LOAD:
                visible += await self._entry_cache.load_visible(reader, entries, below)
                entries = []
                scanned += _ENTRIES_PER_LOAD
                if len(visible) >= limit:
                    break
                if scanned >= MAX_SCANNED_ROWS:
                    visible.scanned_to = abs(entry.signed_id)
                    break
                await asyncio.sleep(0)  # a store in this process lets no other task run
        visible += await self._entry_cache.load_visible(reader, entries, below)
        del visible[limit:]
        return visible

    async def _fetch_contexts(self, viewers: Collection[int]) -> Mapping[int, ViewerContext]:
        # Local rings hold the entries of all authors, so none counts as high-fanout.
        return await load_contexts(
            self._current_store(),
            viewers,
            self._clock_ms(),
            with_high_fanout=self._local_rings is None,
        )

    def _known_reader(self, viewer: int) -> ReaderState | None:
        """What is cached of a reader. The end of a mute is a change of relations that no event
        tells: it is found here, by the first request behind it."""
        reader = self._readers.get(viewer)
        if (
            reader is not None
            and reader.context.mute_ends_ms is not None  # most readers have no such mute
            and reader.context.is_over(self._clock_ms())
        ):
            self.invalidate(InvalidationKind.RELATIONS, viewer)
            return None
        return reader

    async def _load_reader(self, viewer: int) -> ReaderState:
        reader = self._known_reader(viewer)
        if reader is None:
            # Shared by all who load the same at once: good until the reader is invalidated.
            ticket = self._load_tickets.setdefault(viewer, object())
            context = (await self._context_loader((viewer,)))[viewer]
            reader = ReaderState(context, shown=self._shown_to(viewer))
            if self._load_tickets.get(viewer) is ticket:
                del self._load_tickets[viewer]
                while len(self._readers) >= self._max_readers:
                    del self._readers[next(iter(self._readers))]
                self._readers[viewer] = reader
        return reader
